// The servers that tests stand on: they start, answer, survive kill -9 on the same port and data, and stand still on SIGSTOP.
import { existsSync } from "node:fs";
import { expect, test } from "bun:test";
import { Redis } from "ioredis";
import { MongoClient } from "mongodb";
import { describeWith, shareMongo, shareNats, shareRedis, startMongo, startNats, startRedis } from "./services";

function mongoClient(uri: string, timeoutMs = 10_000): MongoClient {
  return new MongoClient(uri, { serverSelectionTimeoutMS: timeoutMs, connectTimeoutMS: timeoutMs });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function greeting(port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const data = (_: unknown, bytes: Buffer): void => resolve(bytes.toString());
  const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data } });
  const text = await promise;
  socket.end();
  return text;
}

describeWith("own mongodb", "a MongoDB-compatible server of one's own", () => {
  test("keeps what it acknowledged through kill -9, on the same port", async () => {
    await using mongo = await startMongo();
    await using client = mongoClient(mongo.uri);
    const rows = client.db("kept").collection<{ _id: number }>("rows");
    await rows.insertOne({ _id: 1 }, { writeConcern: { w: "majority", j: true } });
    const before = mongo.pids;

    await mongo.kill9();
    expect(mongo.pid).toBe(0);
    await mongo.start();

    expect(await rows.find().toArray()).toEqual([{ _id: 1 }]);
    expect(Object.keys(mongo.pids)).toEqual(["postgresql", "ferretdb"]);
    expect(Object.values(before).filter((pid) => Object.values(mongo.pids).includes(pid))).toEqual([]);
  });

  test("answers nothing while it is stopped, and the same request once it goes on", async () => {
    await using mongo = await startMongo();
    await using client = mongoClient(mongo.uri);
    const rows = client.db("stopped").collection<{ _id: number }>("rows");
    await rows.insertOne({ _id: 1 });

    mongo.stopSignal();
    let answered = false;
    const insert = rows.insertOne({ _id: 2 }).then(() => {
      answered = true;
    });
    await using probe = mongoClient(mongo.uri, 300);
    expect(
      await probe
        .db("stopped")
        .command({ ping: 1 })
        .catch((error: Error) => error.name),
    ).toMatch(/Mongo\w*Error/);
    expect(answered).toBe(false);
    mongo.continue();
    await insert;

    expect(await rows.countDocuments({})).toBe(2);
  });

  test("takes its data and its processes with it, and leaves its logs", async () => {
    const mongo = await startMongo();
    const pids = Object.values(mongo.pids);
    await mongo[Symbol.asyncDispose]();
    expect([existsSync(mongo.folder), pids.filter(isAlive)]).toEqual([false, []]);
    expect(mongo.logs.filter((log) => existsSync(log))).toEqual([...mongo.logs]);
  });
});

describeWith("mongodb", "the shared MongoDB-compatible server", () => {
  test("gives each test a database that others do not see", async () => {
    await using one = await shareMongo();
    await using other = await shareMongo();
    await using client = mongoClient(one.uri);
    await using neighbour = mongoClient(other.uri);
    await client.db().collection<{ _id: number }>("rows").insertOne({ _id: 1 });

    expect(client.db().databaseName).toBe(one.name);
    expect(await neighbour.db().collection("rows").countDocuments({})).toBe(0);
  });

  test("drops the database with the share", async () => {
    const share = await shareMongo();
    await using client = mongoClient(share.uri);
    await client.db().collection<{ _id: number }>("rows").insertOne({ _id: 1 });
    await share[Symbol.asyncDispose]();
    expect(await client.db().collection("rows").countDocuments({})).toBe(0);
  });
});

describeWith(["redis", "own redis"], "Redis", () => {
  test("the shared one is left without the keys of a share", async () => {
    const share = await shareRedis();
    const redis = new Redis(share.uri);
    await redis.mset(`${share.name}a`, "1", `${share.name}b`, "2");
    await share[Symbol.asyncDispose]();
    expect(await redis.mget(`${share.name}a`, `${share.name}b`)).toEqual([null, null]);
    redis.disconnect();
  });

  test("one of one's own comes back empty on the same port", async () => {
    await using server = await startRedis();
    const redis = new Redis(server.uri);
    redis.on("error", () => {
      // It is down for a moment, as it should be.
    });
    await redis.set("key", "value");
    await server.kill9();
    await server.start();
    expect(await redis.get("key")).toBeNull();
    redis.disconnect();
  });
});

describeWith(["nats", "own nats"], "nats-server", () => {
  test("the shared one gives each test a subject of its own", async () => {
    await using one = await shareNats();
    await using other = await shareNats();
    expect(one.name).not.toBe(other.name);
    expect(await greeting(Number(new URL(one.uri).port))).toStartWith("INFO ");
  });

  test("greets with the pinned version and JetStream, in every life", async () => {
    await using nats = await startNats();
    const first = await greeting(nats.port);
    await nats.restart();
    const greetings = [first, await greeting(nats.port)].map((text) => JSON.parse(text.slice("INFO ".length)));
    expect(greetings.map(({ version, jetstream }) => [version, jetstream])).toEqual([
      ["2.15.2", true],
      ["2.15.2", true],
    ]);
  });
});
