import { expect, test } from "bun:test";
import type { AppError } from "../lib/errors";
import { settings } from "../lib/settings";
import { Entrance } from "./entrance";
import { hintLimits, Turnstile } from "./turnstile";
import type { TurnstileRule } from "./turnstile";

/** A turnstile whose time passes only when told, and whose chance is always the middle. */
class World {
  now = 0;
  refused = 0;
  room = 0;
  mayBegin = true;
  readonly begun: string[] = [];
  readonly ended: string[] = [];
  readonly turnstile: Turnstile;
  readonly #timers: { readonly at: number; readonly call: () => void }[] = [];
  readonly #under = new Map<string, () => void>();

  constructor(rule: Partial<TurnstileRule> = {}) {
    this.turnstile = new Turnstile(
      { atOnce: 2, waitingMax: 3, waitMs: 1_000, slow: null, ...rule },
      {
        clock: {
          monotonic: () => this.now,
          after: (ms, call) => {
            this.#timers.push({ at: this.now + ms, call });
            return () => undefined;
          },
        },
        random: () => 0.5,
        mayBegin: () => this.mayBegin,
        onRoom: () => void this.room++,
        onRefused: () => void this.refused++,
      },
    );
  }

  /** Somebody comes; their work lasts until {@link end}. Resolves with the refusal, or null once the work has ended. */
  come(name: string): Promise<AppError | null> {
    const work = (): Promise<void> => {
      this.begun.push(name);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#under.set(name, resolve);
      return promise;
    };
    return this.turnstile.pass(work).then(
      () => null,
      (error) => error as AppError,
    );
  }

  async end(name: string): Promise<void> {
    this.#under.get(name)?.();
    for (let i = 0; i < 5; i++) await Promise.resolve();
  }

  async pass(ms: number): Promise<void> {
    this.now += ms;
    for (const timer of this.#timers.splice(0)) {
      if (timer.at <= this.now) timer.call();
      else this.#timers.push(timer);
    }
    await Promise.resolve();
  }
}

test("so many are under way at once, and the others follow in the order they came", async () => {
  const world = new World();
  const all = ["a", "b", "c", "d", "e"].map((name) => world.come(name));
  expect(world.begun).toEqual(["a", "b"]);
  await world.end("b");
  expect(world.begun).toEqual(["a", "b", "c"]);
  await world.end("a");
  await world.end("c");
  expect(world.begun).toEqual(["a", "b", "c", "d", "e"]);
  await world.end("d");
  await world.end("e");
  expect(await Promise.all(all)).toEqual([null, null, null, null, null]);
  expect([world.turnstile.underWay, world.turnstile.waiting, world.room]).toEqual([0, 0, 5]);
});

test("work that fails makes room as well", async () => {
  const world = new World({ atOnce: 1 });
  const failed = world.turnstile.pass(() => Promise.reject(new Error("boom")));
  const next = world.come("next");
  expect(await failed.catch((error: Error) => error.message)).toBe("boom");
  expect(world.begun).toEqual(["next"]);
  await world.end("next");
  expect(await next).toBeNull();
});

test("past the row nobody waits, and each is told to come later than the one before", async () => {
  const world = new World();
  for (const name of ["a", "b", "c", "d"]) void world.come(name);
  expect(() => world.turnstile.assertRoom()).not.toThrow();
  void world.come("e");
  expect(() => world.turnstile.assertRoom()).toThrow("too many");
  const refused = await Promise.all(Array.from({ length: 1_000 }, (_, i) => world.come(`refused ${i}`)));
  const hints = refused.map((error) => error?.retryAfterMs ?? 0);
  expect(new Set(refused.map((error) => `${error?.code} ${error?.outcome}`))).toEqual(new Set(["overloaded retry"]));
  expect(hints).toEqual(hints.toSorted((a, b) => a - b));
  // Spread over as long as they will take at the rate that is assumed.
  expect(hints.at(-1)).toBe(Math.ceil(((1 + 1_000 + 3) * 1_000) / hintLimits.assumedPerSecond));
  expect([world.begun, world.refused]).toEqual([["a", "b"], 1_001]);
});

test("what is told follows what was really let through, and has an end", async () => {
  const world = new World({ atOnce: 1, waitingMax: 50, waitMs: 60_000 });
  for (let i = 0; i <= 50; i++) void world.come(`${i}`);
  // One every 20 ms, while all places are taken.
  for (let i = 0; i < 500; i++) {
    await world.pass(20);
    await world.end(`${i}`);
    void world.come(`${i + 51}`);
  }
  expect((await world.come("refused"))?.retryAfterMs).toBe(51 * 20);
  for (let i = 0; i < 2_000; i++) await world.come("refused");
  expect((await world.come("refused"))?.retryAfterMs).toBe(hintLimits.mostMs);
});

test("whoever waited too long is told so, and only they", async () => {
  const world = new World({ atOnce: 1 });
  void world.come("a");
  const early = world.come("b");
  await world.pass(600);
  const late = world.come("c");
  await world.pass(400);
  expect((await early)?.code).toBe("overloaded");
  expect(world.turnstile.waiting).toBe(1);
  await world.end("a");
  expect(world.begun).toEqual(["a", "c"]);
  await world.end("c");
  expect(await late).toBeNull();
});

test("work that waits for something else makes room, for so many and no more, and counts once it ends", async () => {
  const world = new World({ waitMs: 60_000, slow: { ms: 100, most: 3 } });
  const all = ["a", "b", "c", "d", "e"].map((name) => world.come(name));
  await world.pass(99);
  expect(world.begun).toEqual(["a", "b"]);
  await world.pass(1);
  await world.end("nobody");
  expect([world.begun, world.turnstile.underWay]).toEqual([["a", "b", "c", "d"], 4]);
  await world.pass(100);
  await world.end("nobody");
  expect([world.begun, world.turnstile.underWay]).toEqual([["a", "b", "c", "d", "e"], 5]);
  void world.come("f");
  await world.pass(1_000);
  expect(world.begun).toHaveLength(5);
  await world.end("a");
  await world.pass(1_000);
  await world.end("nobody");
  expect(world.begun).toHaveLength(6);
  for (const name of ["b", "c", "d", "e", "f"]) await world.end(name);
  expect(await Promise.all(all)).toEqual([null, null, null, null, null]);
  expect(world.turnstile.underWay).toBe(0);
});

test("nobody begins while nobody may, and all go on once they may", async () => {
  const world = new World();
  world.mayBegin = false;
  const all = ["a", "b", "c"].map((name) => world.come(name));
  world.turnstile.advance();
  expect(world.begun).toEqual([]);
  world.mayBegin = true;
  world.turnstile.advance();
  await Promise.resolve();
  expect(world.begun).toEqual(["a", "b"]);
  for (const name of ["a", "b", "c"]) await world.end(name);
  expect(await Promise.all(all)).toEqual([null, null, null]);
});

test("sign-ins wait while as many syncs wait as may be under way", async () => {
  const { connections } = settings.parse({ connections: { signInsMax: 10, syncsMax: 2 } });
  const clock = { now: () => 0, monotonic: () => 0, after: () => () => undefined, endOfTurn: () => undefined };
  const entrance = new Entrance({ clock, settings: { connections }, meter: { dropped: () => undefined } });
  const gates = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
  const syncs = gates.map((gate) => entrance.syncs.pass(() => gate.promise));
  let signedIn = false;
  const signIn = entrance.signIns.pass(async () => {
    signedIn = true;
  });
  expect([signedIn, entrance.waiting]).toEqual([false, 3]);
  gates[0]?.resolve();
  await syncs[0];
  await signIn;
  expect([signedIn, entrance.waiting]).toEqual([true, 1]);
});
