import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import type { UserId } from "../protocol/ids";
import type { Cache } from "../storage/cache";
import { MemoryCache } from "../storage/memory-cache";
import { presenceLimits, RemotePresence } from "./remote-presence";

const [ada, bob] = ["ada", "bob"] as UserId[] as [UserId, UserId];
const { beatMs, gatherMs, holdMs, nodeLifeMs, pollMs, renewMs, batchMax } = presenceLimits;

/** Nodes over one cache, whose calls are counted and which a test may flush or fail. */
class World {
  readonly clock = new VirtualClock();
  readonly calls: Partial<Record<keyof Cache, number>> = {};
  kept = new MemoryCache({ clock: this.clock, entriesMax: 100_000, shared: true });
  down = false;
  readonly cache: Cache;

  constructor() {
    const counted = <K extends "get" | "put" | "drop" | "enter" | "exit" | "members">(name: K) =>
      ((...args: never[]) => {
        this.calls[name] = (this.calls[name] ?? 0) + 1;
        const misses = async () => (name === "get" || name === "members" ? [null] : undefined);
        return this.down ? misses() : (this.kept[name] as (...args: never[]) => unknown)(...args);
      }) as Cache[K];
    this.cache = {
      shared: true,
      get: counted("get"),
      put: counted("put"),
      drop: counted("drop"),
      enter: counted("enter"),
      exit: counted("exit"),
      members: counted("members"),
      count: async () => [],
      state: () => (this.down ? "down" : "ready"),
      close: async () => undefined,
    };
  }

  node(letter: string) {
    const here = new Set<UserId>();
    const changes: (readonly [UserId, boolean])[] = [];
    const presence: RemotePresence = new RemotePresence({
      cache: this.cache,
      clock: this.clock,
      meter: { cacheRead: () => undefined },
      node: letter.repeat(11),
      isHere: (user) => here.has(user),
      onChange: (user) => changes.push([user, presence.isOnline(user)]),
    });
    presence.start();
    return { here, changes, presence };
  }

  flush(): void {
    this.kept = new MemoryCache({ clock: this.clock, entriesMax: 100_000, shared: true });
  }
}

/** Node B watches Ada, who is on node A. */
function watching(world = new World()) {
  const [a, b] = [world.node("A"), world.node("B")];
  b.presence.watch(ada);
  a.presence.here(ada);
  world.clock.advance(gatherMs + pollMs);
  return { world, clock: world.clock, a, b };
}

test("who comes and goes on one node is seen by those who watch on another, once each", () => {
  const { clock, a, b } = watching();
  expect(b.changes).toEqual([[ada, true]]);
  clock.advance(renewMs * 5);
  a.presence.gone(ada);
  clock.advance(gatherMs + pollMs);
  expect(b.changes).toEqual([
    [ada, true],
    [ada, false],
  ]);
});

test("a person on two nodes is online until they left both", () => {
  const { world, clock, a, b } = watching();
  const c = world.node("C");
  c.presence.here(ada);
  clock.advance(gatherMs);
  a.presence.gone(ada);
  clock.advance(gatherMs + pollMs * 2);
  expect(b.presence.isOnline(ada)).toBe(true);
  c.presence.gone(ada);
  clock.advance(gatherMs + pollMs);
  expect(b.presence.isOnline(ada)).toBe(false);
});

test("a node that stops takes its people along at once, one that dies when its life is over", async () => {
  const stopped = watching();
  const gone = stopped.a.presence.stop();
  stopped.clock.advance(pollMs);
  await gone;
  expect(stopped.b.changes.at(-1)).toEqual([ada, false]);

  const died = watching();
  Object.assign(died.world.cache, { put: async () => undefined });
  died.clock.advance(nodeLifeMs - beatMs - pollMs);
  expect(died.b.presence.isOnline(ada)).toBe(true);
  died.clock.advance(beatMs + pollMs * 2);
  expect(died.b.changes.at(-1)).toEqual([ada, false]);
});

test("after everything was forgotten, everybody is told again by the next heartbeat", () => {
  const { world, clock, b } = watching();
  world.flush();
  clock.advance(pollMs);
  expect(b.presence.isOnline(ada)).toBe(false);
  clock.advance(renewMs + pollMs * 2);
  expect(b.presence.isOnline(ada)).toBe(true);
});

test("while the cache does not answer, what was known is held for a while and then dropped", () => {
  const { world, clock, b } = watching();
  world.down = true;
  clock.advance(holdMs - 2 * pollMs);
  expect(b.presence.isOnline(ada)).toBe(true);
  clock.advance(3 * pollMs);
  expect(b.changes).toEqual([
    [ada, true],
    [ada, false],
  ]);
  world.down = false;
  clock.advance(pollMs * 3);
  expect(b.presence.isOnline(ada)).toBe(true);
});

test("a cache that comes back empty is told everything at once: that the node lives, who was here and who came meanwhile", () => {
  const { world, clock, a, b } = watching();
  b.presence.watch(bob);
  world.down = true;
  clock.advance(pollMs);
  a.presence.here(bob);
  clock.advance(pollMs);
  world.flush();
  world.down = false;
  clock.advance(pollMs * 3);
  expect([ada, bob].map((user) => b.presence.isOnline(user))).toEqual([true, true]);
});

test("names that no living node has put nobody online", () => {
  const { world, clock, b } = watching();
  b.presence.watch(bob);
  const places = ["", "garbage", "C".repeat(11), "B".repeat(11), "x".repeat(500)];
  void world.cache.enter(
    places.map((member) => ({ key: "place:bob", member })),
    600_000,
  );
  clock.advance(pollMs * 3);
  expect(b.presence.isOnline(bob)).toBe(false);
  expect(b.presence.isOnline(ada)).toBe(true);
});

test("a look answers about those just watched within its distance, together with others, and asks nobody twice", () => {
  const { world, clock, a, b } = watching();
  a.presence.here(bob);
  clock.advance(gatherMs + pollMs);
  b.presence.watch(bob);
  const before = world.calls.members ?? 0;
  let looks = 0;
  for (let i = 0; i < 20; i++) void b.presence.look([ada, bob]).then(() => looks++);
  clock.advance(presenceLimits.lookMs);
  expect([looks, b.presence.isOnline(bob)]).toEqual([20, true]);
  expect((world.calls.members ?? 0) - before).toBe(1);
  void b.presence.look([ada, bob]).then(() => looks++);
  clock.settle();
  expect([looks, (world.calls.members ?? 0) - before]).toEqual([21, 1]);
});

test("whoever is here is not looked after elsewhere", () => {
  const { world, clock, b } = watching();
  b.here.add(ada);
  const before = world.calls.members ?? 0;
  void b.presence.look([ada]);
  clock.advance(pollMs * 5);
  expect(world.calls.members ?? 0).toBe(before);
});

test("calls are bounded, however many come, are here and are watched; everybody has their turn", () => {
  const world = new World();
  const [a, b] = [world.node("A"), world.node("B")];
  const people = Array.from({ length: 3 * batchMax }, (_, i) => `person-${i}` as UserId);
  for (const user of people) b.presence.watch(user);
  for (const user of people) a.presence.here(user);
  world.clock.advance(3 * gatherMs);
  expect(world.calls.enter).toBe(3);
  world.clock.advance(3 * pollMs);
  expect(people.filter((user) => !b.presence.isOnline(user))).toEqual([]);
  expect(world.calls.members).toBeLessThanOrEqual(5);
  world.clock.advance(renewMs);
  expect(world.calls.enter).toBe(6);
  for (const user of people) b.presence.unwatch(user);
  const before = world.calls.members;
  world.clock.advance(pollMs * 5);
  expect(world.calls.members).toBe(before as number);
});
