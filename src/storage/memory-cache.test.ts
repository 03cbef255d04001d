import { expect, test } from "bun:test";
import { systemClock } from "../lib/clock";
import { cacheContract } from "./cache.case";
import { MemoryCache } from "./memory-cache";

cacheContract("memory", async () => {
  const cache = new MemoryCache({ clock: systemClock, entriesMax: 10_000 });
  return { cache, second: null, [Symbol.asyncDispose]: () => cache.close() };
});

test("past its limit the entry used longest ago makes room", async () => {
  const cache = new MemoryCache({ clock: systemClock, entriesMax: 2 });
  await cache.put(
    [
      { key: "a", value: 1 },
      { key: "b", value: 2 },
    ],
    1_000,
  );
  await cache.get(["a"]);
  await cache.put([{ key: "c", value: 3 }], 1_000);
  expect(await cache.get(["a", "b", "c"])).toEqual([1, null, 3]);
});

test("an entry expires by the clock it was given, also one put at its very beginning", async () => {
  const clock = { at: 0, monotonic: () => clock.at };
  const cache = new MemoryCache({ clock, entriesMax: 10 });
  await cache.put([{ key: "a", value: 1 }], 1_000);
  clock.at = 1_000;
  expect(await cache.get(["a"])).toEqual([1]);
  clock.at = 1_001;
  expect(await cache.get(["a"])).toEqual([null]);
});
