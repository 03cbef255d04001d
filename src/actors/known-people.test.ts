import { afterEach, expect, test } from "bun:test";
import { configureFailpoints } from "../lib/failpoints";
import type { UserId } from "../protocol/ids";
import { KnownPeople } from "./known-people";
import type { CacheEntry } from "../storage/cache";
import type { KnownPeopleDeps } from "./known-people";

const [ada, bob, zoe] = ["ada", "bob", "zoe"] as UserId[] as [UserId, UserId, UserId];

/** A level that keeps what it is told. */
function level() {
  const kept = new Map<string, unknown>();
  return {
    kept,
    get: async (keys: readonly string[]) => keys.map((key) => kept.get(key) ?? null),
    put: async (entries: readonly CacheEntry[]) => {
      for (const { key, value } of entries) kept.set(key, value);
    },
  };
}

/** A store of these people, two levels, and what was asked of the store. */
function world(...existing: UserId[]) {
  const people = new Set(existing);
  const asked: (readonly UserId[])[] = [];
  const reads: (readonly [number, number])[] = [];
  const store: KnownPeopleDeps["store"] = {
    unknownUsers: async (users) => {
      asked.push(users);
      return users.filter((user) => !people.has(user));
    },
  };
  const meter: KnownPeopleDeps["meter"] = { cacheRead: (_, hits, misses) => reads.push([hits, misses]) };
  const [near, far] = [level(), level()];
  const other = new KnownPeople({ near: level(), far, store, meter });
  return { people, near, far, asked, reads, other, known: new KnownPeople({ near, far, store, meter }) };
}

afterEach(() => configureFailpoints(""));

test("the store is asked once about who exists, and every time about who does not", async () => {
  const { known, asked, reads } = world(ada, bob);
  expect(await known.unknownUsers([zoe, ada, bob])).toEqual([zoe]);
  expect(await known.unknownUsers([ada, zoe])).toEqual([zoe]);
  expect(await known.unknownUsers([bob, ada])).toEqual([]);
  expect(asked).toEqual([[zoe, ada, bob], [zoe]]);
  expect(reads).toEqual([
    [0, 3],
    [1, 1],
    [2, 0],
  ]);
});

test("whoever comes to exist is known at once, in the order asked and as often as asked", async () => {
  const { known, people } = world(ada);
  expect(await known.unknownUsers([zoe, bob, zoe])).toEqual([zoe, bob, zoe]);
  people.add(zoe);
  expect(await known.unknownUsers([zoe, bob])).toEqual([bob]);
});

test("what one node learnt the others take from the level they share, and keep near", async () => {
  const { known, other, far, asked } = world(ada);
  await known.unknownUsers([ada]);
  expect(await other.unknownUsers([ada])).toEqual([]);
  far.kept.clear();
  expect(await other.unknownUsers([ada])).toEqual([]);
  expect(asked).toEqual([[ada]]);
});

test("a value of another shape is not believed", async () => {
  const { known, near, far } = world(ada);
  for (const value of [1, "true", [true], { exists: true }, false]) {
    for (const { kept } of [near, far]) {
      kept.set("person:zoe", value);
      kept.set("person:ada", value);
    }
    expect(await known.unknownUsers([zoe, ada])).toEqual([zoe]);
  }
});

test("a store that cannot answer is not answered for", async () => {
  const { known, near } = world();
  const failing = new KnownPeople({
    near,
    far: null,
    store: { unknownUsers: () => Promise.reject(new Error("down")) },
    meter: { cacheRead: () => undefined },
  });
  expect(await known.unknownUsers([])).toEqual([]);
  await expect(failing.unknownUsers([ada])).rejects.toThrow("down");
});

test("negative control: remembering who does not exist answers wrongly", async () => {
  configureFailpoints("negative.unknownIsRemembered");
  const { known, people } = world();
  await known.unknownUsers([zoe]);
  people.add(zoe);
  expect(await known.unknownUsers([zoe])).toEqual([zoe]);
});
