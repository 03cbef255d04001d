// What happens to writes and reads when the disk, another process or a thread fails under a running store (G1).
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { closeSync, openSync, statSync, writeFileSync, writeSync } from "node:fs";
import { AppError } from "../../src/lib/errors";
import { openForReading, openForWriting } from "../../src/storage/sqlite-open";
import {
  allPartitions,
  append,
  conversationNamed,
  entries,
  entry,
  seqs,
  wholeLog,
} from "../../src/storage/store-samples.case";
import { World } from "./world";

const room = conversationNamed("room");

test("every writing connection syncs each commit, and the log is written ahead", async () => {
  await using world = await World.create();
  const store = await world.open();
  expect(store.synchronous).toBe(2);
  using writer = openForWriting(world.file);
  expect(writer.query("PRAGMA synchronous").values()).toEqual([[2]]);
  expect(writer.query("PRAGMA journal_mode").values()).toEqual([["wal"]]);
  using reader = openForReading(world.file);
  expect(() => reader.run("DELETE FROM entries")).toThrow("readonly");
});

test("the negative control switches syncing off, so that the test above can fail", async () => {
  await using world = await World.create();
  expect((await world.open("negative.synchronousOff")).synchronous).toBe(0);
});

test("while another process holds the lock writes are refused and reads go on; then writes go through again", async () => {
  await using world = await World.create();
  const store = await world.open();
  const epoch = await store.claim(allPartitions);
  await store.commit(append(room, epoch, entries(1, 2)));
  using other = new Database(world.file);
  other.run("BEGIN IMMEDIATE");

  const refused = await store.commit(append(room, epoch, [entry(3)]));

  expect(refused).toMatchObject({ outcome: "refused", reason: expect.stringContaining("locked by another process") });
  expect(store.health()).toMatchObject({ writable: false, reason: expect.stringContaining("locked") });
  expect((await store.commit(append(room, epoch, [entry(3)]))).outcome).toBe("refused");
  expect(seqs(await wholeLog(store, room))).toEqual([1, 2]);

  const recovered = world.becomes(true);
  other.run("ROLLBACK");
  await recovered;
  expect(store.health()).toEqual({ writable: true, reason: null });
  expect((await store.commit(append(room, epoch, [entry(3)]))).outcome).toBe("stored");
});

test("a claim that cannot be written rejects with a retryable error", async () => {
  await using world = await World.create();
  const store = await world.open();
  using other = new Database(world.file);
  other.run("BEGIN IMMEDIATE");
  const failed = await store.claim([1]).catch((error: unknown) => error);
  expect(failed).toBeInstanceOf(AppError);
  expect(failed).toMatchObject({ code: "store_unavailable", retryable: true });
});

test("a writer that dies before its commit answers unknown, and what is reloaded is without it", async () => {
  await using world = await World.create();
  const store = await world.open("commit.before=end@2");
  const epoch = await store.claim(allPartitions);
  await store.commit(append(room, epoch, entries(1, 2)));
  const recovered = world.becomes(true);

  const answers = await Promise.all([
    store.commit(append(room, epoch, [entry(3)])),
    store.commit(append(conversationNamed("other"), epoch, [entry(1)])),
  ]);

  expect(answers.map(({ outcome }) => outcome)).toEqual(["unknown", "unknown"]);
  expect((await store.openConversation(room, epoch, 10))?.head.seq).toBe(2);
  expect(await store.openConversation(conversationNamed("other"), epoch, 10)).toBeNull();
  await recovered;
  expect((await store.commit(append(room, epoch, [entry(3)]))).outcome).toBe("stored");
});

test("a writer that dies after its commit answers unknown, and what is reloaded has it", async () => {
  await using world = await World.create();
  const store = await world.open("commit.after=end@2");
  const epoch = await store.claim(allPartitions);
  await store.commit(append(room, epoch, entries(1, 2)));
  const recovered = world.becomes(true);

  const answer = await store.commit(append(room, epoch, [entry(3)]));

  expect(answer.outcome).toBe("unknown");
  expect((await store.openConversation(room, epoch, 10))?.head.seq).toBe(3);
  await recovered;
  const again = await store.commit(append(room, epoch, [entry(4, { clientId: entry(3).clientId })]));
  expect(again).toMatchObject({ outcome: "conflict", duplicates: [{ seq: 3 }] });
  expect((await store.commit(append(room, epoch, [entry(4)]))).outcome).toBe("stored");
});

test("what waits behind a commit whose writer dies is refused, not lost and not stored", async () => {
  await using world = await World.create();
  const store = await world.open("commit.after=end@1");
  const epoch = await store.claim(allPartitions);
  const first = store.commit(append(room, epoch, [entry(1)]));
  await new Promise(setImmediate);
  const waiting = store.commit(append(conversationNamed("late"), epoch, [entry(1)]));
  expect([(await first).outcome, (await waiting).outcome]).toEqual(["unknown", "refused"]);
  expect(await store.openConversation(conversationNamed("late"), epoch, 1)).toBeNull();
});

test("a reader that dies rejects what it was asked, and another one answers soon", async () => {
  await using world = await World.create();
  const store = await world.open("read.before=end@2");
  const epoch = await store.claim(allPartitions);
  await store.commit(append(room, epoch, entries(1, 2)));
  expect(await store.listAdvanced(null, 5)).toEqual([{ conversation: room, seq: 2 }]);
  const failed = await store.listAdvanced(null, 5).catch((error: unknown) => error);
  expect(failed).toMatchObject({ code: "store_unavailable" });
  const answered = async (): Promise<unknown> => {
    for (;;) {
      const rows = await store.listAdvanced(null, 5).catch(() => null);
      if (rows) return rows;
      await new Promise(setImmediate);
    }
  };
  expect(await answered()).toEqual([{ conversation: room, seq: 2 }]);
});

test("another server's claim fences this one, which is told once", async () => {
  await using world = await World.create();
  let told = 0;
  const first = await world.open("", () => told++);
  const old = await first.claim(allPartitions);
  const second = await world.open();
  await second.claim(allPartitions);
  const rooms = [room, conversationNamed("b"), conversationNamed("c")];
  const answers = await Promise.all(rooms.map((each) => first.commit(append(each, old, entries(1, 2)))));
  expect(answers.map(({ outcome }) => outcome)).toEqual(["fenced", "fenced", "fenced"]);
  expect(told).toBe(1);
});

test("closing finishes what waits, and refuses what comes later", async () => {
  await using world = await World.create();
  const store = await world.open();
  const epoch = await store.claim(allPartitions);
  const rooms = Array.from({ length: 40 }, (_, at) => conversationNamed(at));
  const writes = Promise.all(rooms.map((each) => store.commit(append(each, epoch, entries(1, 100)))));
  const closed = store.close();
  expect((await writes).every(({ outcome }) => outcome === "stored")).toBe(true);
  await closed;
  expect((await store.commit(append(room, epoch, entries(1, 1)))).outcome).toBe("refused");
  expect(await store.listAdvanced(null, 1).catch((error) => error.code)).toBe("store_unavailable");
  await store.close();
});

test("more bytes than may wait are refused at once, and the rest is stored", async () => {
  await using world = await World.create();
  const store = await world.open();
  const epoch = await store.claim(allPartitions);
  const bytes = new Uint8Array(90_000);
  const rooms = Array.from({ length: 900 }, (_, at) => conversationNamed(at));
  const answers = await Promise.all(rooms.map((each) => store.commit(append(each, epoch, [entry(1, { bytes })]))));
  const refused = answers.filter(({ outcome }) => outcome === "refused");
  expect(refused.length).toBeGreaterThan(0);
  expect(refused[0]).toMatchObject({ reason: "too many writes wait for the disk" });
  expect(answers.filter(({ outcome }) => outcome === "stored").length).toBe(900 - refused.length);
  expect(store.health().writable).toBe(true);
});

test("a file that is not a database stops the start with the fix", async () => {
  await using world = await World.create();
  writeFileSync(world.file, "certainly not a database ".repeat(1000));
  expect(await world.open().catch((error) => [error.name, error.message])).toEqual([
    "StartupError",
    expect.stringContaining("restore a backup"),
  ]);
});

test("a database of another program, or of a newer version, stops the start and is not touched", async () => {
  await using world = await World.create();
  {
    using db = new Database(world.file);
    db.run("CREATE TABLE customers(name)");
  }
  expect(await world.open().catch((error) => error.message)).toContain("another program");
  {
    using db = new Database(world.file);
    db.run("DROP TABLE customers");
    db.run("CREATE TABLE meta(key TEXT PRIMARY KEY, value)");
    db.run("INSERT INTO meta VALUES('schema', 9), ('minCompatible', 9)");
  }
  expect(await world.open().catch((error) => error.message)).toContain("start the newer version again");
});

test("a folder that does not exist stops the start with the fix", async () => {
  await using world = await World.create();
  const lost = await World.create();
  await lost[Symbol.asyncDispose]();
  expect(await lost.open().catch((error) => error.message)).toContain("the data folder exists");
  expect(world.file).not.toBe(lost.file);
});

test("a file damaged in its middle fails the reads that meet the damage, with the fix, and no others", async () => {
  await using world = await World.create();
  const first = await world.open();
  const epoch = await first.claim(allPartitions);
  for (let seq = 1; seq < 4096; seq += 512) await first.commit(append(room, epoch, entries(seq, 512)));
  await first.close();
  const size = statSync(world.file).size;
  const file = openSync(world.file, "r+");
  const part = Math.floor(size / 5);
  writeSync(file, new Uint8Array(part).fill(0xa5), 0, part, part * 2);
  closeSync(file);

  const store = await world.open();
  const failed: unknown = await wholeLog(store, room).catch((error: unknown) => error);

  expect(failed).toMatchObject({ code: "store_unavailable", retryable: true });
  const { cause } = failed as AppError;
  expect(cause instanceof Error && cause.message).toContain("parley restore");
  expect(await store.listAdvanced(null, 1)).toEqual([{ conversation: room, seq: 4096 }]);
});
