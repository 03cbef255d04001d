// The durable outbox: order, repeats, refusals, restarts (G2, G4).
import { expect, test } from "bun:test";
import { ClientError } from "../../src/client/errors";
import type { Message } from "../../src/client/types";
import { alice, hello, message, nextAttempt, online, otherRoom, room, row, settle, world } from "./scripted";
import type { World } from "./scripted";

const refused = ["forbidden", "no", "final", null, null] as const;
const busy = ["busy", "wait", "retry", null, null] as const;
const ended = ["batch_ended", "again", "retry", null, null] as const;

function shown(at: World): readonly Message[] {
  return at.client.conversation(room).getSnapshot().messages;
}

function statuses(at: World): (string | null)[] {
  return shown(at).map(({ text, status }) => `${text} ${status}`);
}

function items(args: readonly unknown[]): readonly (readonly [string, readonly [string]])[] {
  return args[1] as readonly (readonly [string, readonly [string]])[];
}

test("messages sent at once leave as one request, and no other follows before its answer", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row()] });
  const view = at.client.conversation(room);
  view.send("one");
  const first = await socket.take("send");
  view.send("two");
  view.send("three");
  expect(items(first.args).map(([, [text]]) => text)).toEqual(["one"]);
  expect(await socket.hasAsked("send")).toBe(false);
  socket.reply(first, [3]);
  const second = await socket.take("send");
  expect(items(second.args).map(([, [text]]) => text)).toEqual(["two", "three"]);
});

test("an acknowledgement shows the message as sent and moves no position; the push does, once", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row()] });
  const { acked, clientId } = at.client.conversation(room).send("hello");
  const asked = await socket.take("send");
  expect(statuses(at)).toEqual(["hello sending"]);
  socket.reply(asked, [3]);
  expect(await acked).toBe(3);
  expect(statuses(at)).toEqual(["hello sent"]);
  expect(at.entries).toEqual([]);
  socket.push("entries", room, [message(3, "hello", alice, clientId)]);
  expect(statuses(at)).toEqual(["hello sent"]);
  expect(shown(at)[0]?.key).toBe(clientId);
  expect(at.entries).toHaveLength(1);
});

test("the push of my own message acknowledges it when it comes first", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row()] });
  const { acked, clientId } = at.client.conversation(room).send("hello");
  const asked = await socket.take("send");
  socket.push("entries", room, [message(3, "hello", alice, clientId)]);
  expect(await acked).toBe(3);
  socket.reply(asked, [3]);
  await settle();
  expect(statuses(at)).toEqual(["hello sent"]);
  expect(at.client.outbox.getSnapshot()).toEqual([]);
});

test("an acknowledged message whose entry does not come is fetched", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row()] });
  at.client.conversation(room).send("hello");
  socket.reply(await socket.take("send"), [4]);
  await at.clock.advance(2_000);
  const asked = await socket.take("entries");
  expect(asked.args[1]).toBe(3);
});

test("shown order is by seq, then pending in local order, whatever the clocks say", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row()] });
  const view = at.client.conversation(room);
  view.send("mine");
  const asked = await socket.take("send");
  view.send("later");
  socket.reply(asked, [4]);
  await settle();
  socket.push("entries", room, [message(3, "theirs")]);
  expect(statuses(at)).toEqual(["theirs sent", "mine sent", "later sending"]);
});

test("a final refusal fails that message alone, and the others go through", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row()] });
  const view = at.client.conversation(room);
  const [a, b, c] = ["a", "b", "c"].map((text) => view.send(text));
  socket.reply(await socket.take("send"), [3, refused, 4]);
  expect(await a?.acked).toBe(3);
  expect(await c?.acked).toBe(4);
  expect(b?.acked).rejects.toMatchObject({ code: "forbidden", outcome: "final" });
  expect(statuses(at)).toEqual(["a sent", "c sent", "b failed"]);
});

test("a refused message can be sent again at the end, or discarded", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row()] });
  const view = at.client.conversation(room);
  view.send("a");
  view.send("b");
  const first = await socket.take("send");
  socket.reply(first, [refused, refused]);
  await settle();
  shown(at)[0]?.failure?.discard();
  shown(at)[0]?.failure?.retry();
  const second = await socket.take("send");
  // Under another id: a server keeps for a while what it refused.
  const [[id, body]] = items(second.args) as [readonly [string, unknown]];
  expect(body).toEqual(items(first.args)[1]?.[1] as never);
  expect(items(first.args).map(([used]) => used)).not.toContain(id as never);
  socket.reply(second, [3]);
  await settle();
  expect(statuses(at)).toEqual(["b sent"]);
});

test("what a batch left undecided is repeated with the same ids, in the same order, before what came later", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row()] });
  const view = at.client.conversation(room);
  for (const text of ["a", "b", "c"]) view.send(text);
  const first = await socket.take("send");
  view.send("d");
  socket.reply(first, [3, busy, ended]);
  expect(await socket.hasAsked("send")).toBe(false);
  await at.clock.advance(10_000);
  const second = await socket.take("send");
  expect(items(second.args).slice(0, 2)).toEqual(items(first.args).slice(1));
  expect(items(second.args)[2]?.[1]).toEqual(["d"]);
});

test("a wait that the server asks for is kept", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row()] });
  at.client.conversation(room).send("a");
  socket.refuse(await socket.take("send"), ["slow_down", "slow", "retry", 5_000, null]);
  await at.clock.advance(4_900);
  expect(await socket.hasAsked("send")).toBe(false);
  await at.clock.advance(1_000);
  expect(await socket.hasAsked("send")).toBe(true);
});

test("no answer in time is an unknown outcome: the same id is sent again", async () => {
  await using at = world({ requestTimeoutMs: 5_000 });
  const socket = await online(at, { rows: [row()] });
  at.client.conversation(room).send("a");
  const first = await socket.take("send");
  socket.push("presence", []);
  await at.clock.advance(6_000);
  const second = await socket.take("send");
  expect(second.args).toEqual(first.args);
});

test("a lost connection repeats what had no answer, and what the log shows is not repeated", async () => {
  await using at = world();
  const first = await online(at, { rows: [row()] });
  const view = at.client.conversation(room);
  const stored = view.send("stored");
  view.send("lost");
  await first.take("send");
  first.lose();
  await nextAttempt(at);
  const second = await hello(at);
  const again = await second.take("send");
  expect(items(again.args).map(([, [text]]) => text)).toEqual(["stored", "lost"]);
  second.reply(await second.take("sync"), [
    1,
    [row({ head: 3 })],
    null,
    [0, 0],
    [],
    [[room, [message(3, "stored", alice, stored.clientId)]]],
  ]);
  expect(await stored.acked).toBe(3);
  expect(statuses(at)).toEqual(["stored sent", "lost sending"]);
});

test("conversations do not wait for each other", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row(), row({ id: otherRoom })] });
  at.client.conversation(room).send("a");
  at.client.conversation(otherRoom).send("b");
  await socket.take("send");
  expect((await socket.take("send")).args[0]).toBe(otherRoom);
});

test("a refused batch is sent one by one, so that the faulty item alone fails", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row()] });
  const view = at.client.conversation(room);
  const [a, b] = ["a", "b"].map((text) => view.send(text));
  socket.refuse(await socket.take("send"), ["bad_request", "one of them", "final", null, null]);
  const alone = await socket.take("send");
  expect(items(alone.args)).toHaveLength(1);
  socket.refuse(alone, ["bad_request", "this one", "final", null, null]);
  socket.reply(await socket.take("send"), [3]);
  expect(a?.acked).rejects.toBeInstanceOf(ClientError);
  expect(await b?.acked).toBe(3);
});

test("a batch stays below the size of a frame", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row()] });
  const view = at.client.conversation(room);
  for (let i = 0; i < 6; i++) view.send("x".repeat(60_000));
  expect(items((await socket.take("send")).args)).toHaveLength(4);
});

test("a draft that the server would refuse is refused at once", async () => {
  await using at = world();
  await online(at, { rows: [row()] });
  const view = at.client.conversation(room);
  expect(() => view.send("")).toThrow(expect.objectContaining({ code: "bad_request" }));
  expect(() => view.send("x".repeat(70_000))).toThrow(expect.objectContaining({ code: "too_large" }));
  expect(() => view.send({ data: { type: "t", value: () => 1 } })).toThrow(
    expect.objectContaining({ code: "bad_request" }),
  );
  expect(() => view.send({ text: "a", mentions: ["not an id!"] })).toThrow(
    expect.objectContaining({ code: "bad_request" }),
  );
  expect(at.client.outbox.getSnapshot()).toEqual([]);
});

test("the outbox refuses what is over its limit", async () => {
  await using at = world();
  const view = at.client.conversation(room);
  for (let i = 0; i < 10_000; i++) view.send("x");
  expect(() => view.send("one more")).toThrow(expect.objectContaining({ code: "outbox_full" }));
});

test("read marks that wait become one, the highest", async () => {
  await using at = world();
  const view = at.client.conversation(room);
  const marks = [view.markRead(3), view.markRead(5), view.markRead(4)];
  const socket = await online(at, { rows: [row({ head: 6 })] });
  const asked = await socket.take("read");
  expect(asked.args).toEqual([room, "read", 5]);
  socket.reply(asked, [[5, 3, 0], 1]);
  for (const mark of marks) expect(await mark).toEqual({ seq: 5, unread: 1 });
  expect(await socket.hasAsked("read")).toBe(false);
});

test("marking what is marked already changes nothing, so a listener may do it", async () => {
  await using at = world();
  const view = at.client.conversation(room);
  let told = 0;
  view.subscribe(() => {
    told++;
    view.markRead(5).catch(() => {});
  });
  view.markRead(5).catch(() => {});
  await settle();
  await settle();
  expect(told).toBe(1);
});

test("a queued mark counts in unread at once, and is what it says once stored", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row({ head: 6, unread: 4 })] });
  expect(at.client.totals.getSnapshot()).toEqual({ unread: 4, mutedUnread: 0 });
  const marked = at.client.conversation(room).markRead();
  expect(at.client.totals.getSnapshot()).toEqual({ unread: 0, mutedUnread: 0 });
  socket.push("entries", room, [message(7)]);
  socket.reply(await socket.take("read"), [[6, 4, 0], 1]);
  await marked;
  expect(at.client.totals.getSnapshot()).toEqual({ unread: 1, mutedUnread: 0 });
});

test("settings show at once and go back when they are refused", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row({ head: 6 })] });
  const settled = at.client.conversation(room).settings({ muted: true });
  expect(at.client.totals.getSnapshot()).toEqual({ unread: 0, mutedUnread: 4 });
  socket.refuse(await socket.take("settings"), ["no_access", "no", "final", null, null]);
  expect(settled).rejects.toMatchObject({ code: "no_access" });
  await settle();
  expect(at.client.totals.getSnapshot()).toEqual({ unread: 4, mutedUnread: 0 });
});
