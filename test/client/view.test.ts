// What a screen shows beside messages: pages, typing, others' read marks, presence.
import { expect, test } from "bun:test";
import { message, nextAttempt, online, room, row, settle, world } from "./scripted";

test("opening a conversation loads its newest page, and older ones on demand", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row({ head: 102 })] });
  const view = at.client.conversation(room);
  view.subscribe(() => {});
  const newest = await socket.take("history");
  expect(newest.args).toEqual([room, "before", 103, 50, 102]);
  const page = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, i) => [message(from + i), 102] as const);
  socket.reply(newest, [page(53, 102), true, false, 53, 102, 1]);
  await settle();
  expect(view.getSnapshot()).toMatchObject({ hasBefore: true, loading: false });
  const older = view.loadBefore();
  const asked = await socket.take("history");
  expect(asked.args[2]).toBe(53);
  socket.reply(asked, [page(3, 52), false, true, 1, 52, 1]);
  await older;
  expect(view.getSnapshot().hasBefore).toBe(false);
  expect(view.getSnapshot().messages.map(({ seq }) => seq)).toEqual(Array.from({ length: 100 }, (_, i) => i + 3));
});

test("typing is shown for a while, and ends with a message", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row({ head: 5 })] });
  const view = at.client.conversation(room);
  const bob = "bob" as never;
  socket.push("signal", room, bob, "typing", null);
  expect(view.getSnapshot().typing).toEqual([bob]);
  socket.push("entries", room, [message(6)]);
  expect(view.getSnapshot().typing).toEqual([]);
  socket.push("signal", room, bob, "typing", null);
  await at.clock.advance(6_000);
  expect(view.getSnapshot().typing).toEqual([]);
});

test("my own typing is told at most once in three seconds", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row()] });
  const view = at.client.conversation(room);
  for (let i = 0; i < 10; i++) view.typing();
  await settle();
  expect(socket.asked.map(({ id, operation, args }) => [id, operation, args])).toEqual([
    [0, "signal", [room, "typing", null]],
  ]);
});

test("others' read marks are asked for when a conversation is opened, and only move forward", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row({ head: 5 })] });
  const view = at.client.conversation(room);
  view.subscribe(() => {});
  const bob = "bob" as never;
  socket.push("receipts", room, [[bob, 5]]);
  socket.reply(await socket.take("readers"), [[[bob, 4]], null]);
  await settle();
  expect([...view.getSnapshot().cursors]).toEqual([[bob, 5]]);
});

test("watched people are shown, and watched again after a reconnect", async () => {
  await using at = world();
  const socket = await online(at);
  const watching = at.client.watchPresence(["bob", "carol"]);
  socket.reply(await socket.take("watch"), [
    [
      ["bob" as never, true],
      ["carol" as never, false],
    ],
  ]);
  await watching;
  socket.push("presence", [
    ["bob" as never, false],
    ["mallory" as never, true],
  ]);
  expect([...at.client.presence.getSnapshot()]).toEqual([
    ["bob" as never, false],
    ["carol" as never, false],
  ]);
  socket.lose();
  expect(at.client.presence.getSnapshot().size).toBe(0);
  await nextAttempt(at);
  const next = await online(at);
  expect((await next.take("watch")).args).toEqual([["bob", "carol"]]);
});
