// How each server is started: its programs, arguments and first data. Test and development use only, on loopback only:
// durable against the death of a process, which tests cause, not against a power cut, which they do not.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ServiceName } from "./catalog";
import { accepts, type DaemonPlan } from "./daemon";
import { debianProgram, whyNoDebianProgram } from "./debian-program";
import { goProgram, whyNoGoProgram } from "./go-program";
import { makePostgresData, postgresUser } from "./postgres-data";
import { dataFolder } from "./folders";
import { freePort, Service, type ServicePlan } from "./service";

const startTries = 3;

/** Where to start a server. */
export interface StartOptions {
  /** A free port below the ephemeral range where none is named. */
  readonly port?: number;
  /** Folder for its logs; it must be there. */
  readonly logs: string;
}

type Planner = (port: number, folder: string, logs: string) => Promise<ServicePlan>;

const planners: Readonly<Record<ServiceName, Planner>> = { nats: planNats, mongodb: planMongo, redis: planRedis };

/**
 * Builds or installs what is missing, starts the server on loopback with new, empty data, and resolves once it takes
 * requests. Rejects with `Unavailable` where this machine cannot have it, else with the end of the log.
 */
export async function startService(name: ServiceName, options: StartOptions): Promise<Service> {
  await provide(name);
  for (let left = startTries; ; left--) {
    const port = options.port ?? (await freePort());
    const folder = dataFolder(name);
    const service = new Service(await planners[name](port, folder, options.logs));
    try {
      await service.start();
      return service;
    } catch (error) {
      await service[Symbol.asyncDispose]();
      // Somebody may have taken the port between the look and the start; a named port is what it is.
      if (options.port !== undefined || left <= 1) throw error;
    }
  }
}

/** Builds or installs what a server needs, without starting it. Rejects with `Unavailable` where that cannot be. */
export async function provide(name: ServiceName): Promise<void> {
  if (name === "nats") await goProgram("nats-server");
  if (name === "redis") await debianProgram("redis-server");
  if (name === "mongodb") await Promise.all([goProgram("ferretdb"), debianProgram("postgresql")]);
}

/** Why this machine cannot have the server, in words for a person; null where it is there or can be built or installed. */
export function whyMissing(name: ServiceName): string | null {
  if (name === "nats") return whyNoGoProgram("nats-server");
  if (name === "redis") return whyNoDebianProgram("redis-server");
  return whyNoGoProgram("ferretdb") ?? whyNoDebianProgram("postgresql");
}

async function planNats(port: number, folder: string, logs: string): Promise<ServicePlan> {
  const command = [await goProgram("nats-server"), "-a", "127.0.0.1", "-p", String(port), "-js", "-sd", folder];
  const log = join(logs, `nats-${port}.log`);
  const daemon = { name: "nats-server", command, log, ready: () => accepts(port) };
  return { name: "nats", port, uri: `nats://127.0.0.1:${port}`, folder, logs: [log], daemons: [daemon] };
}

async function planRedis(port: number, folder: string, logs: string): Promise<ServicePlan> {
  const options = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder];
  const command = [await debianProgram("redis-server"), ...options];
  const log = join(logs, `redis-${port}.log`);
  const daemon = { name: "redis-server", command, log, ready: () => accepts(port) };
  return { name: "redis", port, uri: `redis://127.0.0.1:${port}`, folder, logs: [log], daemons: [daemon] };
}

/**
 * Connections of FerretDB to its PostgreSQL. It keeps one for every statement of a command until the command ends, and hangs
 * for ever where they run out: far more than one command of ours has statements.
 */
const ferretConnections = 400;

async function planMongo(port: number, folder: string, logs: string): Promise<ServicePlan> {
  const log = join(logs, `mongodb-${port}.log`);
  const postgresLog = join(logs, `mongodb-${port}-postgresql.log`);
  const database = join(folder, "postgresql");
  const options = new URLSearchParams({ host: database, user: "parley", pool_max_conns: String(ferretConnections) });
  const address = `postgres:///postgres?${options}`;
  const ferretdb = {
    name: "ferretdb",
    command: [await goProgram("ferretdb"), "-listen", `127.0.0.1:${port}`, "-postgresql", address],
    log,
    ready: () => accepts(port),
  };
  return {
    name: "mongodb",
    port,
    uri: `mongodb://127.0.0.1:${port}/?directConnection=true&retryWrites=false&maxPoolSize=10`,
    folder,
    logs: [log, postgresLog],
    daemons: [await planPostgres(database, postgresLog), ferretdb],
  };
}

/** A PostgreSQL of one's own that listens on a socket in its data folder only, and never runs as root. */
async function planPostgres(folder: string, log: string): Promise<DaemonPlan> {
  const programs = await debianProgram("postgresql");
  await makePostgresData(programs, folder);
  const data = join(folder, "data");
  const user = postgresUser();
  const settings = {
    listen_addresses: "",
    unix_socket_directories: folder,
    // A killed process loses nothing by this, a machine without power would.
    fsync: "off",
    full_page_writes: "off",
    wal_level: "minimal",
    max_wal_senders: "0",
    shared_buffers: "64MB",
    max_connections: String(ferretConnections + 20),
    // Kept in the data folder, so that a killed server leaves nothing in shared memory.
    dynamic_shared_memory_type: "mmap",
    // The indexes below serve FerretDB's queries only when their parameters are known to the planner.
    plan_cache_mode: "force_custom_plan",
    jit: "off",
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  return {
    name: "postgresql",
    command: [join(programs, "postgres"), "-D", data, ...options],
    log,
    ready: async (pid) => saysReady(join(data, "postmaster.pid"), pid),
    stopSignal: "SIGINT",
    // After kill -9 its children live for a moment, and a new life waits for them.
    againOn: "pre-existing shared memory block",
    ...(user === null ? {} : { user }),
  };
}

/** PostgreSQL's own word for it, as `pg_ctl` reads it: the pid in the first line, the state in the eighth. */
function saysReady(file: string, pid: number): boolean {
  try {
    const lines = readFileSync(file, "utf8").split("\n");
    return Number(lines[0]) === pid && lines[7]?.trim() === "ready";
  } catch {
    return false; // not written yet
  }
}
