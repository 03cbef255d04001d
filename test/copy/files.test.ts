// Copying between files: the same rows on both sides, gone on with after any interruption, refused where it could mislead.
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { copyFile, readdir } from "node:fs/promises";
import { configureFailpoints } from "../../src/lib/failpoints";
import { transferColumns, transferKinds } from "../../src/storage/copy";
import type { TransferRow } from "../../src/storage/copy";
import { openSqliteSource } from "../../src/storage/copy-sqlite-source";
import { createSqliteTarget } from "../../src/storage/copy-sqlite-target";
import { openSqliteStore } from "../../src/storage/sqlite-store";
import { compareProjections } from "../projections";
import { allPartitions } from "../../src/actors/local-placement";
import { CopyWorld, linesOfFile, moved, movedFile } from "./world";

test("a copy holds every row, the generation and an epoch counter that is not lower, and a server's view of it is whole", async () => {
  await using world = await CopyWorld.open();
  const from = await world.filled();
  const copied = await movedFile(from, world.path("to.sqlite"));

  expect(await linesOfFile(world.path("to.sqlite"))).toEqual(await linesOfFile(from));
  expect(copied).toMatchObject({ wasDone: false, resumed: false, epoch: 1, settled: { reopened: 0, people: 0 } });
  for (const kind of transferKinds) expect(copied.sums[kind].rows).toBeGreaterThan(1);
  const store = await openSqliteStore({ file: world.path("to.sqlite") });
  try {
    expect(store.generation).toBe(copied.generation);
    expect(await store.featureLevel()).toBe(1);
    expect(await compareProjections(store)).toMatchObject({ conversations: 12, faults: [] });
    expect(await store.claim(allPartitions)).toBe(3);
  } finally {
    await store.close();
  }
});

test("pages come in order and within their bounds, and go on behind any row", async () => {
  await using world = await CopyWorld.open();
  const source = openSqliteSource(await world.filled(), "snapshot");
  for (const kind of transferKinds) {
    const all: TransferRow[] = [];
    for await (const { rows } of source.pages(kind, null)) {
      expect(rows.length).toBeLessThanOrEqual(1000);
      all.push(...rows);
    }
    expect(all.length).toBe(await source.count(kind));
    for (const row of all) expect(row.length).toBe(transferColumns[kind].length);
    for (const at of [0, 1, Math.floor(all.length / 2), all.length - 1]) {
      const rest: TransferRow[] = [];
      for await (const { rows } of source.pages(kind, all[at] as TransferRow)) rest.push(...rows);
      expect(rest).toEqual(all.slice(at + 1));
    }
  }
  await source.close();
});

test("a copy that failed at any page goes on there and comes to the same", async () => {
  await using world = await CopyWorld.open();
  const from = await world.filled();
  const expected = await linesOfFile(from);
  const points = [
    "copy.page=throw@1",
    "copy.page=throw@7",
    "copy.page=throw@8",
    "copy.kind=throw@3",
    "copy.kind=throw@7",
  ];
  for (const [at, point] of [...points, "copy.compared=throw", "copy.done=throw"].entries()) {
    const to = world.path(`to-${at}.sqlite`);
    configureFailpoints(point);
    await expect(movedFile(from, to)).rejects.toThrow("a failpoint was armed");
    configureFailpoints("");
    expect((await readdir(world.folder)).includes(`to-${at}.sqlite`)).toBe(false);
    const again = await movedFile(from, to);
    expect(again.resumed || again.wasDone).toBe(true);
    expect(await linesOfFile(to)).toEqual(expected);
  }
  expect((await readdir(world.folder)).filter((name) => name.includes("copying"))).toEqual([]);
});

test("a copy that is stopped says that it can go on, and does", async () => {
  await using world = await CopyWorld.open();
  const from = await world.filled();
  const stop = new AbortController();
  const onProgress = ({ kind, rows }: { kind: string; rows: number }): void => {
    if (kind === "entries" && rows > 0) stop.abort();
  };
  const to = world.path("to.sqlite");
  await expect(movedFile(from, to, { signal: stop.signal, onProgress })).rejects.toMatchObject({ why: "stopped" });
  expect(await movedFile(from, to)).toMatchObject({ resumed: true });
  expect(await linesOfFile(to)).toEqual(await linesOfFile(from));
});

test("the same copy again is done already, until a server has used it", async () => {
  await using world = await CopyWorld.open();
  const from = await world.filled();
  const to = world.path("to.sqlite");
  const first = await movedFile(from, to);
  expect(await movedFile(from, to)).toEqual({ ...first, wasDone: true });

  const store = await openSqliteStore({ file: to });
  await store.claim(allPartitions);
  await store.close();
  await expect(movedFile(from, to)).rejects.toMatchObject({
    why: "refused",
    message: expect.stringContaining("exists"),
  });
});

test("a source that a server has open is refused, and so is one that was used since the copy began", async () => {
  await using world = await CopyWorld.open();
  const from = await world.filled();
  const to = world.path("to.sqlite");
  const store = await openSqliteStore({ file: from });
  expect(() => openSqliteSource(from, "alone")).toThrow("is in use; stop its server first");
  await store.close();

  configureFailpoints("copy.page=throw@4");
  await expect(movedFile(from, to)).rejects.toThrow();
  configureFailpoints("");
  const used = await openSqliteStore({ file: from });
  await used.claim(allPartitions);
  await used.close();
  await expect(movedFile(from, to)).rejects.toThrow("its source was used since; remove it and copy again");
});

test("no server starts on a source while it is copied", async () => {
  await using world = await CopyWorld.open();
  const from = await world.filled();
  const source = openSqliteSource(from, "alone");
  const locked = new Database(from);
  expect(() => locked.query("SELECT count(*) FROM meta").get()).toThrow("locked");
  locked.close();
  await source.close();
  await (await openSqliteStore({ file: from })).close();
});

test("two copies into one file exclude each other", async () => {
  await using world = await CopyWorld.open();
  const from = await world.filled();
  await copyFile(from, world.path("again.sqlite"));
  const to = world.path("to.sqlite");
  const first = createSqliteTarget({ file: to, resumable: true });
  await first.begin({ store: "sqlite", generation: "another", epoch: 1, featureLevel: 0 });
  await expect(movedFile(from, to)).rejects.toThrow("is being written by another copy");
  await first.close();
  await expect(movedFile(from, to)).rejects.toThrow("an unfinished copy of something else");
});

test("a row that differs is named, and the copy gets no name", async () => {
  await using world = await CopyWorld.open();
  const from = await world.filled();
  const to = world.path("to.sqlite");
  for (const [sql, says] of [
    ["UPDATE entries SET ordinal = ordinal + 1 WHERE cid = 2 AND seq = 7", /entries \["g[a-zA-Z0-9]+",7\] differs/],
    ["DELETE FROM feed WHERE user LIKE 'person.4@%'", /feed \["person\.4@example\.org",1\] is missing in the copy/],
    ["INSERT INTO users VALUES('zoe', 0, 1, 0, NULL)", /users \["zoe"\] is only in the copy/],
  ] as const) {
    configureFailpoints("copy.kind=throw@7");
    await expect(movedFile(from, to)).rejects.toThrow("a failpoint");
    configureFailpoints("");
    const db = new Database(`${to}.copying`);
    db.run(sql);
    db.close(true);
    const differs = movedFile(from, to);
    await expect(differs).rejects.toMatchObject({ why: "differs", message: expect.stringMatching(says) });
    expect(await readdir(world.folder)).not.toContain("to.sqlite");
    await Bun.file(`${to}.copying`).delete();
  }
});

test("a source with a gap in a log is copied as it is, but never called whole", async () => {
  await using world = await CopyWorld.open();
  const from = await world.filled();
  const db = new Database(from);
  db.run("DELETE FROM entries WHERE cid = 3 AND seq = 5");
  db.close(true);
  await expect(movedFile(from, world.path("to.sqlite"))).rejects.toThrow("a log has a gap");
});

test("what is no data of Parley, or of another version, is refused with the fix", async () => {
  await using world = await CopyWorld.open();
  expect(() => openSqliteSource(world.path("none.sqlite"), "alone")).toThrow("there is no data");
  const other = new Database(world.path("other.sqlite"), { create: true });
  other.run("CREATE TABLE recipes(name)");
  other.close(true);
  expect(() => openSqliteSource(world.path("other.sqlite"), "alone")).toThrow("of another program");
  const newer = await world.filled("newer.sqlite");
  const db = new Database(newer);
  db.run("UPDATE meta SET value = 99 WHERE key = 'schema'");
  db.close(true);
  expect(() => openSqliteSource(newer, "alone")).toThrow("a newer version; copy it with that (schema 99");
});

test("conversations that a crash left open stay open in the copy, so that a server finishes them", async () => {
  await using world = await CopyWorld.open();
  const from = await world.filled();
  const db = new Database(from);
  db.run("UPDATE heads SET open_epoch = 1 WHERE cid IN (1, 4)");
  db.close(true);
  const to = world.path("to.sqlite");
  await moved(openSqliteSource(from, "alone"), createSqliteTarget({ file: to, resumable: true }));
  expect(await linesOfFile(to)).toEqual(await linesOfFile(from));
  const store = await openSqliteStore({ file: to });
  expect(await store.listOpen(allPartitions, null, 10)).toHaveLength(2);
  await store.close();
});
