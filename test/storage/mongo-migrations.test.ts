// Databases are brought to this program's schema by however many servers start at once, and refused where that cannot be.
import { expect, test } from "bun:test";
import { MongoClient } from "mongodb";
import type { Db } from "mongodb";
import { connectMongo } from "../../src/storage/mongo-connection";
import { migrateMongo, mongoMigrations } from "../../src/storage/mongo-migrations";
import { collectionNames, mongoIndexes } from "../../src/storage/mongo-schema";
import { openMongoStore } from "../../src/storage/mongo-store";
import { systemClock } from "../../src/lib/clock";
import { portOf } from "../faults/proxy";
import { describeWith, shareMongo } from "../services/services";

const wtimeoutMs = 4000;

/** What a promise rejects with, as `name: message`; `fine` where it resolves. */
const refusalOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "fine",
    (error: Error) => `${error.name}: ${error.message}`,
  );

async function fresh() {
  await using opened = new AsyncDisposableStack();
  const share = opened.use(await shareMongo());
  const client = opened.use(new MongoClient(share.uri));
  const db = client.db();
  const kept = opened.move();
  return { uri: share.uri, db, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function indexNames(db: Db): Promise<readonly string[]> {
  const names: string[] = [];
  for (const name of collectionNames)
    for (const index of await db.collection(name).indexes())
      if (index.name !== "_id_") names.push(`${name}.${index.name}`);
  return names.sort();
}

const everyIndex = mongoIndexes.map(({ collection, name }) => `${collection}.${name}`).sort();

describeWith("mongodb", "preparing a database", () => {
  test("servers that start at once on an empty database agree on it", async () => {
    await using data = await fresh();
    const stores = await Promise.all([1, 2, 3].map(() => openMongoStore({ uri: data.uri })));
    expect(new Set(stores.map(({ generation }) => generation)).size).toBe(1);
    // One after the other: the substitute for MongoDB that tests run on does not increment atomically.
    const epochs: number[] = [];
    for (const store of stores) epochs.push(await store.claim([1, 2]));
    expect(new Set(epochs).size).toBe(3);
    expect(await stores[0]?.audit(1, Math.max(...epochs))).toBe(true);
    for (const store of stores) await store.close();
    expect(await indexNames(data.db)).toEqual(everyIndex);
  });

  test("an index that somebody dropped is there again after the next start", async () => {
    await using data = await fresh();
    await migrateMongo(data.db, wtimeoutMs);
    await data.db.collection("entries").dropIndex("key");
    await migrateMongo(data.db, wtimeoutMs);
    expect(await indexNames(data.db)).toEqual(everyIndex);
  });

  test("a newer database is refused, and one that allows this version is left as it is", async () => {
    await using data = await fresh();
    await migrateMongo(data.db, wtimeoutMs);
    const newer = (minCompatible: number) => [
      ...mongoMigrations,
      { schema: 2, minCompatible, up: async () => undefined },
    ];
    await migrateMongo(data.db, wtimeoutMs, { migrations: newer(1) });
    expect(await refusalOf(migrateMongo(data.db, wtimeoutMs))).toBe("fine");
    expect(await data.db.collection("meta").findOne({ _id: "schema" as never })).toMatchObject({ schema: 2 });

    await data.db.collection("meta").updateOne({ _id: "schema" as never }, { $set: { minCompatible: 2 } });
    const refused = await refusalOf(migrateMongo(data.db, wtimeoutMs));
    expect(refused).toMatch(
      /^StartupError: .* was written by a newer version \(schema 2, needs 2; this version knows 1\)/,
    );
  });

  test("a step that an older program could not live with waits until none is left", async () => {
    await using data = await fresh();
    await migrateMongo(data.db, wtimeoutMs);
    const made: number[] = [];
    const step = (schema: number, minCompatible: number, afterLevel: number) => {
      return { schema, minCompatible, afterLevel, up: async () => void made.push(schema) };
    };
    const migrations = [...mongoMigrations, step(2, 1, 0), step(3, 2, 2)];
    await migrateMongo(data.db, wtimeoutMs, { migrations });
    await migrateMongo(data.db, wtimeoutMs, { migrations });
    expect(made).toEqual([2]);
    expect(await refusalOf(migrateMongo(data.db, wtimeoutMs))).toBe("fine");

    await data.db.collection("meta").insertOne({ _id: "featureLevel" as never, value: 2 });
    await migrateMongo(data.db, wtimeoutMs, { migrations });
    expect(made).toEqual([2, 3]);
    expect(await refusalOf(migrateMongo(data.db, wtimeoutMs))).toContain("start the newer version again");
  });

  test("another program's database, and one with an unfinished copy, are refused with the fix", async () => {
    await using data = await fresh();
    await data.db.collection("orders").insertOne({ total: 1 });
    expect(await refusalOf(migrateMongo(data.db, wtimeoutMs))).toContain("holds collections of another program");
    await data.db.dropCollection("orders");
    await migrateMongo(data.db, wtimeoutMs);
    await data.db.collection("meta").insertOne({ _id: "copy" as never });
    expect(await refusalOf(openMongoStore({ uri: data.uri }))).toContain("holds an unfinished copy");
    expect(await refusalOf(migrateMongo(data.db, wtimeoutMs, { intoCopy: true }))).toBe("fine");
  });

  test("a server alone is used, with a warning that says what is at risk", async () => {
    await using data = await fresh();
    const warnings: string[] = [];
    const onWarning = (text: string) => void warnings.push(text);
    const { client } = await connectMongo({ uri: data.uri, clock: systemClock, onWarning });
    const alone = (await client.db("admin").command({ hello: 1 }))["setName"] === undefined;
    await client.close();
    expect(warnings.some((text) => text.includes("is not a replica set"))).toBe(alone);
  });
});

describeWith("mongodb", "the name of a replica set", () => {
  test("that the server there is no member of is told as such", async () => {
    await using data = await shareMongo();
    const uri = `mongodb://127.0.0.1:${portOf(data.uri)}/parley?replicaSet=of-another-name`;
    const refused = await refusalOf(openMongoStore({ uri, limits: { startMs: 0, serverSelectionMs: 1000 } }));
    expect(refused).toEndWith("correct replicaSet in the store's address");
  });
});

test("nobody there is told within the time that starting waits, without the password", async () => {
  const uri = "mongodb://ada:hunter2@127.0.0.1:1/parley";
  const limits = { startMs: 400, serverSelectionMs: 100 };
  const warnings: string[] = [];
  const refused = await refusalOf(openMongoStore({ uri, limits, onWarning: (text) => void warnings.push(text) }));
  expect(refused).toStartWith(
    "StartupError: cannot use the MongoDB at 127.0.0.1:1: no primary of the database answers",
  );
  expect(refused).toEndWith("start it, or correct the store's address");
  expect(warnings).toEqual([expect.stringMatching(/127\.0\.0\.1:1: .*; trying again for up to 0\.4 s$/)]);
  expect(refused + warnings.join("")).not.toContain("hunter2");
});

test("an address that is none of MongoDB's is told without repeating it", async () => {
  const refused = await refusalOf(openMongoStore({ uri: "mongodb://ada:hunter2@?nonsense=1" }));
  expect(refused).toStartWith("StartupError: the store's address is not one of MongoDB");
  const impossible = await refusalOf(openMongoStore({ uri: "mongodb://ada:hunter2@127.0.0.1:1/a.b" }));
  expect(impossible).toStartWith("StartupError: the store's address names no possible database");
  expect(refused + impossible).not.toContain("hunter2");
});
