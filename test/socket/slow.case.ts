// Whoever reads too slowly is closed with a code that says so, and never finds a hole in what it was sent (G6, G11).
import { expect, test } from "bun:test";
import { decodeFrames, encode } from "../../src/protocol/codec";
import type { EntryTuple } from "../../src/protocol/entry";
import type { RawClient } from "./raw-client";
import { opcodes, RawSocket } from "./raw-socket";
import { tokenFor } from "./socket-world";
import type { SocketWorld, StartWorld } from "./socket-world";

const slowConsumerBytes = 64 * 1024;

/** Signs in and syncs over raw TCP. */
async function signInRaw(world: SocketWorld, user: string): Promise<RawSocket> {
  const socket = await RawSocket.open(world.port);
  socket.send(encode([0, 1, "hello", [1, tokenFor(user), "device-1"]]));
  socket.send(encode([0, 2, "sync", []]));
  await socket.until(({ payload }) => decodeFrames(payload).some(([type, id]) => type === 1 && id === 2));
  return socket;
}

/** Sends large messages until the server has closed somebody. Answers the last seq. */
async function sendUntil(sender: RawClient, id: string, done: () => boolean): Promise<number> {
  const text = "x".repeat(40_000);
  for (let last = 0; ; ) {
    const items = Array.from({ length: 4 }, () => [crypto.randomUUID(), [text]]);
    const seqs = (await sender.request("send", id, items)) as readonly number[];
    last = seqs.at(-1) as number;
    if (done()) return last;
  }
}

/** Declares these tests for one way to start a world. */
export function slowCases(start: StartWorld): void {
  test("a slow reader gets goodbye and 4001 behind a whole stretch of entries, and resumes from there", async () => {
    await using world = await start({ connections: { slowConsumerBytes } });
    const ada = await world.online("ada");
    using slow = await signInRaw(world, "bob");
    const id = await world.group(ada, "bob");
    await slow.until(({ payload }) => decodeFrames(payload).some(([, name]) => name === "feed"));
    slow.pause();
    const last = await sendUntil(ada, id, () => world.hub.sessions === 1);
    slow.resume();
    const close = await slow.until(({ opcode }) => opcode === opcodes.close);
    expect((close.payload[0] as number) * 256 + (close.payload[1] as number)).toBe(4001);

    const frames = slow.received
      .filter(({ opcode }) => opcode === opcodes.binary)
      .flatMap(({ payload }) => decodeFrames(payload));
    expect(frames.at(-1)?.slice(0, 3)).toEqual([3, "goodbye", 4001]);
    const seqs = frames
      .filter(([, name]) => name === "entries")
      .flatMap((frame) => (frame[3] as EntryTuple[]).map(([seq]) => seq));
    expect(seqs.length).toBeGreaterThan(0);
    expect(seqs).toEqual(seqs.map((_, i) => (seqs[0] as number) + i));

    const again = await world.signIn("bob");
    const position = seqs.at(-1) as number;
    const [, [row]] = await again.request("sync", null, [[id, position]]);
    expect(row?.[4][0]).toBe(last);
    const [missed] = await again.request("entries", id, position + 1, 1);
    expect(missed[0]?.[0]).toBe(position + 1);
  });

  test("a reader that never reads again is cut off, while the others go on", async () => {
    await using world = await start({ connections: { slowConsumerBytes } });
    const ada = await world.online("ada");
    using dead = await signInRaw(world, "bob");
    const cid = await world.online("cid");
    const id = await world.group(ada, "bob", "cid");
    await dead.until(({ payload }) => decodeFrames(payload).some(([, name]) => name === "feed"));
    dead.pause();
    const last = await sendUntil(ada, id, () => world.hub.sessions === 2);
    // Its socket lingers, unless the kernel has taken the rest.
    world.clock.advance(10_000);
    expect(world.sockets.connections).toBe(2);
    await cid.push("entries", ([, some]) => (some as EntryTuple[]).some(([seq]) => seq === last));
  });

  test("a burst within one turn of the event loop closes the slow reader before anything is dropped", async () => {
    await using world = await start({ connections: { slowConsumerBytes } });
    const ada = await world.online("ada");
    using slow = await signInRaw(world, "bob");
    const id = await world.group(ada, "bob");
    await slow.until(({ payload }) => decodeFrames(payload).some(([, name]) => name === "feed"));
    slow.pause();
    for (let n = 0; n < 40_000; n++) world.hub.publish(id, encode([3, "burst", n, "x".repeat(500)]));
    slow.resume();
    await slow.until(({ opcode }) => opcode === opcodes.close);
    const frames = slow.received
      .filter(({ opcode }) => opcode === opcodes.binary)
      .flatMap(({ payload }) => decodeFrames(payload));
    const numbers = frames.filter(([, name]) => name === "burst").map((frame) => frame[2]);
    expect(numbers.length).toBeLessThan(40_000);
    expect(numbers).toEqual(numbers.map((_, i) => i));
    expect(frames.at(-1)?.[1]).toBe("goodbye");
  });
}
