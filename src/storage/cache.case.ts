// The contract of the cache port as a test suite: every driver passes it, every sentence of cache.ts has a test here.
// What is garbage, slow or down is each driver's own matter and tested beside it.
import { describe, expect, test } from "bun:test";
import { cacheLimits } from "./cache";
import type { Cache } from "./cache";

const long = 600_000;
const short = 20;

/** Opens a ready cache that holds nothing; `second` sees the same data, where the driver shares it. */
export type OpenCache = () => Promise<AsyncDisposable & { readonly cache: Cache; readonly second: Cache | null }>;

/** Asks again until the answer is as wanted: for what expires by a server's clock. */
async function until<T>(ask: () => Promise<T>, wanted: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (wanted(answer)) return answer;
  }
}

/** Declares the tests of the contract for the driver called `name`. */
export function cacheContract(name: string, open: OpenCache): void {
  describe(`the ${name} cache`, () => {
    describe("values", () => valueCases(open));
    describe("counters", () => counterCases(open));
    describe("places", () => placeCases(open));
    describe("limits", () => limitCases(open));
  });
}

function valueCases(open: OpenCache): void {
  test("a value is there until its life is over, others are misses, in the order asked", async () => {
    await using world = await open();
    const { cache } = world;
    const value = { name: "Ada", tags: ["a", 1, true], bytes: new Uint8Array([1, 2]) };
    await cache.put([{ key: "a", value }], long);
    await cache.put([{ key: "b", value: 7 }], short);
    expect(await cache.get(["none", "a"])).toEqual([null, value]);
    expect(
      await until(
        () => cache.get(["b", "a"]),
        ([b]) => b === null,
      ),
    ).toEqual([null, value]);
  });

  test("a value put again replaces the first, and one dropped is a miss", async () => {
    await using world = await open();
    const { cache } = world;
    await cache.put(
      [
        { key: "a", value: 1 },
        { key: "b", value: 1 },
      ],
      long,
    );
    await cache.put([{ key: "a", value: 2 }], long);
    await cache.drop(["b", "none"]);
    expect(await cache.get(["a", "b"])).toEqual([2, null]);
  });

  test("a value too large is forgotten, not cut", async () => {
    await using world = await open();
    const { cache } = world;
    await cache.put([{ key: "a", value: "x".repeat(cacheLimits.valueBytesMax) }], long);
    expect(await cache.get(["a"])).toEqual([null]);
  });

  test("what is put by one node is seen by the others, where the driver says so", async () => {
    await using world = await open();
    const { cache, second } = world;
    expect(second !== null).toBe(cache.shared);
    await cache.put([{ key: "a", value: 1 }], long);
    if (second !== null) expect(await second.get(["a"])).toEqual([1]);
  });
}

function counterCases(open: OpenCache): void {
  test("a counter grows by what each call adds, also twice in one", async () => {
    await using world = await open();
    const { cache } = world;
    expect(await cache.count([{ key: "a", by: 2 }], long)).toEqual([2]);
    const twice = await cache.count(
      [
        { key: "a", by: 3 },
        { key: "b", by: 1 },
        { key: "a", by: 1 },
      ],
      long,
    );
    expect(twice).toEqual([5, 1, 6]);
  });

  test("a counter begins anew when its life is over or it was dropped", async () => {
    await using world = await open();
    const { cache } = world;
    await cache.count([{ key: "a", by: 5 }], long);
    await cache.drop(["a"]);
    expect(await cache.count([{ key: "a", by: 1 }], long)).toEqual([1]);
    await cache.count([{ key: "b", by: 5 }], short);
    // Each look counts and renews the counter's life, so it is looked at through another that does not.
    await until(
      async () => {
        await cache.put([{ key: "seen", value: 1 }], short);
        return until(
          () => cache.get(["seen"]),
          ([seen]) => seen === null,
        );
      },
      () => true,
    );
    expect(await cache.count([{ key: "b", by: 1 }], long)).toEqual([1]);
  });

  test("nodes that share a counter each see the sum of both", async () => {
    await using world = await open();
    const { cache, second } = world;
    await cache.count([{ key: "a", by: 2 }], long);
    expect(await (second ?? cache).count([{ key: "a", by: 3 }], long)).toEqual([5]);
    expect(await cache.count([{ key: "a", by: 1 }], long)).toEqual([6]);
  });
}

function placeCases(open: OpenCache): void {
  const sorted = async (cache: Cache, keys: readonly string[]) =>
    (await cache.members(keys)).map((members) => members && [...members].sort());

  test("members are there until they leave, and a place nobody entered is empty", async () => {
    await using world = await open();
    const { cache } = world;
    await cache.enter(
      [
        { key: "ada", member: "node-1" },
        { key: "ada", member: "node-2" },
        { key: "bob", member: "node-1" },
      ],
      long,
    );
    await cache.enter([{ key: "ada", member: "node-1" }], long);
    expect(await sorted(cache, ["ada", "none", "bob"])).toEqual([["node-1", "node-2"], [], ["node-1"]]);
    await cache.exit([
      { key: "ada", member: "node-1" },
      { key: "bob", member: "node-9" },
    ]);
    expect(await sorted(cache, ["ada", "bob"])).toEqual([["node-2"], ["node-1"]]);
  });

  test("a place is empty when its life is over, and lives on where it is entered again", async () => {
    await using world = await open();
    const { cache } = world;
    await cache.enter(
      [
        { key: "ada", member: "node-1" },
        { key: "bob", member: "node-1" },
      ],
      short,
    );
    await cache.enter([{ key: "bob", member: "node-1" }], long);
    const places = await until(
      () => cache.members(["ada", "bob"]),
      ([ada]) => ada?.length === 0,
    );
    expect(places).toEqual([[], ["node-1"]]);
  });

  test("a place with more members than are allowed is told as unknown or cut, never larger", async () => {
    await using world = await open();
    const { cache } = world;
    const places = Array.from({ length: 2 * cacheLimits.membersMax }, (_, i) => ({ key: "a", member: `node-${i}` }));
    await cache.enter(places, long);
    const [members] = await cache.members(["a"]);
    expect(members?.length ?? 0).toBeLessThanOrEqual(cacheLimits.membersMax);
  });
}

function limitCases(open: OpenCache): void {
  test("a call with more than a batch, or with no key at all under a name, is the caller's bug", async () => {
    await using world = await open();
    const { cache } = world;
    const many = Array.from({ length: cacheLimits.batchMax + 1 }, (_, i) => `key-${i}`);
    await expect(cache.get(many)).rejects.toThrow(RangeError);
    await expect(cache.members([""])).rejects.toThrow(RangeError);
    await expect(cache.drop(["x".repeat(cacheLimits.keyBytesMax + 1)])).rejects.toThrow(RangeError);
    expect(await cache.get(many.slice(1))).toHaveLength(cacheLimits.batchMax);
  });

  test("calls of nothing are answered with nothing", async () => {
    await using world = await open();
    const { cache } = world;
    expect(await cache.get([])).toEqual([]);
    expect(await cache.count([], long)).toEqual([]);
    expect(await cache.members([])).toEqual([]);
    await cache.put([], long);
  });

  test("after close every call is a miss", async () => {
    await using world = await open();
    const { cache } = world;
    await cache.put([{ key: "a", value: 1 }], long);
    await cache.close();
    await cache.close();
    await cache.enter([{ key: "p", member: "node-1" }], long);
    expect([cache.state(), await cache.get(["a"]), await cache.members(["p"])]).toEqual(["down", [null], [null]]);
    expect(await cache.count([{ key: "c", by: 1 }], long)).toEqual([null]);
  });
}
