// Copying between a file and MongoDB, both ways: byte-identical exports, gone on with after interruptions, refused where it could mislead.
import { expect, test } from "bun:test";
import { MongoClient } from "mongodb";
import type { Db } from "mongodb";
import { configureFailpoints } from "../../src/lib/failpoints";
import { createMongoTarget, openMongoDatabase, openMongoSource } from "../../src/storage/copy-mongo";
import type { Copied, CopyOptions } from "../../src/storage/copy-run";
import { openSqliteSource } from "../../src/storage/copy-sqlite-source";
import { createSqliteTarget } from "../../src/storage/copy-sqlite-target";
import { describeWith, shareMongo } from "../services/services";
import { CopyWorld, linesOf, linesOfFile, moved } from "./world";

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
    const from = await world.filled();
    const there = await toMongo(from, share.uri);
    expect(await linesOfMongo(share.uri)).toEqual(await linesOfFile(from));
    const back = await toFile(share.uri, world.path("back.sqlite"));
    expect(await linesOfFile(world.path("back.sqlite"))).toEqual(await linesOfFile(from));
    expect(back).toEqual(there);
  });

  test("a copy that failed anywhere goes on there and comes to the same", async () => {
    await using world = await CopyWorld.open();
    await using share = await shareMongo();
    const from = await world.filled();
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
    const from = await world.filled();
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
    const from = await world.filled();
    configureFailpoints("copy.page=throw@2");
    await expect(toMongo(from, share.uri)).rejects.toThrow();
    configureFailpoints("");
    const other = await world.filled("other.sqlite");
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
    const from = await world.filled();
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
    await toMongo(await world.filled(), share.uri);
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
