// Large conversations that nobody looks at: numbers follow counters, the position waits, and looking brings what was left out.
import { expect, test } from "bun:test";
import { encode, encodePush, encodeReply } from "../../src/protocol/codec";
import type { EntryTuple } from "../../src/protocol/entry";
import type { ClientEvents } from "../../src/client/types";
import {
  answerSync,
  alice,
  bob,
  hello,
  message,
  messages,
  nextAttempt,
  online,
  otherRoom,
  room,
  row,
} from "./scripted";
import { seqs, settle, world } from "./scripted";
import type { ScriptedSocket, SyncOptions, World } from "./scripted";

const capabilities = ["counters"];

/** Signs in where counters are spoken; the room is large and stands at 5. */
function inLarge(at: World, options: SyncOptions = {}): Promise<ScriptedSocket> {
  return online(at, { capabilities, rows: [row({ head: 5 })], large: [room], ...options });
}

function counter(seq: number, entry?: EntryTuple): Parameters<typeof encodePush<"counter">> {
  return ["counter", room, seq, seq - 2, 1_000 + seq, ...(entry ? [entry] : [])] as never;
}

const shown = (at: World) => at.client.conversations.getSnapshot().find(({ id }) => id === room);

/** Answers the list of what is open; fails where it is another. */
async function opening(socket: ScriptedSocket, ...wanted: readonly string[]): Promise<void> {
  const asked = await socket.take("open");
  expect(asked.args).toEqual([wanted]);
  socket.reply(asked, []);
  await settle();
}

test("a counter moves head, unread and order, and neither the position nor anything to be fetched", async () => {
  await using at = world();
  const socket = await inLarge(at, { rows: [row({ head: 5 }), row({ id: otherRoom, head: 6 })] });
  expect(at.client.conversations.getSnapshot()[0]?.id).toBe(otherRoom);
  socket.push(...counter(9));
  socket.push(...counter(8));
  expect(shown(at)).toMatchObject({ headSeq: 9, unread: 7, activityAt: 1_009 });
  expect(at.client.conversations.getSnapshot()[0]?.id).toBe(room);
  expect([seqs(at), await socket.hasAsked("entries")]).toEqual([[], false]);
  socket.lose();
  await nextAttempt(at);
  const second = await hello(at, { capabilities });
  const args = await answerSync(second, { rows: [row({ head: 12 })], large: [room] });
  expect((args[1] as unknown[])[0]).toEqual([room, 5]);
  expect([shown(at)?.unread, await second.hasAsked("entries")]).toEqual([10, false]);
});

test("looking at it opens it, and fetches from the position up to the head; what is pushed meanwhile follows", async () => {
  await using at = world();
  const socket = await inLarge(at);
  socket.push(...counter(8));
  at.client.conversation(room).subscribe(() => {});
  const asked = await socket.take("open");
  expect(asked.args).toEqual([[room]]);
  expect(await socket.hasAsked("entries")).toBe(false);
  socket.push(...counter(9));
  socket.reply(asked, []);
  socket.push("entries", room, [message(10)]);
  const gap = await socket.take("entries");
  expect(gap.args.slice(0, 2)).toEqual([room, 6]);
  socket.reply(gap, [messages(6, 10), 10, 1]);
  await settle();
  expect([seqs(at), shown(at)?.unread]).toEqual([[6, 7, 8, 9, 10], 8]);
});

test("who looks no more stops fetching, and is counted to again", async () => {
  await using at = world();
  const socket = await inLarge(at);
  const leave = at.client.conversation(room).subscribe(() => {});
  await opening(socket, room);
  socket.push("entries", room, [message(6)]);
  leave();
  await opening(socket);
  socket.push("entries", room, [message(7)]);
  socket.push(...counter(9));
  expect([seqs(at), shown(at)?.unread, await socket.hasAsked("entries")]).toEqual([[6, 7], 7, false]);
});

test("entries that wait for a gap are counted although the gap is fetched no more", async () => {
  await using at = world();
  const socket = await inLarge(at);
  const leave = at.client.conversation(room).subscribe(() => {});
  const asked = await socket.take("open");
  socket.push(...counter(7));
  socket.reply(asked, []);
  const gap = await socket.take("entries");
  socket.push("entries", room, [message(8), message(9, "mine", alice)]);
  leave();
  await opening(socket);
  socket.refuse(gap, ["store_unavailable", "later", "retry", null, null]);
  await at.clock.advance(20_000);
  expect(await socket.hasAsked("entries")).toBe(false);
  expect([seqs(at), shown(at)?.headSeq, shown(at)?.unread]).toEqual([[], 9, 6]);
});

test("messages of mine from elsewhere are not unread, and the newest known message is shown", async () => {
  await using at = world();
  const socket = await inLarge(at);
  socket.push(...counter(6, message(6, "mine", alice)));
  socket.push(...counter(8));
  socket.push(...counter(8, message(6, "again", alice)));
  expect(shown(at)).toMatchObject({ headSeq: 8, unread: 5, lastMessage: { seq: 6, text: "mine" } });
});

test("who is mentioned is told, and told again by the entry once they look", async () => {
  await using at = world();
  const told: ClientEvents["mention"][] = [];
  at.client.on("mention", (event) => void told.push(event));
  const socket = await inLarge(at);
  const mention = [6, 4, 1, true, 1_006, bob, null, "c6", null, ["alice!", null, null, null, ["alice"]]];
  socket.push(...counter(6, mention as unknown as EntryTuple));
  socket.push(...counter(7, message(7, "mine", alice)));
  expect(told.map(({ conversation, entry }) => [conversation, entry[0]])).toEqual([[room, 6]]);
  expect([seqs(at), shown(at)?.unread]).toEqual([[], 4]);
  at.client.conversation(room).subscribe(() => {});
  await opening(socket, room);
  socket.reply(await socket.take("entries"), [[mention as unknown as EntryTuple, message(7, "mine", alice)], 7, 1]);
  await settle();
  expect([seqs(at), told.length]).toEqual([[6, 7], 1]);
});

test("a name and members that changed while nobody looked are seen once somebody does", async () => {
  await using at = world();
  const socket = await inLarge(at);
  socket.push(...counter(7));
  at.client.conversation(room).subscribe(() => {});
  await opening(socket, room);
  const gap = await socket.take("entries");
  const renamed = [6, 3, 3, false, 1_006, bob, null, null, null, [null, { name: "Renamed" }]];
  const joined = [7, 3, 2, false, 1_007, bob, null, null, null, [[0, "carol", "member", 1]]];
  expect(shown(at)).toMatchObject({ name: "Room", memberCount: 2 });
  socket.reply(gap, [[renamed, joined], 7, 1]);
  await settle();
  expect(shown(at)).toMatchObject({ name: "Renamed", memberCount: 3, headSeq: 7 });
});

test("what is looked at is told ahead of sync on every connection, and missed entries are delivered", async () => {
  await using at = world();
  const first = await inLarge(at);
  at.client.conversation(room).subscribe(() => {});
  await opening(first, room);
  first.lose();
  await nextAttempt(at);
  const second = await hello(at, { capabilities });
  expect(second.asked.map(({ operation }) => operation)).toEqual(["open", "sync"]);
  await opening(second, room);
  await answerSync(second, { rows: [row({ head: 9 })], large: [room], resumed: [[room, messages(6, 7)]] });
  const gap = await second.take("entries");
  expect(gap.args[1]).toBe(8);
  second.reply(gap, [messages(8, 9), 9, 1]);
  await settle();
  expect(seqs(at)).toEqual([6, 7, 8, 9]);
});

test("of many that are looked at, the last ones are open; a screen that goes as another comes is one change", async () => {
  await using at = world();
  const socket = await inLarge(at, { rows: [] });
  const ids = Array.from({ length: 18 }, (_, i) => `g${String(i).padStart(22, "A")}`);
  const leave = ids.map((id) => at.client.conversation(id).subscribe(() => {}));
  await opening(socket, ...ids.slice(2));
  leave[17]?.();
  leave[16]?.();
  at.client.conversation(otherRoom).subscribe(() => {});
  await opening(socket, ...ids.slice(1, 16), otherRoom);
  expect(await socket.hasAsked("open")).toBe(false);
});

test("a list that was refused is told again", async () => {
  await using at = world();
  const socket = await inLarge(at);
  socket.push(...counter(6));
  at.client.conversation(room).subscribe(() => {});
  socket.refuse(await socket.take("open"), ["slow_down", "later", "retry", 500, null]);
  await at.clock.advance(1_000);
  await opening(socket, room);
  expect((await socket.take("entries")).args[1]).toBe(6);
});

test("counters that come in the same bytes as their row are counted", async () => {
  await using at = world();
  const socket = await hello(at, { capabilities });
  const asked = await socket.take("sync");
  const reply = encodeReply(asked.id, [1, [row({ head: 5 })], null, [3, 0], [], [], [room]]);
  const mine = encodePush(...counter(6, message(6, "mine", alice)));
  socket.deliver(Buffer.concat([reply, mine, encodePush(...counter(9)), encode([5])]));
  await settle();
  expect(shown(at)).toMatchObject({ headSeq: 9, unread: 6 });
});

test("whoever is added to a large one starts at the join and fetches when they look", async () => {
  await using at = world();
  const socket = await inLarge(at, { rows: [], large: [], userSeq: 4 });
  const added = row({ head: 11, join: [9, 7, 0] });
  socket.push("feed", [[5, "membership", room, ["added", 9, "member", [9, 7, 0], 1, "bob"]]], [added], [room]);
  socket.push(...counter(13));
  expect([shown(at)?.unread, await socket.hasAsked("entries")]).toEqual([4, false]);
  at.client.conversation(room).subscribe(() => {});
  await opening(socket, room);
  expect((await socket.take("entries")).args[1]).toBe(9);
});

test("far behind, looking at it starts at the head", async () => {
  await using at = world({ resumeEntriesMax: 100 });
  const socket = await inLarge(at);
  socket.push(...counter(500));
  at.client.conversation(room).subscribe(() => {});
  await opening(socket, room);
  socket.reply(await socket.take("get"), row({ head: 500 }));
  await settle();
  socket.push("entries", room, [message(501)]);
  expect(at.starts.at(-1)).toEqual({ conversation: room, from: 501, why: "tooFar" });
  expect([seqs(at), await socket.hasAsked("entries")]).toEqual([[501], false]);
});

test("marking everything as read needs no look, and a mark that waits counts at once", async () => {
  await using at = world();
  const socket = await inLarge(at);
  socket.push(...counter(9));
  const marked = at.client.conversation(room).markRead();
  expect(shown(at)?.unread).toBe(0);
  socket.push(...counter(10));
  expect(shown(at)?.unread).toBe(1);
  const asked = await socket.take("read");
  expect(asked.args).toEqual([room, "read", 9]);
  socket.reply(asked, [[9, 7, 0], 1]);
  expect(await marked).toEqual({ seq: 9, unread: 1 });
});

test("without the option, or where the server does not speak it, everything is as ever", async () => {
  await using every = world({ counters: false });
  await settle();
  every.socket().open();
  const asked = await every.socket().take("hello");
  expect(asked.args[4]).not.toContain("counters");
  await using old = world();
  const socket = await online(old, { rows: [row({ head: 5 })] });
  old.client.conversation(room).subscribe(() => {});
  socket.push("entries", room, [message(7)]);
  expect((await socket.take("entries")).args[1]).toBe(6);
  expect(await socket.hasAsked("open")).toBe(false);
});
