// One batch, one transaction: what SQLite's own failures do to it, and that one bad write harms no other.
import { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configureFailpoints } from "../lib/failpoints";
import { migrate } from "./migrations";
import { packConversation, type PackedConversation, packFeed } from "./sqlite-packing";
import { sqliteMigrations } from "./sqlite-schema";
import { Writer } from "./sqlite-writer";
import {
  ada,
  allPartitions,
  append,
  conversationNamed,
  device,
  entries,
  entry,
  feedWrite,
  member,
  membership,
  userRow,
  write,
} from "./store-samples.case";

afterEach(() => configureFailpoints(""));

const room = conversationNamed("room");

function fresh(): { db: Database; writer: Writer; epoch: number; [Symbol.dispose](): void } {
  const db = new Database(":memory:");
  migrate(db, sqliteMigrations);
  const writer = new Writer(db);
  return { db, writer, epoch: writer.claim(allPartitions), [Symbol.dispose]: () => db.close() };
}

function count(db: Database): unknown {
  return db.query("SELECT count(*) FROM entries").values().flat()[0];
}

function outcomesOf(result: ReturnType<Writer["commit"]>): readonly string[] {
  return result.outcomes.map((outcome) => (outcome === 0 ? "stored" : outcome.outcome));
}

test("a full disk in the middle of a batch refuses all of it, and nothing commits by itself", () => {
  using world = fresh();
  const { db, writer, epoch } = world;
  const pages = db.query("PRAGMA page_count").values().flat()[0] as number;
  db.run(`PRAGMA max_page_count = ${pages + 4}`);
  const rooms = Array.from({ length: 60 }, (_, at) => conversationNamed(at));
  const result = writer.commit(rooms.map((each) => packConversation(append(each, epoch, entries(1, 20)))));

  expect(new Set(outcomesOf(result))).toEqual(new Set(["refused"]));
  expect(result.failure).toContain("disk is full");
  expect([db.inTransaction, count(db)]).toEqual([false, 0]);
  expect(writer.probe()).toBeNull();

  db.run("PRAGMA max_page_count = 100000");
  expect(outcomesOf(writer.commit([packConversation(append(room, epoch, entries(1, 3)))]))).toEqual(["stored"]);
});

test("a connection that may not write refuses with the fix, and says so to a probe", () => {
  using world = fresh();
  const { db, writer, epoch } = world;
  db.run("PRAGMA query_only = ON");
  const result = writer.commit([packConversation(append(room, epoch, entries(1, 3)))]);
  expect([outcomesOf(result), db.inTransaction]).toEqual([["refused"], false]);
  expect(result.failure).toContain("make it and its files writable");
  expect(writer.probe()).toContain("read-only");
});

test("a write whose rows SQLite cannot hold is refused alone", () => {
  using world = fresh();
  const { db, writer, epoch } = world;
  const good = (name: string) => packConversation(append(conversationNamed(name), epoch, entries(1, 2)));
  const bad = packConversation(append(conversationNamed("bad"), epoch, entries(1, 3)));
  const broken: PackedConversation = [...bad] as never;
  (broken as unknown as unknown[])[3] = bad[3].map((column) => (column === ada ? null : column));

  const result = writer.commit([good("a"), broken, good("b"), broken, good("c")]);

  expect(outcomesOf(result)).toEqual(["stored", "refused", "stored", "refused", "stored"]);
  expect([result.failure, count(db)]).toEqual([null, 6]);
});

test("a COMMIT that fails answers unknown for the whole batch and leaves no transaction open", async () => {
  const folder = await mkdtemp(join(tmpdir(), "parley-writer-"));
  // Without a write-ahead log a reader holds up the COMMIT itself.
  using db = new Database(join(folder, "data.sqlite"));
  migrate(db, sqliteMigrations);
  const writer = new Writer(db);
  const epoch = writer.claim(allPartitions);
  using reader = new Database(db.filename, { readonly: true });
  reader.run("BEGIN");
  reader.query("SELECT count(*) FROM heads").get();
  const batch = [room, conversationNamed("other")].map((each) => packConversation(append(each, epoch, entries(1, 2))));

  const failed = writer.commit(batch);
  const left = db.inTransaction;
  reader.run("COMMIT");

  expect([outcomesOf(failed), left]).toEqual([["unknown", "unknown"], false]);
  expect(failed.failure).toContain("locked");
  expect(outcomesOf(writer.commit(batch))).toEqual(["stored", "stored"]);
  await rm(folder, { recursive: true });
});

test("a failure before the commit is refused, one after it leaves the rows", () => {
  using world = fresh();
  const { db, writer, epoch } = world;
  configureFailpoints("commit.before=throw@1,commit.after=throw@1");
  expect(outcomesOf(writer.commit([packConversation(append(room, epoch, entries(1, 2)))]))).toEqual(["refused"]);
  expect(() => writer.commit([packConversation(append(room, epoch, entries(1, 2)))])).toThrow("armed");
  expect([db.inTransaction, count(db)]).toEqual([false, 2]);
});

test("a conversation refused for its second batch keeps its first, in one commit", () => {
  using world = fresh();
  const { db, writer, epoch } = world;
  const twice = entry(3, { clientId: entry(1).clientId });
  const result = writer.commit([
    packConversation(append(room, epoch, entries(1, 2))),
    packConversation(append(room, epoch, [twice])),
    packConversation(append(room, epoch, [entry(3)])),
  ]);
  expect(outcomesOf(result)).toEqual(["stored", "conflict", "stored"]);
  expect(count(db)).toBe(3);
});

test("columns and tables that a newer version added live on beside this one's writes", () => {
  using world = fresh();
  const { db, writer, epoch } = world;
  const tables = [
    "heads",
    "entries",
    "members",
    "cursors",
    "users",
    "memberships",
    "devices",
    "feed",
    "partitions",
    "meta",
  ];
  for (const table of tables) db.run(`ALTER TABLE ${table} ADD COLUMN later TEXT`);
  const newer = new Writer(db);
  const batch = (seq: number) => [
    packConversation({
      ...append(room, epoch, [entry(seq)]),
      members: [member(ada, { changedSeq: seq })],
      cursors: [{ user: ada, seq, ordinal: seq, own: 0 }],
      totals: [{ user: ada, total: seq }],
    }),
    packFeed({ ...feedWrite(epoch, userRow(ada, seq), [membership(room, { seq })]), devices: [device("phone")] }),
  ];
  expect(outcomesOf(newer.commit(batch(1)))).toEqual(["stored", "stored"]);
  for (const table of tables) db.run(`UPDATE ${table} SET later = 'kept'`);

  expect(outcomesOf(writer.commit(batch(2)))).toEqual(["stored", "stored"]);
  expect(writer.raiseFeatureLevel(1)).toBe(1);
  writer.claim([1]);

  const kept = (table: string) => db.query(`SELECT count(*) FROM ${table} WHERE later = 'kept'`).values().flat()[0];
  expect(tables.map((table) => [table, kept(table)])).toEqual(
    tables.map((table) => [table, table === "partitions" ? 256 : table === "meta" ? 5 : 1]),
  );
});

test("the negative controls leave their guarantee unkept, so that a proof can fail", () => {
  configureFailpoints("negative.noUniqueIndex,negative.cursorWithoutMax");
  using world = fresh();
  const { db, writer, epoch } = world;
  writer.commit([packConversation(append(room, epoch, [entry(1)]))]);
  const again = append(room, epoch, [entry(2, { clientId: entry(1).clientId })]);
  const move = (seq: number) => write(room, epoch, { cursors: [{ user: ada, seq, ordinal: seq, own: 0 }] });
  const result = writer.commit([again, move(2), move(1)].map(packConversation));
  expect(outcomesOf(result)).toEqual(["stored", "stored", "stored"]);
  expect(db.query("SELECT seq FROM cursors").values().flat()).toEqual([1]);
});
