import { expect, test } from "bun:test";
import { systemClock } from "../lib/clock";
import type { Clock } from "../lib/clock";
import { decodeFrames, encode } from "../protocol/codec";
import type { ConversationId } from "../protocol/ids";
import { limits } from "../protocol/limits";
import { dropLimit, Line, Outbox } from "./outbox";
import type { Socket } from "./outbox";

const id = `g${"A".repeat(22)}` as ConversationId;

class World {
  now = 1;
  readonly messages: unknown[][] = [];
  readonly done: string[] = [];
  readonly topics = new Set<string>();
  buffered = 0;
  status = 1;
  readonly #turn: (() => void)[] = [];
  readonly clock: Clock = {
    ...systemClock,
    monotonic: () => this.now,
    endOfTurn: (call) => void this.#turn.push(call),
  };
  readonly outbox: Outbox;
  readonly line: Line;

  constructor() {
    const note = (what: string): number => this.done.push(what);
    const meter = { slowConsumer: () => undefined, dropped: note, connectionClosed: () => undefined };
    this.outbox = new Outbox(this.clock, meter, 1_000);
    const topics = this.topics;
    const socket: Socket = {
      sendBinary: (bytes) => {
        this.messages.push(decodeFrames(bytes).map((frame) => frame[1]));
        return this.status;
      },
      cork: (write) => write(),
      subscribe: (topic) => void topics.add(topic),
      unsubscribe: (topic) => void topics.delete(topic),
      isSubscribed: (topic) => topics.has(topic),
      get subscriptions() {
        return [...topics];
      },
      getBufferedAmount: () => this.buffered,
      ping: () => note("ping"),
      close: (code) => note(`close ${code}`),
      terminate: () => note("terminate"),
    };
    this.line = new Line(this.outbox, socket);
  }

  endTurn(): void {
    for (const call of this.#turn.splice(0)) call();
  }
}

test("frames of one turn leave as one message, in order", () => {
  const world = new World();
  for (const name of ["a", "b", "c"]) world.line.send(encode([3, name]));
  expect(world.messages).toEqual([]);
  world.endTurn();
  expect(world.messages).toEqual([["a", "b", "c"]]);
});

test("what is sent now takes along what waited before it", () => {
  const world = new World();
  world.line.send(encode([3, "a"]));
  world.line.sendNow(encode([3, "b"]));
  expect(world.messages).toEqual([["a", "b"]]);
  world.endTurn();
  expect(world.messages.length).toBe(1);
});

test("a message never grows past frameBytesMax, nor does what waits", () => {
  const world = new World();
  const third = encode([3, "x", "y".repeat(limits.frameBytesMax / 3)]);
  for (let i = 0; i < 7; i++) world.line.send(third);
  world.endTurn();
  expect(world.messages.map((frames) => frames.length)).toEqual([2, 1, 2, 1, 1]);
});

test("a line that closes says goodbye last, hears nothing published, and goes once all is written", () => {
  const world = new World();
  world.line.subscribe(id);
  world.line.send(encode([3, "a"]));
  world.buffered = 10;
  world.line.close("goingAway", 100);
  expect([world.messages, [...world.topics], world.done]).toEqual([[["a", "goodbye"]], [], []]);
  world.line.subscribe(id);
  world.line.send(encode([3, "late"]));
  world.buffered = 0;
  world.line.drained();
  world.line.drained();
  world.endTurn();
  expect([world.messages.length, world.topics.size, world.done]).toEqual([1, 0, ["close 4000"]]);
});

test("a closing line that is never read is cut off after a while", () => {
  const world = new World();
  world.buffered = 10;
  world.line.close("tooSlow", null);
  world.line.look(world.now + 4_000);
  expect(world.done).toEqual([]);
  world.line.look(world.now + 6_000);
  expect(world.done).toEqual(["terminate"]);
});

test("should the socket ever drop a message, the connection ends there and then", () => {
  const world = new World();
  world.status = 0;
  world.line.sendNow(encode([3, "a"]));
  expect(world.done).toEqual(["socket_buffer", "terminate"]);
});

test("the socket's own limit lies beyond what a buffer can grow by between two looks", () => {
  const held = 32 * limits.frameBytesMax;
  expect(dropLimit(1_000)).toBeGreaterThan(1_000 + 1024 * 1024 + held);
});
