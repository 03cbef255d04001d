import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { systemClock } from "../lib/clock";
import type { Clock } from "../lib/clock";
import { AppError } from "../lib/errors";
import { silentLog } from "../lib/log";
import { createMetrics } from "../lib/metrics";
import { settings } from "../lib/settings";
import { decodeFrames, encode, packMessages } from "../protocol/codec";
import { Entrance } from "./entrance";
import { Session } from "./session";
import { sessionLimits } from "./session-world";
import type { SessionWorld } from "./session-world";

type Asked = {
  readonly kind: string;
  readonly key: string;
  readonly message: { op: string };
  readonly timeoutMs: number;
};

/** A session over fakes: what it asks is answered by the test. */
class World {
  readonly frames: unknown[][] = [];
  readonly asked: Asked[] = [];
  readonly left: unknown[] = [];
  answer: (asked: Asked) => Promise<unknown> = async () => [];
  proof: Promise<unknown> = Promise.resolve({ ok: true, user: "ada", issuedAt: 1, expiresAt: null });
  closedWith: string | null = null;
  readonly pings: string[] = [];
  readonly session: Session;

  constructor(clock: Clock = systemClock) {
    const router = {
      ask: (kind: string, key: string, message: { op: string }, timeoutMs: number) => {
        this.asked.push({ kind, key, message, timeoutMs });
        return this.answer(this.asked.at(-1) as Asked);
      },
    };
    const send = (frame: Uint8Array): void => void this.frames.push(...(decodeFrames(frame) as unknown[][]));
    const ping = (payload: string) => this.pings.push(payload);
    const line = { send, sendNow: send, ping, close: (reason: string) => (this.closedWith = reason) };
    const directory = {
      enter: () => ({ take: () => 0 }),
      opened: () => undefined,
      leave: (session: unknown) => this.left.push(session),
    };
    const config = settings.parse({});
    const meter = createMetrics();
    const world = {
      clock, entrance: new Entrance({ clock, settings: config, meter }), log: silentLog(), meter, settings: config, router, directory,
      store: { generation: "one" }, rows: { arrive: () => null, feedAt: () => undefined }, verifyToken: () => this.proof, server: "parley/test",
    }; // biome-ignore format: one object
    this.session = new Session(world as unknown as SessionWorld, line as never);
  }

  /** Sends requests in one message. */
  receive(...frames: readonly unknown[]): void {
    for (const message of packMessages(frames.map((frame) => encode(frame)))) this.session.receive(message);
  }

  async signIn(capabilities: readonly string[] = []): Promise<void> {
    this.receive([0, 1, "hello", [1, "token", "phone", null, capabilities]]);
    await this.settled();
    this.frames.length = 0;
    this.asked.length = 0;
  }

  /** Lets every promise that is ready run. */
  async settled(): Promise<void> {
    await new Promise<void>((resolve) => systemClock.endOfTurn(resolve));
  }

  get answers(): unknown[] {
    return this.frames.map(([type, id, value]) => [type, id, type === 2 ? (value as unknown[])[0] : value]);
  }
}

const id = `g${"A".repeat(22)}`;
const item = ["c", ["hello"]];

test("what follows hello waits for it, and is refused where hello is", async () => {
  const world = new World();
  const { promise, resolve } = Promise.withResolvers<unknown>();
  world.proof = promise;
  world.receive([0, 1, "hello", [1, "token", "phone"]], [0, 2, "devices", []]);
  expect(world.asked).toEqual([]);
  resolve({ ok: false, code: "auth_unavailable" });
  await world.settled();
  await world.settled();
  expect(world.answers).toEqual([
    [2, 1, "auth_unavailable"],
    [2, 2, "not_signed_in"],
  ]);
  expect(world.session.state).toBe("new");
});

test("what waits behind hello is bounded in number and in bytes", () => {
  for (const requests of [
    Array.from({ length: 65 }, (_, i) => [0, i + 2, "devices", []]),
    [
      [0, 2, "x", "y".repeat(262_000)],
      [0, 3, "x", "y".repeat(200)],
    ],
  ]) {
    const world = new World();
    world.proof = new Promise(() => undefined);
    world.receive([0, 1, "hello", [1, "token", "phone"]]);
    for (const request of requests) world.receive(request);
    expect(world.closedWith).toBe("flooding");
  }
});

test("id 0 is answered nothing, neither success nor failure", async () => {
  const world = new World();
  await world.signIn();
  world.receive([0, 0, "devices", []], [0, 0, "nothing", []], [0, 0, "send", [id, 7]], [0, 7, "devices", []]);
  await world.settled();
  expect(world.answers).toEqual([[1, 7, []]]);
});

test("an answer comes in whatever order its actor gives it", async () => {
  const world = new World();
  await world.signIn();
  const gates = [Promise.withResolvers<unknown>(), Promise.withResolvers<unknown>()];
  world.answer = async () => (gates.shift() as (typeof gates)[0]).promise;
  const [first, second] = gates;
  world.receive([0, 1, "devices", []], [0, 2, "devices", []]);
  second?.resolve("second");
  await world.settled();
  first?.resolve("first");
  await world.settled();
  expect(world.answers).toEqual([
    [1, 2, "second"],
    [1, 1, "first"],
  ]);
});

test("a fault of an actor is internal and says nothing of it; the session goes on", async () => {
  const world = new World();
  await world.signIn();
  world.answer = async () => {
    throw new Error("a secret of the house");
  };
  world.receive([0, 1, "devices", []]);
  await world.settled();
  expect(world.answers).toEqual([[2, 1, "internal"]]);
  expect(JSON.stringify(world.frames)).not.toContain("secret");
});

test("an answer that is no plain data, or larger than a frame, is internal", async () => {
  const world = new World();
  await world.signIn();
  for (const value of [() => 1, "x".repeat(300_000)]) {
    world.answer = async () => value;
    world.receive([0, 1, "devices", []]);
    await world.settled();
  }
  expect(world.answers).toEqual([
    [2, 1, "internal"],
    [2, 1, "internal"],
  ]);
});

test("the client's deadline is kept where it is shorter, and a meta that is none is refused", async () => {
  const world = new World();
  await world.signIn();
  const metas = [
    { deadlineMs: 500 },
    { deadlineMs: 60_000, trace: "t" },
    null,
    7,
    { deadlineMs: 0 },
    { a: "x".repeat(2_000) },
  ];
  world.receive(...metas.map((meta, i) => [0, i + 1, "devices", [], meta]));
  await world.settled();
  expect(world.asked.map(({ timeoutMs }) => timeoutMs)).toEqual([500, 10_000, 10_000]);
  expect(world.answers.slice(0, 3).map((answer) => (answer as unknown[])[2])).toEqual([
    "bad_request",
    "bad_request",
    "too_large",
  ]);
});

test("a send is busy until the first is decided, also where that fails", async () => {
  const world = new World();
  await world.signIn();
  const { promise, reject } = Promise.withResolvers<unknown>();
  world.answer = () => promise;
  world.receive([0, 1, "send", [id, [item]]], [0, 2, "send", [id, [item]]]);
  expect(world.answers).toEqual([[2, 2, "busy"]]);
  reject(new AppError("overloaded"));
  await world.settled();
  world.answer = async () => [5];
  world.receive([0, 3, "send", [id, [item]]]);
  await world.settled();
  expect(world.answers.slice(1)).toEqual([
    [2, 1, "overloaded"],
    [1, 3, [5]],
  ]);
});

test("faulty items of a send are answered in their places, and a send of nothing else is not asked", async () => {
  const world = new World();
  await world.signIn();
  world.answer = async ({ message }) =>
    (message as unknown as { args: [string, unknown[]] }).args[1].map((_, i) => i + 8);
  world.receive([0, 1, "send", [id, [item, ["", []], item]]], [0, 2, "send", [id, [7]]], [0, 3, "send", ["x", [item]]]);
  await world.settled();
  expect(world.answers.slice(0, 2)).toEqual([
    [2, 2, "bad_request"],
    [2, 3, "bad_request"],
  ]);
  const [first, second, third] = (world.frames[2]?.[2] ?? []) as unknown[];
  expect([first, (second as unknown[])[0], third]).toEqual([8, "bad_request", 9]);
  expect(world.asked.length).toBe(1);
});

test("the requests that wait for an answer are bounded in bytes too", async () => {
  const world = new World();
  await world.signIn();
  world.answer = () => new Promise(() => undefined);
  const large = "x".repeat(200_000);
  for (let i = 1; i <= 12; i++) world.receive([0, i, "devices", [], null, large]);
  expect(world.answers).toContainEqual([2, 11, "overloaded"]);
  expect(world.closedWith).toBeNull();
});

test("nothing is answered once the connection is gone, and it leaves the directory once", async () => {
  const world = new World();
  await world.signIn();
  const { promise, resolve } = Promise.withResolvers<unknown>();
  world.answer = () => promise;
  world.receive([0, 1, "devices", []]);
  world.session.closed();
  world.session.closed();
  resolve([]);
  await world.settled();
  world.receive([0, 2, "devices", []]);
  expect([world.frames, world.left.length]).toEqual([[], 1]);
});

test("a sign-out while hello is under way asks again, with the token that was given", async () => {
  const world = new World();
  const { promise, resolve } = Promise.withResolvers<unknown>();
  world.answer = () => promise;
  world.receive([0, 1, "hello", [1, "token", "phone"]]);
  while (world.asked.length === 0) await Promise.resolve();
  world.session.signedOut();
  world.answer = async () => {
    throw new AppError("signed_out");
  };
  resolve({ userSeq: 1 });
  await world.settled();
  await world.settled();
  expect(world.answers).toEqual([[2, 1, "signed_out"]]);
  expect([world.asked.length, world.closedWith]).toEqual([2, "signedOut"]);
});

test("a connection that goes while its token is checked signs nobody in", async () => {
  const world = new World();
  const { promise, resolve } = Promise.withResolvers<unknown>();
  world.proof = promise;
  world.receive([0, 1, "hello", [1, "token", "phone"]]);
  world.session.closed();
  resolve({ ok: true, user: "ada", issuedAt: 1, expiresAt: null });
  await world.settled();
  expect([world.asked, world.frames, world.session.state]).toEqual([[], [], "ended"]);
});

test("a session that may have missed something syncs again in place where its client can, and else comes back", async () => {
  for (const [named, closed, pushed] of [
    [["resync", "from the future"], null, [[3, "resync", 5_000]]],
    [[], "goingAway", []],
  ] as const) {
    const world = new World();
    await world.signIn(named);
    world.session.resync(5_000);
    expect([world.closedWith, world.frames]).toEqual([null, []]);
    world.session.interested = true;
    world.session.resync(5_000);
    expect<unknown>([world.closedWith, world.frames]).toEqual([closed, pushed]);
  }
});

test("a client shows that it is there by answering a ping, and one that owes the answer for long is closed", () => {
  const clock = new VirtualClock();
  const world = new World(clock);
  const { session } = world;
  session.state = "open";
  let shown = 0;
  clock.advance(5);
  session.show(
    () => true,
    () => shown++,
  );
  clock.advance(5);
  expect([world.pings, shown, session.shownAt]).toEqual([["1"], 0, 0]);
  session.ponged("1");
  expect([shown, session.shownAt]).toEqual([1, 5]);
  clock.advance(20_000);
  session.tick();
  expect(world.closedWith).toBe(null);

  session.show(
    () => true,
    () => shown++,
  );
  clock.advance(sessionLimits.pongMs);
  session.tick();
  expect([world.closedWith, session.isWanted()]).toEqual([null, true]);
  clock.advance(1);
  session.tick();
  expect([world.closedWith, session.isWanted()]).toEqual(["heartbeatMissed", false]);
  session.ponged("2");
  expect(shown).toBe(1);
});
