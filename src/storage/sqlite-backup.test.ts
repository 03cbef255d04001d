// Backup and restore on real files: online, verified, and never half done.
import { expect, test } from "bun:test";
import { copyFile, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteStore, type SqliteStore } from "./sqlite-store";
import { restoreSqlite } from "./sqlite-restore";
import { allPartitions, append, conversationNamed, entries, entry, plain, wholeLog } from "./store-samples.case";

const room = conversationNamed("room");

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "parley-backup-"));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function withStore<T>(file: string, use: (store: SqliteStore) => Promise<T>): Promise<T> {
  const store = await openSqliteStore({ file });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** A store of 600 entries and a backup of it. */
async function backedUp(folder: string): Promise<{ live: string; backup: string; epoch: number; generation: string }> {
  const live = join(folder, "live.sqlite");
  const backup = join(folder, "backup.sqlite");
  return withStore(live, async (store) => {
    const epoch = await store.claim(allPartitions);
    await store.commit(append(room, epoch, entries(1, 512)));
    await store.backup(backup, () => {});
    return { live, backup, epoch, generation: store.generation };
  });
}

test("a backup is taken while commits go on, and holds one moment of them", () =>
  inFolder(async (folder) => {
    const file = join(folder, "live.sqlite");
    await withStore(file, async (store) => {
      const epoch = await store.claim(allPartitions);
      const told: (readonly [number, number])[] = [];
      let seq = 0;
      let done = false;
      const backup = store
        .backup(join(folder, "copy.sqlite"), (...progress) => told.push(progress))
        .then(() => {
          done = true;
        });
      while (!done) {
        expect((await store.commit(append(room, epoch, entries(seq + 1, 64)))).outcome).toBe("stored");
        seq += 64;
      }
      await backup;
      expect(told.at(-1)?.[0]).toBe(told.at(-1)?.[1] ?? 0);
    });
    await withStore(join(folder, "copy.sqlite"), async (copy) => {
      const log = await wholeLog(copy, room);
      const head = (await copy.openConversation(room, 1, 0))?.head.seq ?? 0;
      expect(plain(log)).toEqual(plain(entries(1, head)));
    });
    expect((await readdir(folder)).filter((name) => name.includes("partial"))).toEqual([]);
  }));

test("a backup to a folder that does not exist says so and leaves nothing", () =>
  inFolder(async (folder) => {
    await withStore(join(folder, "live.sqlite"), async (store) => {
      const failed = store.backup(join(folder, "no", "copy.sqlite"), () => {});
      expect(failed).rejects.toMatchObject({
        code: "internal",
        message: expect.stringContaining("data folder exists"),
      });
      await failed.catch(() => {});
      expect((await store.claim([1])) > 0).toBe(true);
    });
  }));

test("a backup never replaces a file, least of all the data itself", () =>
  inFolder(async (folder) => {
    const { live, backup } = await backedUp(folder);
    await withStore(live, async (store) => {
      for (const taken of [live, backup]) {
        expect(await store.backup(taken, () => {}).catch((error: Error) => error.message)).toContain("exists");
      }
      expect((await wholeLog(store, room)).length).toBe(512);
    });
    const itself = await restoreSqlite({ from: live, to: live, force: true }).catch((error: Error) => error.message);
    expect(itself).toContain("the data itself");
  }));

test("a restore brings the data under a new generation and higher epochs", () =>
  inFolder(async (folder) => {
    const { backup, epoch, generation } = await backedUp(folder);
    const to = join(folder, "restored.sqlite");
    let copied = 0;
    const restored = await restoreSqlite({ from: backup, to, onProgress: (done) => (copied = done) });

    expect([restored.conversations, copied > 0]).toEqual([1, true]);
    await withStore(to, async (store) => {
      expect(store.generation).toBe(restored.generation);
      expect(store.generation).not.toBe(generation);
      expect(plain(await wholeLog(store, room))).toEqual(plain(entries(1, 512)));
      expect(await store.commit(append(room, epoch, [entry(513)]))).toEqual({ outcome: "fenced" });
      expect(await store.claim(allPartitions)).toBeGreaterThan(epoch + 1000);
    });
  }));

test("a restore does not replace data unless told to, and then keeps the old beside it", () =>
  inFolder(async (folder) => {
    const { live, backup } = await backedUp(folder);
    const highest = await withStore(live, async (store) => {
      const epoch = await store.claim(allPartitions);
      await store.commit(append(room, epoch, [entry(513)]));
      return epoch;
    });
    expect(restoreSqlite({ from: backup, to: live })).rejects.toThrow("--force");
    await restoreSqlite({ from: backup, to: live, force: true });
    await withStore(live, async (store) => {
      expect((await store.openConversation(room, 1, 0))?.head.seq).toBe(512);
      expect(await store.claim([0])).toBeGreaterThan(highest);
    });
    await withStore(`${live}.replaced`, async (store) => {
      expect((await store.openConversation(room, 1, 0))?.head.seq).toBe(513);
    });
  }));

test("a restore over data in use is refused and harms nothing", () =>
  inFolder(async (folder) => {
    const { live, backup } = await backedUp(folder);
    await withStore(live, async (store) => {
      const epoch = await store.claim(allPartitions);
      const refused = restoreSqlite({ from: backup, to: live, force: true });
      expect(await refused.catch((error: Error) => error.message)).toContain("stop its server first");
      expect((await store.commit(append(room, epoch, [entry(513)]))).outcome).toBe("stored");
      expect((await readdir(folder)).filter((name) => name.includes("restoring"))).toEqual([]);
    });
  }));

test("a damaged, empty or missing backup is refused and the target stays", () =>
  inFolder(async (folder) => {
    const { live, backup } = await backedUp(folder);
    const damaged = join(folder, "damaged.sqlite");
    const bytes = new Uint8Array(await Bun.file(backup).arrayBuffer());
    await writeFile(damaged, bytes.fill(0x55, 8192, 40_000));
    await writeFile(join(folder, "empty.sqlite"), "");
    for (const name of ["damaged.sqlite", "empty.sqlite", "missing.sqlite"]) {
      const failed = await restoreSqlite({ from: join(folder, name), to: live, force: true }).catch((error) => error);
      expect(failed).toMatchObject({ name: "StartupError" });
    }
    await withStore(live, async (store) => expect((await wholeLog(store, room)).length).toBe(512));
    expect((await readdir(folder)).filter((name) => name.includes("restoring"))).toEqual([]);
  }));

test("damaged data is replaced by a restore", () =>
  inFolder(async (folder) => {
    const { live, backup } = await backedUp(folder);
    await writeFile(live, "this is not a database, whatever its name says. ".repeat(400));
    await restoreSqlite({ from: backup, to: live, force: true });
    await withStore(live, async (store) => expect((await wholeLog(store, room)).length).toBe(512));
    await copyFile(`${live}.replaced`, join(folder, "kept"));
  }));

test("a log left beside data that was moved away is set aside, and never mixed into what is restored", () =>
  inFolder(async (folder) => {
    const { live, backup } = await backedUp(folder);
    await withStore(live, async (store) => {
      const epoch = await store.claim(allPartitions);
      await store.commit(append(room, epoch, [entry(513)]));
      await copyFile(`${live}-wal`, join(folder, "left"));
    });
    // As after a crash, when an operator took the file itself away.
    await rm(live);
    await copyFile(join(folder, "left"), `${live}-wal`);
    await restoreSqlite({ from: backup, to: live });
    await withStore(live, async (store) => {
      expect(plain(await wholeLog(store, room))).toEqual(plain(entries(1, 512)));
      expect((await store.openConversation(room, 1, 0))?.head.seq).toBe(512);
    });
    expect(await readdir(folder)).toContain("live.sqlite.left-wal");
  }));
