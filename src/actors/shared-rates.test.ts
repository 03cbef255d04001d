import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import type { UserId } from "../protocol/ids";
import { MemoryCache } from "../storage/memory-cache";
import { PersonRate } from "./rate";
import { exchangeLimits, SharedRates } from "./shared-rates";
import type { SharedRatesDeps, Spender, Tally } from "./shared-rates";

const rule = { perSecond: 100, burst: 200 };

/** One node: a person's bucket, and its part in the exchange. Notes the batches it sends. */
class Node implements Spender {
  readonly user = "ada" as UserId;
  readonly rule = rule;
  readonly batches: number[] = [];
  readonly charged: number[] = [];
  readonly #clock: VirtualClock;
  readonly #rate: PersonRate;
  readonly #rates: SharedRates;
  readonly #tally: Tally;

  constructor(clock: VirtualClock, count: SharedRatesDeps["cache"]["count"]) {
    this.#clock = clock;
    this.#rate = new PersonRate(rule, clock.monotonic());
    const cache: SharedRatesDeps["cache"] = {
      count: (additions, lifeMs) => {
        this.batches.push(additions.length);
        return count(additions, lifeMs);
      },
    };
    this.#rates = new SharedRates({ cache, clock, meter: { cacheRead: () => undefined } });
    this.#tally = this.#rates.tally(this, clock.monotonic());
  }

  charge(amount: number, nowMs: number): void {
    this.charged.push(amount);
    this.#rate.charge(rule, amount, nowMs);
  }

  /** Makes this many requests at once; answers how many were let through. */
  spend(count: number): number {
    let passed = 0;
    const now = this.#clock.monotonic();
    for (let i = 0; i < count; i++) {
      if (this.#rate.take(rule, now) > 0) continue;
      this.#rates.spent(this.#tally, now);
      passed++;
    }
    return passed;
  }

  stop(): void {
    this.#rates.stop();
  }
}

function shared(clock: VirtualClock): MemoryCache {
  return new MemoryCache({ clock, entriesMax: 1_000, shared: true });
}

/** As many requests as the limit lets through for ten seconds, a quarter of it every 25 ms from each node. */
function passedInTenSeconds(clock: VirtualClock, nodes: readonly Node[]): number {
  let passed = 0;
  for (let i = 0; i < 400; i++) {
    // As a client that heeds the wait: it asks for what there may be, no more.
    for (const node of nodes) passed += node.spend(2);
    clock.advance(25);
  }
  return passed;
}

test("whoever spends little is not talked about", () => {
  const clock = new VirtualClock();
  const node = new Node(clock, (...args) => shared(clock).count(...args));
  for (let i = 0; i < 100; i++) {
    node.spend(1);
    clock.advance(exchangeLimits.windowMs / 8);
  }
  expect(node.batches).toEqual([]);
  expect(clock.pending).toBe(0);
});

test("what others spent is charged once, and never what was spent here", () => {
  const clock = new VirtualClock();
  const cache = shared(clock);
  const [a, b] = [0, 1].map(() => new Node(clock, (...args) => cache.count(...args))) as [Node, Node];
  for (let i = 0; i < 3; i++) {
    a.spend(20);
    b.spend(10);
    clock.advance(exchangeLimits.everyMs);
  }
  // The first sum of each is where it begins: of what came before it nothing is known.
  expect(a.charged.reduce((sum, one) => sum + one, 0)).toBe(20);
  expect(b.charged.reduce((sum, one) => sum + one, 0)).toBe(40);
  clock.advance(exchangeLimits.windowMs * 2);
  a.spend(20);
  clock.advance(exchangeLimits.everyMs);
  expect(a.charged.length).toBe(2);
});

test("a person on two nodes has one rate and a little more, and without the cache each node's own", () => {
  const together = new VirtualClock();
  const cache = shared(together);
  const both = [0, 1].map(() => new Node(together, (...args) => cache.count(...args)));
  const apart = new VirtualClock();
  const alone = [0, 1].map(() => new Node(apart, async (additions) => additions.map(() => null)));
  const fair = rule.perSecond * 10 + 2 * rule.burst;
  expect(passedInTenSeconds(together, both)).toBeLessThan(fair * 1.3);
  expect(passedInTenSeconds(apart, alone)).toBe(1_600);
});

test("at most one batch leaves in its time, however much is spent, and none before the last was answered", () => {
  const clock = new VirtualClock();
  const waiting: (() => void)[] = [];
  const node = new Node(clock, (additions) => new Promise((done) => waiting.push(() => done(additions.map(() => 1)))));
  node.spend(50);
  clock.advance(exchangeLimits.everyMs * 5);
  node.spend(50);
  clock.advance(exchangeLimits.everyMs * 5);
  expect(node.batches).toEqual([1]);
  waiting.shift()?.();
  clock.advance(exchangeLimits.everyMs);
  expect(node.batches).toEqual([1, 1]);
  node.stop();
  node.spend(50);
  waiting.shift()?.();
  clock.advance(exchangeLimits.everyMs * 5);
  expect(node.batches).toEqual([1, 1]);
});

/** What a cache may answer that lost, invented or was told anything. */
const lies: Record<string, (told: number) => number | null> = {
  "nothing is known": () => null,
  "always forgotten": () => 1,
  "one huge number": () => 1e15,
  "numbers that grow and grow": (told) => told * 1e12,
  "numbers up and down": (told) => (told % 2) * 1e12,
};

for (const [name, lie] of Object.entries(lies)) {
  test(`${name}: nobody is silenced, a tenth of the rate is always left`, () => {
    const clock = new VirtualClock();
    let told = 0;
    const node = new Node(clock, async (additions) => additions.map(() => lie(++told)));
    node.spend(rule.perSecond / 2);
    let passed = 0;
    for (let i = 0; i < 100; i++) {
      clock.advance(exchangeLimits.everyMs * 2);
      passed += node.spend(1);
    }
    expect(passed).toBe(100);
    if (name.includes("grow")) expect(node.charged.length).toBeGreaterThan(90);
  });
}
