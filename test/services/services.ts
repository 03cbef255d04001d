// Real servers for tests: one of each shared by the whole run, and own ones for tests that kill or stop them.
// `npm test` starts the shared ones and hands their addresses on; a test file run by itself starts them when first asked for.
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, test } from "bun:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { Redis } from "ioredis";
import { MongoClient } from "mongodb";
import { say, type ServiceName, testVariables } from "../../scripts/services/catalog";
import { logFolder } from "../../scripts/services/folders";
import type { Service } from "../../scripts/services/service";
import { startService, whyMissing } from "../../scripts/services/start";
import { NatsCluster, startNatsWith } from "./nats-servers";

export type { Service } from "../../scripts/services/service";
export { wipeJetStream } from "./nats-servers";

/** A server that a suite needs: the run's shared one, or one of its own that it may kill. */
export type Needed = ServiceName | `own ${ServiceName}`;

/** A part of the shared server that is this test's alone; disposing empties it. */
export interface Share extends AsyncDisposable {
  /** The address to open; on MongoDB it names the database. */
  readonly uri: string;
  /** The database (MongoDB), or what every key (Redis) or subject (NATS) of this test has to begin with. */
  readonly name: string;
}

/** Long, as a test file run by itself may have to build the server first. */
const firstStartTimeoutMs = 600_000;

interface Shared {
  readonly started: Promise<Service>;
  suites: number;
}
const started = new Map<ServiceName, Shared>();
const logs: { folder: string | null } = { folder: null };

/** A MongoDB-compatible server of one's own on an ephemeral port; disposing stops it and removes its data. */
export function startMongo(): Promise<Service> {
  return startService("mongodb", { logs: logsOfRun() });
}

/** A Redis of one's own that keeps nothing on disk: a restart empties it. */
export function startRedis(): Promise<Service> {
  return startService("redis", { logs: logsOfRun() });
}

/** A nats-server of one's own with JetStream on disk. */
export function startNats(): Promise<Service> {
  return startService("nats", { logs: logsOfRun() });
}

/** Servers of one's own that are a cluster; disposing stops them and removes their data. Takes some seconds: they elect a leader. */
export function startNatsCluster(size = 3): Promise<NatsCluster> {
  return NatsCluster.start(size, logsOfRun());
}

/** A nats-server of one's own that is configured by a file of this content; JetStream is what the file makes of it. */
export function startNatsConfigured(config: string): Promise<Service> {
  return startNatsWith(config, logsOfRun());
}

/** A new database on the shared MongoDB-compatible server, or on the one in `PARLEY_TEST_MONGODB`; dropped when disposed. */
export async function shareMongo(): Promise<Share> {
  const name = `parley_test_${uniqueName()}`;
  const uri = withDatabase(await sharedAddress("mongodb"), name);
  const drop = async (): Promise<void> => {
    const client = new MongoClient(uri, { serverSelectionTimeoutMS: 5_000 });
    try {
      await client.db(name).dropDatabase();
    } finally {
      await client.close();
    }
  };
  return { uri, name, [Symbol.asyncDispose]: drop };
}

/** A key prefix of one's own on the shared Redis, or on the one in `PARLEY_TEST_REDIS`; its keys are deleted when disposed. */
export async function shareRedis(): Promise<Share> {
  const name = `parley-test-${uniqueName()}:`;
  const uri = await sharedAddress("redis");
  return { uri, name, [Symbol.asyncDispose]: () => deleteKeys(uri, name) };
}

/** A subject prefix of one's own on the shared nats-server, or on the one in `PARLEY_TEST_NATS`; its buckets are deleted when disposed. */
export async function shareNats(): Promise<Share> {
  const name = `parley-test-${uniqueName()}`;
  const uri = await sharedAddress("nats");
  return { uri, name, [Symbol.asyncDispose]: () => deleteBuckets(uri, name) };
}

/**
 * A suite that needs these servers. Where one cannot be had, the suite is skipped and named on standard error with the reason;
 * with `CI=true` it fails instead.
 */
export function describeWith(needed: Needed | readonly Needed[], title: string, suite: () => void): void {
  const names = typeof needed === "string" ? [needed] : needed;
  const reason = names.map(whyNot).find((each) => each !== null);
  if (reason === undefined) {
    describe(title, () => {
      holdShared(names);
      suite();
    });
    return;
  }
  if (process.env["CI"] === "true") {
    test(title, () => {
      throw new Error(`this suite cannot run: ${reason}`);
    });
    return;
  }
  say(`skipped: ${title} (${reason})`);
  describe.skipIf(true)(title, suite);
}

/** Why this server cannot be had, or null. What `npm test` found out wins: it has tried. */
function whyNot(needed: Needed): string | null {
  const own = needed.startsWith("own ");
  const name = (own ? needed.slice(4) : needed) as ServiceName;
  if (!own && process.env[testVariables[name]]) return null;
  const found = JSON.parse(process.env["PARLEY_TEST_MISSING"] ?? "{}") as Partial<Record<ServiceName | "*", string>>;
  return found[name] ?? found["*"] ?? whyMissing(name);
}

/** Keeps the shared servers of this process up while a suite that uses them runs. */
function holdShared(needed: readonly Needed[]): void {
  const names = needed.filter(
    (each): each is ServiceName => !each.startsWith("own ") && !process.env[variableOf(each)],
  );
  if (names.length === 0) return;
  beforeAll(async () => {
    for (const name of names) await hold(name).started;
  }, firstStartTimeoutMs);
  afterAll(async () => {
    for (const name of names) await release(name);
  }, firstStartTimeoutMs);
}

function variableOf(needed: Needed): string {
  return testVariables[needed as ServiceName] ?? "";
}

function hold(name: ServiceName): Shared {
  const shared = started.get(name) ?? { started: startService(name, { logs: logsOfRun() }), suites: 0 };
  started.set(name, shared);
  shared.suites += 1;
  return shared;
}

async function release(name: ServiceName): Promise<void> {
  const shared = started.get(name);
  if (!shared || --shared.suites > 0) return;
  started.delete(name);
  await (await shared.started)[Symbol.asyncDispose]();
}

async function sharedAddress(name: ServiceName): Promise<string> {
  const given = process.env[testVariables[name]];
  if (given) return given;
  // Asked for outside of a suite made with describeWith: it stays up until this process ends, which ends it too.
  const shared = started.get(name) ?? hold(name);
  return (await shared.started).uri;
}

/** Where servers log: kept by `npm test` when something failed. A test file run by itself says where they are. */
function logsOfRun(): string {
  if (logs.folder !== null) return logs.folder;
  logs.folder = logFolder();
  if (!process.env["PARLEY_TEST_LOGS"]) say(`test servers log to ${logs.folder}`);
  return logs.folder;
}

function uniqueName(): string {
  return randomBytes(8).toString("hex");
}

function withDatabase(uri: string, database: string): string {
  const parts = /^(mongodb(?:\+srv)?:\/\/[^/?]+)(?:\/[^?]*)?(\?.*)?$/.exec(uri);
  if (parts === null) throw new Error(`${testVariables.mongodb} is not a MongoDB address`);
  return `${parts[1]}/${database}${parts[2] ?? ""}`;
}

async function deleteKeys(uri: string, prefix: string): Promise<void> {
  const redis = new Redis(uri, { maxRetriesPerRequest: 1 });
  try {
    for await (const keys of redis.scanStream({ match: `${prefix}*`, count: 1_000 })) {
      if ((keys as string[]).length > 0) await redis.unlink(...(keys as string[]));
    }
  } finally {
    redis.disconnect();
  }
}

async function deleteBuckets(uri: string, prefix: string): Promise<void> {
  const client = await connect({ servers: uri });
  const { streams } = await jetstreamManager(client);
  const names: string[] = [];
  for await (const name of streams.names()) if (name.startsWith(`KV_${prefix}-`)) names.push(name);
  await Promise.all(names.map((name) => streams.delete(name)));
  await client.close();
}
