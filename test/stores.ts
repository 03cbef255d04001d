// The stores that the proof runs over, each with data of its own: what a test opens, and what a server is configured with.
// Used by the socket suite, the crash test and the tests of faults, so that all of them run the same code over every store.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MongoClient } from "mongodb";
import { collectionNames } from "../src/storage/mongo-schema";
import type { CollectionName } from "../src/storage/mongo-schema";
import { openMongoStore } from "../src/storage/mongo-store";
import { openSqliteStore } from "../src/storage/sqlite-store";
import type { Store } from "../src/storage/store";
import { processTroubles } from "./crash/faults";
import type { FaultTarget, Trouble, Troubles } from "./crash/faults";
import { linkTroubles, mongoWrites } from "./crash/links";
import type { ReadEpochs } from "./crash/read-logs";
import { startProxy } from "./faults/proxy";
import { shareMongo, startMongo, startRedis } from "./services/services";
import type { Service } from "./services/services";

/** One data set, empty at first. */
export interface DataSet {
  /** What `PARLEY_STORE` is set to for a server on it. */
  readonly setting: string;
  /** What a server on it needs beside that. */
  readonly environment: Readonly<Record<string, string>>;
  /** What a test may put it to: empty where its servers are shared with other tests. */
  readonly troubles: Troubles;
  /** Where the store keeps the epoch of each entry. */
  readonly readEpochs?: ReadEpochs;
  /** A handle on it, as a server opens one; to be closed by the caller. */
  open(): Promise<Store>;
  /** Removes it, once every handle and server on it is closed. */
  dispose(): Promise<void>;
}

/** A kind of store, and how a fresh data set of it comes about. */
export interface StoreUnderTest {
  readonly name: "memory" | "sqlite" | "mongodb";
  /** @param targets what is going to be troubled, so that it has to be there for this data set alone */
  fresh(targets?: readonly FaultTarget[]): Promise<DataSet>;
}

/** A file in a folder of its own. */
export const sqlite: StoreUnderTest = {
  name: "sqlite",
  async fresh() {
    const folder = await mkdtemp(join(tmpdir(), "parley-data-"));
    const file = join(folder, "parley.sqlite");
    return {
      setting: `sqlite:${file}`,
      environment: {},
      troubles: {},
      open: () => openSqliteStore({ file }),
      dispose: () => rm(folder, { recursive: true, force: true }),
    };
  },
};

/**
 * A database of the run's shared server, or, where servers or links are going to be troubled, one on a server of its own.
 * Its cache is in memory unless the cache is troubled.
 */
export const mongodb: StoreUnderTest = {
  name: "mongodb",
  async fresh(targets = []) {
    await using opened = new AsyncDisposableStack();
    const own = targets.some((target) => target.startsWith("store"));
    const store = own ? await ownMongo(opened, targets) : await sharedMongo(opened);
    const cache = targets.some((target) => target.startsWith("cache")) ? await ownRedis(opened, targets) : null;
    const { uri } = store;
    const kept = opened.move();
    return {
      setting: store.setting,
      environment: cache ? { PARLEY_CACHE: cache.setting } : {},
      troubles: { ...store.troubles, ...cache?.troubles },
      readEpochs: (conversation) => mongoEpochs(uri, conversation),
      open: () => openMongoStore({ uri }),
      dispose: () => kept.disposeAsync(),
    };
  },
};

/** A server and the way to it: `uri` is direct, `setting` is what Parley gets. */
interface Reached {
  readonly uri: string;
  readonly setting: string;
  readonly troubles: Troubles;
}

async function sharedMongo(opened: AsyncDisposableStack): Promise<Reached> {
  const { uri } = opened.use(await shareMongo());
  return { uri, setting: uri, troubles: {} };
}

async function ownMongo(opened: AsyncDisposableStack, targets: readonly FaultTarget[]): Promise<Reached> {
  const server = opened.use(await startMongo());
  const uri = server.uri.replace(/\/(?=\?|$)/, "/parley");
  return reach("store", uri, server, opened, targets, mongoWrites);
}

async function ownRedis(opened: AsyncDisposableStack, targets: readonly FaultTarget[]): Promise<Reached> {
  const server = opened.use(await startRedis());
  return reach("cache", server.uri, server, opened, targets, new Map());
}

/** With a proxy between where the link is going to be troubled. */
async function reach(
  target: "store" | "cache",
  uri: string,
  server: Service,
  opened: AsyncDisposableStack,
  targets: readonly FaultTarget[],
  requests: ReadonlyMap<string, string>,
): Promise<Reached> {
  const troubles: Partial<Record<FaultTarget, readonly Trouble[]>> = { [target]: processTroubles(victimOf(server)) };
  if (!targets.includes(`${target}-link`)) return { uri, setting: uri, troubles };
  const proxy = opened.use(await startProxy(uri));
  troubles[`${target}-link`] = linkTroubles(proxy, requests);
  return { uri, setting: proxy.through(uri), troubles };
}

function victimOf(server: Service) {
  return {
    kill: () => server.kill9(),
    start: () => server.start(),
    freeze: () => server.stopSignal(),
    thaw: () => server.continue(),
  };
}

/** As {@link mongodb}, but a database that a test is done with is emptied and given to the next one: faster than a new one. */
export class ReusedDatabases implements StoreUnderTest, AsyncDisposable {
  readonly name = "mongodb";
  readonly #idle: DataSet[] = [];
  readonly #all = new AsyncDisposableStack();

  async fresh(): Promise<DataSet> {
    const data = this.#idle.pop() ?? (await this.#another());
    const dispose = async (): Promise<void> => {
      await empty(data.setting);
      this.#idle.push(data);
    };
    return { ...data, dispose };
  }

  /** Drops all of them. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#all.disposeAsync();
  }

  async #another(): Promise<DataSet> {
    const data = await mongodb.fresh();
    this.#all.defer(() => data.dispose());
    return data;
  }
}

/** Schema, generation and epochs stay: nobody who was fenced comes back. */
async function empty(uri: string): Promise<void> {
  await using client = new MongoClient(uri);
  const kept = new Set<CollectionName>(["meta", "partitions"]);
  for (const name of collectionNames.filter((each) => !kept.has(each)))
    await client.db().collection(name).deleteMany({});
}

/** The epoch of each entry of a conversation, by seq, as the database keeps it. */
export async function mongoEpochs(uri: string, conversation: string): Promise<ReadonlyMap<number, number>> {
  await using client = new MongoClient(uri);
  const entries = client.db().collection<{ readonly seq: number; readonly epoch: number }>("entries");
  const rows = await entries.find({ conversation }, { projection: { seq: 1, epoch: 1 } }).toArray();
  return new Map(rows.map(({ seq, epoch }) => [seq, epoch]));
}

/** By the name that a command line gives. */
export const storesByName: ReadonlyMap<string, StoreUnderTest> = new Map(
  [sqlite, mongodb].map((store) => [store.name, store]),
);
