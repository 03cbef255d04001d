// The push `resync`: everything a reconnect would repair is repaired, and the connection and what it carries stay.
import { expect, test } from "bun:test";
import { answerSync, message, messages, online, otherRoom, room, row, seqs, settle, world } from "./scripted";

test("hello names what the client can do", async () => {
  await using at = world();
  await settle();
  at.socket().open();
  expect((await at.socket().take("hello")).args[4]).toContain("resync");
});

test("a resync is a sync at a random moment within its time, once for however many pushes", async () => {
  await using at = world({ random: () => 0.5 });
  const socket = await online(at, { rows: [row({ head: 5 })] });
  socket.push("resync", 8_000);
  socket.push("resync", 1_000);
  await at.clock.advance(3_999);
  expect(await socket.hasAsked("sync")).toBe(false);
  await at.clock.advance(1);
  expect(await answerSync(socket, { rows: [row({ head: 5 })] })).toEqual([null, [[room, 5]]]);
  await at.clock.advance(60_000);
  expect(await socket.hasAsked("sync")).toBe(false);
  expect([at.sockets.length, at.errors]).toEqual([1, []]);
});

test("what was missed is delivered once and in order, beside what is pushed meanwhile", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row({ head: 5 }), row({ id: otherRoom, head: 5 })], userSeq: 3 });
  socket.push("resync", 0);
  await at.clock.advance(0);
  const asked = await socket.take("sync");
  // Its number shows that the row of the answer was told after it.
  socket.push("entries", room, [message(8)]);
  socket.push("feed", [[5, "settings", otherRoom, [true, false]]], []);
  const rows = [row({ head: 8, cursor: [7, 5, 0], unread: 1 })];
  socket.reply(asked, [4, rows, null, [1, 0], [], [[room, messages(6, 7)]]]);
  await settle();
  expect(seqs(at)).toEqual([6, 7, 8]);
  expect(at.client.conversation(room).getSnapshot().row).toMatchObject({ unread: 1 });
  expect(at.client.conversation(otherRoom).getSnapshot().membership).toBe("left");
  expect(at.client.connection.getSnapshot()).toMatchObject({ state: "online", synced: true });
});

test("what is queued or waits for its answer goes on as if nothing had been", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row({ head: 5 })] });
  const first = at.client.conversation(room).send("first");
  const sent = await socket.take("send");
  const second = at.client.conversation(room).send("second");
  socket.push("resync", 0);
  await at.clock.advance(0);
  await answerSync(socket, { rows: [row({ head: 5 })] });
  expect(await socket.hasAsked("send")).toBe(false);
  socket.reply(sent, [6]);
  expect(await first.acked).toBe(6);
  socket.reply(await socket.take("send"), [7]);
  expect(await second.acked).toBe(7);
});

test("a resync that the server has no room for is tried again, not before it says", async () => {
  await using at = world({ random: () => 0 });
  const socket = await online(at, { rows: [row({ head: 5 })] });
  socket.push("resync", 0);
  await at.clock.advance(0);
  socket.refuse(await socket.take("sync"), ["overloaded", "full", "retry", 3_000, null]);
  await at.clock.advance(2_999);
  expect(await socket.hasAsked("sync")).toBe(false);
  await at.clock.advance(1);
  await answerSync(socket, { rows: [row({ head: 5 })] });
});

test("a connection that ends takes its resync along", async () => {
  await using at = world({ random: () => 0.5 });
  const socket = await online(at, { rows: [row({ head: 5 })] });
  socket.push("resync", 60_000);
  await settle();
  socket.lose();
  await at.clock.advance(1_000);
  const next = await online(at, { rows: [row({ head: 5 })] });
  await at.clock.advance(60_000);
  expect(await next.hasAsked("sync")).toBe(false);
});
