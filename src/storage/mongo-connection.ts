// Connects to MongoDB with the settings the guarantees rest on, and says what a deployment cannot give (G1).
// Owned by the MongoDB store; copy and backup use it too. Host, credentials and TLS come from the address.
import { MongoClient, MongoServerSelectionError } from "mongodb";
import type { Db, MongoClientOptions } from "mongodb";
import type { Clock } from "../lib/clock";
import { isOfDriver, reasonOf } from "./mongo-failures";
import { StartupError } from "./sqlite-errors";
import { WakingConnection } from "./waking-connection";

/** How a connection behaves; what the address names of pool and time-outs wins over these. */
export interface MongoLimits {
  /** Most connections to the primary. */
  readonly poolMax: number;
  /** How long an operation waits for a primary, milliseconds. */
  readonly serverSelectionMs: number;
  /** How long a reply may take before the connection counts as lost, milliseconds. */
  readonly operationMs: number;
  /** How long a write is repeated until its outcome is known, milliseconds. */
  readonly decideMs: number;
  /** How long starting waits for a server that does not answer, milliseconds. */
  readonly startMs: number;
}

/** What is used where nothing is set. */
export const mongoLimits: MongoLimits = {
  poolMax: 64,
  serverSelectionMs: 3000,
  operationMs: 5000,
  decideMs: 10_000,
  startMs: 30_000,
};

/** Where to connect, and how. */
export interface MongoAddress {
  /** `mongodb://` or `mongodb+srv://`; the database is the path, `parley` where there is none. */
  readonly uri: string;
  readonly clock: Clock;
  readonly limits?: Partial<MongoLimits>;
  /** Whether to count commands: {@link MongoClient} then emits `commandStarted`. */
  readonly monitored?: boolean;
  /** What the deployment cannot give, and what is at risk. */
  readonly onWarning?: (text: string) => void;
}

/** An open connection. `linearizable`: whether the deployment reads so; a server alone cannot, and need not. */
export interface MongoConnection {
  readonly client: MongoClient;
  readonly db: Db;
  readonly limits: MongoLimits;
  readonly linearizable: boolean;
}

/** Waits between attempts to connect at start, milliseconds: doubled each time, up to the last. */
const retryFirstMs = 100;
const retryLastMs = 2000;
/** How often servers are looked at, milliseconds. */
const heartbeatMs = 2000;
/** What connections are made of; an option that the driver has and its types leave out. */
const connections: object = { connectionType: WakingConnection };
/** The name of the database where the address has none. */
const defaultDatabase = "parley";

/** How much shorter the server waits for the majority than this side waits for the server, milliseconds. */
const replyMarginMs = 1000;

/** How long the server waits for a majority before it answers with an error. */
export function wtimeoutOf({ operationMs }: MongoLimits): number {
  return Math.max(100, operationMs - replyMarginMs);
}

/**
 * Connects, trying again for `startMs` while no server answers. Rejects with a {@link StartupError} that says the fix; no
 * message holds the address, which may carry a password.
 */
export async function connectMongo(address: MongoAddress): Promise<MongoConnection> {
  const limits = { ...mongoLimits, ...address.limits };
  const client = clientOf(address, limits);
  try {
    const db = databaseIn(client, address.uri);
    const warn = address.onWarning ?? (() => {});
    await connected(client, address.clock, limits.startMs, warn);
    const linearizable = await look(client, db, warn);
    return { client, db, limits, linearizable };
  } catch (error) {
    await client.close();
    throw error;
  }
}

function clientOf({ uri, monitored = false }: MongoAddress, limits: MongoLimits): MongoClient {
  const named = namedOptions(uri);
  const wanted: MongoClientOptions = {
    maxPoolSize: limits.poolMax,
    serverSelectionTimeoutMS: limits.serverSelectionMs,
    connectTimeoutMS: limits.operationMs,
    socketTimeoutMS: limits.operationMs,
    waitQueueTimeoutMS: limits.operationMs,
    heartbeatFrequencyMS: heartbeatMs,
    appName: "parley",
  };
  const free = Object.entries(wanted).filter(([name]) => !named.has(name.toLowerCase()));
  try {
    return new MongoClient(uri, {
      ...Object.fromEntries(free),
      // Repeating is ours: only we know whether an outcome is decided.
      retryWrites: false,
      readPreference: "primary",
      readConcernLevel: "majority",
      promoteLongs: true,
      promoteBuffers: true,
      monitorCommands: monitored,
      ...connections,
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartupError(`the store's address is not one of MongoDB: ${reason}; see PARLEY_STORE in OPERATIONS.md`);
  }
}

/** The names of the options in an address, in lower case. */
function namedOptions(uri: string): ReadonlySet<string> {
  const query = uri.slice(uri.indexOf("?") + 1 || uri.length);
  return new Set(query.split("&").map((part) => (part.split("=")[0] ?? "").toLowerCase()));
}

/** The database in an address's path. */
function databaseOf(uri: string): string {
  const path = /^mongodb(?:\+srv)?:\/\/[^/?]*\/(?<name>[^?]*)/.exec(uri)?.groups?.["name"];
  return path ? decodeURIComponent(path) : defaultDatabase;
}

function databaseIn(client: MongoClient, uri: string): Db {
  try {
    return client.db(databaseOf(uri), { ignoreUndefined: true });
  } catch (error) {
    throw new StartupError(`the store's address names no possible database: ${oneLine(error)}; correct its path`);
  }
}

async function connected(
  client: MongoClient,
  clock: Clock,
  startMs: number,
  warn: (text: string) => void,
): Promise<void> {
  const begun = clock.monotonic();
  for (let pauseMs = retryFirstMs; ; pauseMs = Math.min(pauseMs * 2, retryLastMs)) {
    try {
      await client.connect();
      await client.db("admin").command({ ping: 1 });
      return;
    } catch (error) {
      if (!isOfDriver(error) && !isLookUp(error)) throw error;
      const hosts = client.options.srvHost ?? client.options.hosts.map(String).join(", ");
      const says = `cannot use the MongoDB at ${hosts}: ${oneLine(error)}`;
      if (isRefusal(error)) throw new StartupError(`${says}; check the name, password and TLS options in the address`);
      if (clock.monotonic() - begun + pauseMs >= startMs) {
        throw new StartupError(`${says}; ${remedyOf(error)}`, { cause: error });
      }
      // Once: whoever waits for the start should see what for.
      if (pauseMs === retryFirstMs) warn(`${says}; trying again for up to ${startMs / 1000} s`);
      await new Promise<void>((resolve) => clock.after(pauseMs, resolve));
    }
  }
}

function oneLine(error: unknown): string {
  return reasonOf(error).replace(/\s+/g, " ");
}

/** Whether a `mongodb+srv` name could not be looked up. */
function isLookUp(error: unknown): error is Error {
  return error instanceof Error && "syscall" in error && String(error.syscall).startsWith("query");
}

/** A server that is no member of the named set is dropped by the driver: then none is left. */
function remedyOf(error: Error): string {
  const seen = error instanceof MongoServerSelectionError ? error.reason : undefined;
  if (seen?.setName && seen.servers.size === 0) {
    return `no host that answers is a member of a replica set named ${seen.setName}; correct replicaSet in the store's address`;
  }
  return "start it, or correct the store's address";
}

/** Whether a server answered and will not have us. */
function isRefusal(error: Error): boolean {
  const code = "code" in error ? Number(error.code) : 0;
  return code === 18 || code === 13 || code === 8000;
}

/** Warns of what the deployment cannot give. Answers whether it reads linearizably. */
async function look(client: MongoClient, db: Db, warn: (text: string) => void): Promise<boolean> {
  const hello = await client.db("admin").command({ hello: 1 });
  const replicated = typeof hello["setName"] === "string" || hello["msg"] === "isdbgrid";
  if (!replicated) {
    warn(
      "this MongoDB is not a replica set: what was acknowledged is on one disk only, and is lost with it; " +
        "make it a replica set of three members",
    );
  }
  const data = Array.isArray(hello["hosts"]) ? hello["hosts"].length : 0;
  const arbiters = Array.isArray(hello["arbiters"]) ? hello["arbiters"].length : 0;
  if (data === 1 && arbiters === 0) {
    warn(
      "this replica set has one member: what was acknowledged is on one disk only, and is lost with it; add two more",
    );
  }
  if (arbiters > 0) {
    warn(
      `this replica set has ${data} members with data and ${arbiters} without: while one of them is down no majority may ` +
        "be able to confirm writes, and sends are refused; replace the arbiter by a member with data",
    );
  }
  return readsLinearizably(db);
}

async function readsLinearizably(db: Db): Promise<boolean> {
  try {
    await db.collection("partitions", { readConcern: { level: "linearizable" } }).findOne({ _id: -1 as never });
    return true;
  } catch (error) {
    // A server alone says that it is no replica set: there its every read is of the newest state.
    if (isOfDriver(error) && "code" in error && (error.code === 123 || error.code === 148)) return false;
    throw error;
  }
}
