// The scripted wire itself, between the driver and a real server: what it plays is what a driver sees of such a server.
import { expect, test } from "bun:test";
import { Binary, Long, MongoClient, MongoNetworkError, type MongoServerError } from "mongodb";
import { describeWith, shareMongo } from "../services/services";
import { type MongoProxy, notWritablePrimary, startMongoProxy, withWriteConcernTimeout } from "./mongo-proxy";

interface Row {
  readonly _id: number;
  readonly text?: string;
}

interface World extends AsyncDisposable {
  readonly proxy: MongoProxy;
  /** By way of the proxy. */
  readonly rows: ReturnType<typeof rowsOf>;
  /** By way of the proxy, with a short time-out. */
  readonly impatient: ReturnType<typeof rowsOf>;
  /** Past the proxy. */
  readonly stored: ReturnType<typeof rowsOf>;
  readonly database: string;
}

function rowsOf(client: MongoClient) {
  return client.db().collection<Row>("rows");
}

async function world(): Promise<World> {
  const stack = new AsyncDisposableStack();
  const share = stack.use(await shareMongo());
  const proxy = stack.use(await startMongoProxy(share.uri));
  const client = stack.use(new MongoClient(proxy.uri, { retryReads: false, serverSelectionTimeoutMS: 5_000 }));
  const direct = stack.use(new MongoClient(share.uri));
  return {
    proxy,
    rows: rowsOf(client),
    impatient: rowsOf(stack.use(new MongoClient(proxy.uri, impatient))),
    stored: rowsOf(direct),
    database: share.name,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const many = (count: number): Row[] => Array.from({ length: count }, (_, _id) => ({ _id, text: "x".repeat(100) }));
/** The driver's `timeoutMS` does nothing in this version; the socket's does. */
const impatient = { socketTimeoutMS: 500, retryReads: false } as const;
const errorOf = (promise: Promise<unknown>): Promise<MongoServerError> =>
  promise.then(
    () => {
      throw new Error("it went through");
    },
    (error) => error,
  );

describeWith("mongodb", "the scripted MongoDB wire", () => {
  test("passes everything on, cursors and 64-bit integers and bytes included", async () => {
    await using w = await world();
    w.proxy.onCommand((_command, forward) => forward());
    await w.rows.insertMany(many(500));
    const odd = { _id: 501, big: Long.fromString("9007199254740995"), bytes: new Binary(Buffer.from([0, 255])) };
    await w.rows.insertOne(odd);
    expect(
      (
        await w.rows
          .find({ _id: { $lt: 500 } })
          .batchSize(50)
          .toArray()
      ).length,
    ).toBe(500);
    const found = await w.stored.findOne<typeof odd>({ _id: 501 }, { promoteLongs: false });
    expect([found?.big.toString(), found?.bytes.buffer]).toEqual(["9007199254740995", Buffer.from([0, 255])]);
  });

  test("shows a handler the command with its rows, before it is decided about", async () => {
    await using w = await world();
    const seen = w.proxy.seen(({ name }) => name === "insert");
    await w.rows.insertMany(many(2), { writeConcern: { w: "majority", journal: true } });
    const { database, body } = await seen;
    expect([database, body["insert"], body["documents"].length]).toEqual([w.database, "rows", 2]);
    expect(body["writeConcern"]).toEqual({ w: "majority", j: true });
  });

  test("answers in the server's place: not the primary, and nothing was written", async () => {
    await using w = await world();
    w.proxy.onCommand(async ({ name }, forward) => (name === "insert" ? notWritablePrimary() : await forward()));
    const error = await errorOf(w.rows.insertOne({ _id: 1 }));
    expect([error.code, error.codeName]).toEqual([10107, "NotWritablePrimary"]);
    expect(await w.stored.countDocuments({})).toBe(0);
  });

  test("adds a write concern error to a write that was applied", async () => {
    await using w = await world();
    w.proxy.onCommand(async ({ name }, forward) => {
      const reply = await forward();
      return name === "insert" ? withWriteConcernTimeout(reply) : reply;
    });
    const error = await errorOf(w.rows.insertMany(many(2)));
    expect([error.name, error.code]).toEqual(["MongoBulkWriteError", 64]);
    expect(await w.stored.countDocuments({})).toBe(2);
  });

  test("swallows the reply of a write that was applied", async () => {
    await using w = await world();
    const applied = Promise.withResolvers<void>();
    w.proxy.onCommand(async ({ name }, forward) => {
      const reply = await forward();
      if (name !== "insert") return reply;
      applied.resolve();
      return "silence";
    });
    const insert = errorOf(w.impatient.insertOne({ _id: 1 }));
    await applied.promise;
    expect(await w.stored.countDocuments({})).toBe(1);
    expect((await insert).name).toBe("MongoNetworkTimeoutError");
  });

  test("breaks the connection in place of a reply", async () => {
    await using w = await world();
    w.proxy.onCommand(async ({ name }, forward) => {
      const reply = await forward();
      return name === "insert" ? "reset" : reply;
    });
    expect(await errorOf(w.rows.insertOne({ _id: 1 }))).toBeInstanceOf(MongoNetworkError);
    w.proxy.onCommand(null);
    expect(await w.rows.countDocuments({})).toBe(1);
  });

  test("sends on another command than the one it got", async () => {
    await using w = await world();
    w.proxy.onCommand(({ name, body }, forward) =>
      name === "insert" ? forward({ ...body, documents: body["documents"].slice(0, 1) }) : forward(),
    );
    await w.rows.insertMany(many(3));
    expect(await w.stored.countDocuments({})).toBe(1);
  });

  test("plays a primary that was replaced: reads of any concern but linearizable see the past", async () => {
    await using w = await world();
    await w.rows.insertMany(many(150));
    await w.proxy.freezeReads(w.database);
    await w.stored.insertOne({ _id: 1_000 });
    const past = await w.rows.find({}, { readConcern: "majority", batchSize: 40 }).toArray();
    expect(past.length).toBe(150);
    const audit = w.impatient.findOne({ _id: 1_000 }, { readConcern: "linearizable" });
    expect((await errorOf(audit)).name).toBe("MongoNetworkTimeoutError");
    await w.proxy.thawReads();
    expect(await w.rows.countDocuments({})).toBe(151);
  });
});
