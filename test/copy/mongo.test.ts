// Copying between a file and MongoDB, both ways: byte-identical exports, gone on with after interruptions, refused where it could mislead.
import { expect, test } from "bun:test";
import { MongoClient } from "mongodb";
import type { Db } from "mongodb";
import { allPartitions } from "../../src/actors/local-placement";
import { configureFailpoints } from "../../src/lib/failpoints";
import { transferKinds } from "../../src/storage/copy";
import { createMongoTarget, openMongoDatabase, openMongoSource } from "../../src/storage/copy-mongo";
import type { Copied, CopyOptions } from "../../src/storage/copy-run";
import { openSqliteSource } from "../../src/storage/copy-sqlite-source";
import { createSqliteTarget } from "../../src/storage/copy-sqlite-target";
import { openMongoStore } from "../../src/storage/mongo-store";
import { openSqliteStore } from "../../src/storage/sqlite-store";
import { describeWith, shareMongo } from "../services/services";
import { fillStore } from "./sample-data";
import { CopyWorld, linesOf, linesOfFile, moved } from "./world";

/** More than one page of entries, and no more than a server that scans takes quickly. */
const modest = { people: 12, conversations: 6, messages: 1100 };

async function toMongo(from: string, uri: string, options: Partial<CopyOptions> = {}): Promise<Copied> {
  const target = createMongoTarget(await openMongoDatabase(uri));
  return moved(openSqliteSource(from, "alone"), target, options);
}

async function toFile(uri: string, to: string): Promise<Copied> {
  const source = await openMongoSource(await openMongoDatabase(uri));
  return moved(source, createSqliteTarget({ file: to, resumable: true }));
}

async function linesOfMongo(uri: string): Promise<readonly string[]> {
  return linesOf(await openMongoSource(await openMongoDatabase(uri)));
}

async function inDatabase(uri: string, use: (db: Db) => Promise<unknown>): Promise<void> {
  const client = new MongoClient(uri);
  try {
    await use(client.db());
  } finally {
    await client.close();
  }
}

describeWith("mongodb", "copying between a file and MongoDB", () => {
  test("there and back gives byte-identical exports, the generation and an epoch counter that is not lower", async () => {
    await using world = await CopyWorld.open();
    await using share = await shareMongo();
    const from = await world.filled("from.sqlite", modest);
    const there = await toMongo(from, share.uri);
    expect(await linesOfMongo(share.uri)).toEqual(await linesOfFile(from));
    await inDatabase(share.uri, async (db) => {
      expect(await db.collection("meta").findOne({ _id: "featureLevel" as never })).toMatchObject({ value: 1 });
    });
    const back = await toFile(share.uri, world.path("back.sqlite"));
    expect(await linesOfFile(world.path("back.sqlite"))).toEqual(await linesOfFile(from));
    expect(back).toEqual(there);
  });

  test("a copy that failed anywhere goes on there and comes to the same", async () => {
    await using world = await CopyWorld.open();
    await using share = await shareMongo();
    const from = await world.filled("from.sqlite", modest);
    for (const point of ["copy.page=throw@1", "copy.page=throw@7", "copy.kind=throw@1", "copy.compared=throw"]) {
      configureFailpoints(point);
      await expect(toMongo(from, share.uri)).rejects.toThrow("a failpoint was armed");
      configureFailpoints("");
      await expect(openMongoSource(await openMongoDatabase(share.uri))).rejects.toThrow("an unfinished copy");
    }
    configureFailpoints("copy.done=throw");
    await expect(toMongo(from, share.uri)).rejects.toThrow("a failpoint was armed");
    configureFailpoints("");
    expect(await toMongo(from, share.uri)).toMatchObject({ resumed: true, wasDone: false });
    expect(await toMongo(from, share.uri)).toMatchObject({ resumed: false, wasDone: true });
    expect(await linesOfMongo(share.uri)).toEqual(await linesOfFile(from));
  });

  test("a copy that another one replaced stops, and the other one comes to its end", async () => {
    await using world = await CopyWorld.open();
    await using share = await shareMongo();
    const from = await world.filled("from.sqlite", modest);
    const first = createMongoTarget(await openMongoDatabase(share.uri));
    const source = openSqliteSource(from, "snapshot");
    await first.begin(await source.state());
    await source.close();
    await toMongo(from, share.uri);
    const late = first.write("users", { rows: [["zoe", 0, 1, 0, null]] });
    await expect(late).rejects.toMatchObject({ why: "failed", message: expect.stringContaining("took") });
    await first.close();
  });

  test("a database that is not empty, or holds another copy, is refused", async () => {
    await using world = await CopyWorld.open();
    await using share = await shareMongo();
    const from = await world.filled("from.sqlite", modest);
    configureFailpoints("copy.page=throw@2");
    await expect(toMongo(from, share.uri)).rejects.toThrow();
    configureFailpoints("");
    const other = await world.filled("other.sqlite", modest);
    await expect(toMongo(other, share.uri)).rejects.toThrow("an unfinished copy of something else");
    await toMongo(from, share.uri);
    await inDatabase(share.uri, (db) =>
      db.collection("meta").updateOne({ _id: "epoch" as never }, { $inc: { value: 1 } }),
    );
    await expect(toMongo(from, share.uri)).rejects.toThrow("is not empty");
  });

  test("a document that differs is named", async () => {
    await using world = await CopyWorld.open();
    await using share = await shareMongo();
    const from = await world.filled("from.sqlite", modest);
    configureFailpoints("copy.kind=throw@7");
    await expect(toMongo(from, share.uri)).rejects.toThrow();
    configureFailpoints("");
    await inDatabase(share.uri, (db) => db.collection("heads").updateOne({}, { $inc: { ordinal: 1 } }));
    const differs = { why: "differs", message: expect.stringMatching(/heads \["g[\w]+"\] differs/) };
    await expect(toMongo(from, share.uri)).rejects.toMatchObject(differs);
  });

  test("a source whose counter rises during the copy is not called copied", async () => {
    await using world = await CopyWorld.open();
    await using share = await shareMongo();
    await toMongo(await world.filled("from.sqlite", modest), share.uri);
    const source = await openMongoSource(await openMongoDatabase(share.uri));
    const target = createSqliteTarget({ file: world.path("to.sqlite"), resumable: true });
    let raised: Promise<unknown> | null = null;
    const onProgress = (): void => {
      const raise = (db: Db) => db.collection("meta").updateOne({ _id: "epoch" as never }, { $inc: { value: 1 } });
      raised ??= inDatabase(share.uri, raise);
    };
    await expect(moved(source, target, { onProgress })).rejects.toMatchObject({
      why: "differs",
      message: expect.stringContaining("a server was started"),
    });
    await raised;
  });
});

describeWith("mongodb", "a MongoDB database that a crash left unfinished", () => {
  test("is copied to a file with everything that its logs and feeds say, and stays open there", async () => {
    await using world = await CopyWorld.open();
    await using share = await shareMongo();
    const size = { people: 9, conversations: 6, messages: 300 };
    const expected = world.path("expected.sqlite");
    await world.filled("expected.sqlite", size);
    const store = await openMongoStore({ uri: share.uri });
    await fillStore(store, size);
    await store.close();
    await inDatabase(share.uri, crash);

    for (const point of ["copy.page=throw@3", "copy.compared=throw", "copy.settled=throw"]) {
      configureFailpoints(point);
      await expect(toFile(share.uri, world.path("to.sqlite"))).rejects.toThrow("a failpoint was armed");
      configureFailpoints("");
    }
    const copied = await toFile(share.uri, world.path("to.sqlite"));
    expect(copied.settled).toEqual({ reopened: 6, people: 9 });
    const kinds = transferKinds.filter((kind) => kind !== "heads");
    const linesIn = (file: string) => linesOf(openSqliteSource(file, "snapshot"), kinds);
    expect(await linesIn(world.path("to.sqlite"))).toEqual(await linesIn(expected));
    const closed = (line: string): unknown[] => [...(JSON.parse(line) as unknown[]).with(12, 0).with(13, 0)];
    const headsIn = async (file: string) => (await linesOf(openSqliteSource(file, "snapshot"), ["heads"])).map(closed);
    expect(await headsIn(world.path("to.sqlite"))).toEqual(await headsIn(expected));
    const copy = await openSqliteStore({ file: world.path("to.sqlite") });
    expect(await copy.listOpen(allPartitions, null, 10)).toHaveLength(6);
    await copy.close();
  });

  test("is not copied to another database: its own tools do that", async () => {
    await using there = await shareMongo();
    await using here = await shareMongo();
    await using world = await CopyWorld.open();
    await toMongo(await world.filled("from.sqlite", { people: 2, conversations: 1, messages: 1 }), here.uri);
    const source = await openMongoSource(await openMongoDatabase(here.uri));
    const target = createMongoTarget(await openMongoDatabase(there.uri));
    await expect(moved(source, target)).rejects.toMatchObject({ why: "refused" });
  });
});

/** What is behind where a server was killed: heads, members and totals behind their logs, people's rows behind their feeds. */
async function crash(db: Db): Promise<void> {
  const stale = {
    seq: 1,
    ordinal: 0,
    memberCount: 0,
    lastMessage: null,
    lastMessageSeq: 0,
    fedThrough: 0,
    totalsThrough: 0,
  };
  await db.collection("heads").updateMany({}, { $set: { open: true, openEpoch: 1, ...stale } });
  await db.collection("participants").updateMany({}, { $unset: { member: "", total: "" } });
  for (const name of ["users", "memberships", "devices"]) await db.collection(name).deleteMany({});
}
