// What reaches the application: every entry once, in order, whatever the network does (G6).
import { expect, test } from "bun:test";
import { memoryStorage } from "../../src/client/storage";
import {
  answerSync,
  hello,
  message,
  messages,
  nextAttempt,
  online,
  otherRoom,
  room,
  row,
  seqs,
  settle,
  world,
} from "./scripted";

test("a new device starts at the head and delivers what is pushed after it", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row({ head: 5 })] });
  socket.push("entries", room, messages(6, 7));
  expect(at.starts).toEqual([{ conversation: room, from: 6, why: "new" }]);
  expect(seqs(at)).toEqual([6, 7]);
  expect(at.entries.every(({ how }) => how === "pushed")).toBe(true);
});

test("a duplicate is delivered once", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row({ head: 5 })] });
  socket.push("entries", room, messages(6, 7));
  socket.push("entries", room, messages(5, 8));
  expect(seqs(at)).toEqual([6, 7, 8]);
});

test("a gap is fetched, and what came early follows it in order", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row({ head: 5 })] });
  socket.push("entries", room, [message(9)]);
  socket.push("entries", room, [message(8)]);
  expect(seqs(at)).toEqual([]);
  const asked = await socket.take("entries");
  expect(asked.args.slice(0, 2)).toEqual([room, 6]);
  socket.reply(asked, [[message(6)], 9, 1]);
  const rest = await socket.take("entries");
  socket.reply(rest, [[message(7)], 9, 1]);
  await settle();
  expect(seqs(at)).toEqual([6, 7, 8, 9]);
  expect(at.entries.map(({ how }) => how)).toEqual(["fetched", "fetched", "pushed", "pushed"]);
});

test("entries pushed before their row are delivered once the row tells the position", async () => {
  await using at = world();
  const socket = await hello(at);
  socket.push("entries", room, messages(5, 7));
  await answerSync(socket, { rows: [row({ head: 5 })] });
  expect(seqs(at)).toEqual([6, 7]);
});

test("reconnecting tells the position and delivers what was missed, once", async () => {
  await using at = world();
  const first = await online(at, { rows: [row({ head: 5 })] });
  first.push("entries", room, [message(6)]);
  first.lose();
  await nextAttempt(at);
  const second = await hello(at);
  const args = await answerSync(second, { rows: [row({ head: 8 })], resumed: [[room, messages(7, 8)]] });
  expect(args).toEqual([null, [[room, 6]]]);
  expect(seqs(at)).toEqual([6, 7, 8]);
});

test("what was missed and not resumed is fetched in pages", async () => {
  await using at = world();
  const first = await online(at, { rows: [row({ head: 5 })] });
  first.lose();
  await nextAttempt(at);
  const second = await online(at, { rows: [row({ head: 405 })] });
  for (let page = 0; page < 2; page++) {
    const asked = await second.take("entries");
    const from = asked.args[1] as number;
    second.reply(asked, [messages(from, from + 199), 405, 1]);
  }
  await settle();
  expect(seqs(at)).toEqual(messages(6, 405).map(([seq]) => seq));
});

test("too far behind starts again at the head, and says so", async () => {
  await using at = world({ resumeEntriesMax: 100 });
  const first = await online(at, { rows: [row({ head: 5 })] });
  first.lose();
  await nextAttempt(at);
  const second = await online(at, { rows: [row({ head: 500 })] });
  second.push("entries", room, [message(501)]);
  expect(at.starts.at(-1)).toEqual({ conversation: room, from: 501, why: "tooFar" });
  expect(seqs(at)).toEqual([501]);
  expect(await second.hasAsked("entries")).toBe(false);
});

test("a position ahead of the head resets that conversation alone", async () => {
  await using at = world();
  const first = await online(at, { rows: [row({ head: 5 }), row({ id: otherRoom, head: 5 })] });
  first.push("entries", room, messages(6, 9));
  first.lose();
  await nextAttempt(at);
  const second = await online(at, { rows: [row({ head: 7 }), row({ id: otherRoom, head: 5 })] });
  expect(at.starts.slice(2)).toEqual([{ conversation: room, from: 8, why: "reset" }]);
  second.push("entries", room, [message(8)]);
  second.push("entries", otherRoom, [message(6)]);
  expect(seqs(at).slice(-2)).toEqual([8, 6]);
});

test("entries that outran the answer of sync are no reason to reset", async () => {
  await using at = world();
  const first = await online(at, { rows: [row({ head: 5 })] });
  first.lose();
  await nextAttempt(at);
  const second = await hello(at);
  second.push("entries", room, [message(6)]);
  await answerSync(second, { rows: [row({ head: 5 })] });
  second.push("entries", room, [message(7)]);
  expect(at.starts).toHaveLength(1);
  expect(seqs(at)).toEqual([6, 7]);
  expect(at.client.conversations.getSnapshot()[0]?.unread).toBe(5);
});

test("another generation drops positions and starts at the heads", async () => {
  await using at = world();
  const first = await online(at, { rows: [row({ head: 5 })] });
  first.push("entries", room, [message(6)]);
  first.lose();
  await nextAttempt(at);
  const second = await hello(at, { generation: "g2" });
  const args = await answerSync(second, { rows: [row({ head: 3 })] });
  expect(args).toEqual([null, []]);
  expect(at.starts.at(-1)).toEqual({ conversation: room, from: 4, why: "new" });
});

test("a floor above the position is a beginning, not a gap", async () => {
  await using at = world();
  const first = await online(at, { rows: [row({ head: 5 })] });
  first.lose();
  await nextAttempt(at);
  const second = await online(at, { rows: [row({ head: 30, join: [21, 19, 0], floor: 21 })] });
  const asked = await second.take("entries");
  expect(asked.args[1]).toBe(21);
  second.reply(asked, [messages(21, 30), 30, 21]);
  await settle();
  expect(at.starts.at(-1)).toEqual({ conversation: room, from: 21, why: "floor" });
  expect(seqs(at)).toEqual(messages(21, 30).map(([seq]) => seq));
});

test("an addition pushed by the feed starts at the join and fetches what follows it", async () => {
  await using at = world();
  const socket = await online(at, { userSeq: 4 });
  socket.push("entries", room, [message(12)]);
  const added = row({ head: 11, join: [9, 7, 0] });
  socket.push("feed", [[5, "membership", room, ["added", 9, "member", [9, 7, 0], 1, "bob"]]], [added]);
  const asked = await socket.take("entries");
  expect(asked.args[1]).toBe(9);
  socket.reply(asked, [messages(9, 11), 12, 1]);
  await settle();
  expect(at.starts).toEqual([{ conversation: room, from: 9, why: "joined" }]);
  expect(seqs(at)).toEqual([9, 10, 11, 12]);
});

test("a gap in the feed is a reason to sync", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row()], userSeq: 4 });
  socket.push("feed", [[7, "settings", room, [true, false]]], []);
  await answerSync(socket, { rows: [row({ muted: true })], userSeq: 7 });
  expect(at.client.conversations.getSnapshot()[0]?.muted).toBe(true);
});

test("a removal takes the conversation from the list, and nothing of it is fetched", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row({ head: 5 })], userSeq: 1 });
  socket.push("feed", [[2, "membership", room, ["removed", 6, null, null, null, "bob"]]], []);
  socket.push("entries", room, [message(9)]);
  expect(at.client.conversations.getSnapshot()).toEqual([]);
  expect(at.client.conversation(room).getSnapshot().membership).toBe("left");
  expect(await socket.hasAsked("entries")).toBe(false);
});

test("a conversation that sync lists as pending comes by itself, without numbers until then", async () => {
  await using at = world();
  const socket = await online(at, { pending: [room] });
  expect(at.client.conversations.getSnapshot()).toEqual([]);
  socket.push("row", row({ head: 5, unread: 3 }), [3, 0]);
  expect(at.starts).toEqual([{ conversation: room, from: 6, why: "new" }]);
  expect(at.client.totals.getSnapshot()).toEqual({ unread: 3, mutedUnread: 0 });
});

test("sync goes through all pages before it is done", async () => {
  await using at = world();
  const socket = await hello(at);
  const first = await socket.take("sync");
  socket.reply(first, [1, [row()], room, [4, 0], [], []]);
  const second = await socket.take("sync");
  expect(second.args[0]).toBe(room);
  expect(at.client.connection.getSnapshot().synced).toBe(false);
  expect(at.client.totals.getSnapshot().unread).toBe(4);
  socket.reply(second, [1, [row({ id: otherRoom, head: 6 })], null, null, [], []]);
  await at.client.ready();
  expect(at.client.conversations.getSnapshot().map(({ id }) => id)).toEqual([otherRoom, room]);
});

test("what a faulty or hostile server says breaks nothing", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row({ head: 5 })] });
  socket.raw([3, "entries", room, "nothing"]);
  socket.raw([3, "entries", room, [[6, 4, 1, true]]]);
  socket.raw([3, "never heard of", 1]);
  socket.raw([1, 4711, null]);
  socket.raw([9]);
  socket.raw([3, "__proto__", []]);
  socket.push("entries", room, [[6, 4, 1, true, 1, "bob" as never, null, null, null, { text: 7 }]]);
  socket.push("entries", room, [[7, 4, 99, false, 1, "bob" as never, null, null, null, [[[]]]]]);
  expect(seqs(at)).toEqual([6, 7]);
  expect(at.errors).toHaveLength(2);
  expect(
    at.client
      .conversation(room)
      .getSnapshot()
      .messages.map(({ text }) => text),
  ).toEqual([null]);
  expect(at.client.connection.getSnapshot().state).toBe("online");
});

test("a gap that opens while sync still runs is closed after it", async () => {
  await using at = world();
  const socket = await hello(at);
  socket.reply(await socket.take("sync"), [1, [row({ head: 5 })], room, [0, 0], [], []]);
  const second = await socket.take("sync");
  socket.push("entries", room, [message(8)]);
  expect(await socket.hasAsked("entries")).toBe(false);
  socket.reply(second, [1, [], null, null, [], []]);
  expect((await socket.take("entries")).args[1]).toBe(6);
});

test("a gap that the server cannot close now is asked for less and less often, and quickly again once it could", async () => {
  await using at = world({ random: () => 0.999 });
  const socket = await online(at, { rows: [row({ head: 5 })] });
  socket.push("entries", room, [message(7)]);
  const waited = async (): Promise<number> => {
    const before = at.clock.now();
    while (!(await socket.hasAsked("entries"))) await at.clock.advance(100);
    return at.clock.now() - before;
  };
  const refuse = async (): Promise<void> =>
    socket.refuse(await socket.take("entries"), ["store_unavailable", "later", "retry", null, null]);
  const waits: number[] = [];
  for (let i = 0; i < 5; i++) {
    await refuse();
    waits.push(await waited());
  }
  expect(waits).toEqual([1200, 1400, 1800, 2600, 4200]);
  socket.reply(await socket.take("entries"), [[message(6)], 7, 1]);
  await settle();
  expect(seqs(at)).toEqual([6, 7]);
  socket.push("entries", room, [message(9)]);
  await refuse();
  expect(await waited()).toBe(1200);
});

test("a gap is closed at once although an acknowledged message is still expected", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row({ head: 5 })] });
  at.client.conversation(room).send("mine");
  socket.reply(await socket.take("send"), [6]);
  await settle();
  socket.push("entries", room, [message(8)]);
  expect((await socket.take("entries")).args[1]).toBe(6);
});

test("a sign-in that overtakes the loading of the one before delivers nothing twice", async () => {
  const inner = memoryStorage();
  {
    await using before = world({ storage: inner });
    const socket = await online(before, { rows: [row({ head: 5 })] });
    socket.push("entries", room, messages(6, 8));
  }
  // The storage forgets who was here, so that the cache is loaded only once hello tells, and it is slow.
  const meta = (await inner.read("")).find(([key]) => key.endsWith("/meta"))?.[0] as string;
  await inner.write([[meta, undefined]]);
  const gate = Promise.withResolvers<void>();
  const slow = {
    ...inner,
    read: async (prefix: string) => {
      if (prefix.includes("/u/")) await gate.promise;
      return inner.read(prefix);
    },
  };
  await using at = world({ storage: slow });
  const first = await hello(at);
  first.lose();
  await nextAttempt(at);
  const second = await hello(at);
  expect(await second.hasAsked("sync")).toBe(false);
  gate.resolve();
  const args = await answerSync(second, { rows: [row({ head: 9 })], resumed: [[room, [message(9)]]] });
  expect(args).toEqual([null, [[room, 8]]]);
  expect(seqs(at)).toEqual([9]);
});
