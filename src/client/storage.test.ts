import { afterAll, describe, expect, test } from "bun:test";
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import { appendFile, mkdtemp, readFile, rm, stat, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileStorage } from "./file-storage";
import { indexedDbStorage } from "./indexeddb-storage";
import { memoryStorage } from "./storage";
import type { ClientStorage } from "./storage";

const folder = await mkdtemp(join(tmpdir(), "parley-storage-"));
afterAll(() => rm(folder, { recursive: true, force: true }));
let serial = 0;
const fresh = (): string => join(folder, "deep", `${serial++}`);

/** What a file holds, read as a new process would. */
async function contents(path: string): Promise<readonly (readonly [string, unknown])[]> {
  const storage = fileStorage(path);
  return storage.read("").finally(() => storage.close());
}

/** Installs the fake database for one test. */
function withIndexedDb(): Disposable {
  const platform = globalThis as { indexedDB?: unknown; IDBKeyRange?: unknown };
  platform.indexedDB = new IDBFactory();
  platform.IDBKeyRange = IDBKeyRange;
  return {
    [Symbol.dispose]: () => {
      delete platform.indexedDB;
      delete platform.IDBKeyRange;
    },
  };
}

const drivers: Record<string, { make: () => ClientStorage; around: () => Disposable }> = {
  memory: { make: memoryStorage, around: () => ({ [Symbol.dispose]: () => {} }) },
  IndexedDB: { make: () => indexedDbStorage(), around: withIndexedDb },
  file: { make: () => fileStorage(fresh()), around: () => ({ [Symbol.dispose]: () => {} }) },
};

describe.each(Object.keys(drivers))("%s", (name) => {
  const { make, around } = drivers[name] as (typeof drivers)[string];

  test("answers the records under a prefix, in key order", async () => {
    using _ = around();
    const storage = make();
    await storage.write([
      ["b/2", { n: 2 }],
      ["a/1", "other"],
      ["b/1", [1, null, new Uint8Array([7])]],
    ]);
    expect(await storage.read("b/")).toEqual([
      ["b/1", [1, null, new Uint8Array([7])]],
      ["b/2", { n: 2 }],
    ]);
    expect(await storage.read("c/")).toEqual([]);
    await storage.close();
  });

  test("replaces and removes", async () => {
    using _ = around();
    const storage = make();
    await storage.write([
      ["a", 1],
      ["b", 1],
      ["c", 1],
    ]);
    await storage.write([
      ["a", 2],
      ["b", undefined],
      ["never there", undefined],
    ]);
    expect(await storage.read("")).toEqual([
      ["a", 2],
      ["c", 1],
    ]);
    await storage.close();
  });

  test("applies writes in the order they were called", async () => {
    using _ = around();
    const storage = make();
    await Promise.all([1, 2, 3, 4].map((n) => storage.write([["a", n]])));
    expect(await storage.read("a")).toEqual([["a", 4]]);
    await storage.close();
  });
});

test("two storages of one IndexedDB see each other's records, and what was closed opens again", async () => {
  using _ = withIndexedDb();
  const one = indexedDbStorage();
  await one.write([["a", 1]]);
  await one.close();
  expect(await indexedDbStorage().read("")).toEqual([["a", 1]]);
  expect(await one.read("")).toEqual([["a", 1]]);
});

test("a file gives back what it held", async () => {
  const path = fresh();
  const before = fileStorage(path);
  await before.write([
    ["a", { deep: [1, { er: true }] }],
    ["b", "two"],
  ]);
  await before.write([["b", undefined]]);
  await before.close();
  expect(await contents(path)).toEqual([["a", { deep: [1, { er: true }] }]]);
});

test("a group of changes that a crash tore apart is left out whole, and what follows is kept", async () => {
  const path = fresh();
  const before = fileStorage(path);
  await before.write([["a", 1]]);
  const whole = (await stat(path)).size;
  await before.write([
    ["b", 1],
    ["c", 1],
  ]);
  await before.close();
  for (let size = whole + 1; size < (await readFile(path)).length; size++) {
    const torn = fresh();
    await Bun.write(torn, await readFile(path));
    await truncate(torn, size);
    const after = fileStorage(torn);
    expect(await after.read("")).toEqual([["a", 1]]);
    await after.write([["d", 1]]);
    await after.close();
    expect(await contents(torn)).toEqual([
      ["a", 1],
      ["d", 1],
    ]);
  }
});

test("garbage behind the last group is left out", async () => {
  const path = fresh();
  const before = fileStorage(path);
  await before.write([["a", 1]]);
  await before.close();
  await appendFile(path, new Uint8Array([0, 0, 0, 4, 1, 2, 3, 4, 5, 6, 7, 8]));
  expect(await contents(path)).toEqual([["a", 1]]);
});

test("a file is written anew before it grows without end", async () => {
  const path = fresh();
  const storage = fileStorage(path);
  const value = "x".repeat(100_000);
  for (let i = 0; i < 60; i++) await storage.write([["a", `${i}${value}`]]);
  expect((await stat(path)).size).toBeLessThan(2_000_000);
  await storage.close();
  expect(await contents(path)).toEqual([["a", `59${value}`]]);
});

test("a file that was closed opens again", async () => {
  const storage = fileStorage(fresh());
  await storage.write([["a", 1]]);
  await storage.close();
  expect(await storage.read("")).toEqual([["a", 1]]);
  await storage.close();
});

test("a folder that cannot be made is told to whoever writes", async () => {
  await Bun.write(join(folder, "a file"), "");
  expect(fileStorage(join(folder, "a file", "x")).write([["a", 1]])).rejects.toThrow();
});
