// A whole server over a data folder of its own, in this process, for tests of starting, stopping and serving.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/lib/config";
import { silentLog } from "../../src/lib/log";
import type { Config } from "../../src/lib/settings";
import { socketPath } from "../../src/protocol/frames";
import type { UserId } from "../../src/protocol/ids";
import { startServer } from "../../src/server";
import type { RunningServer } from "../../src/server";
import { signToken } from "../../src/transport/tokens";
import { RawClient } from "../socket/raw-client";
import type { DataSet } from "../stores";

export const secret = "the secret of these tests, of thirty-two bytes and more";

/** A data folder and the servers that were started on it; all go when it is disposed of. */
export class ServerWorld implements AsyncDisposable {
  readonly dataDir: string;
  readonly #servers: RunningServer[] = [];
  readonly #data: DataSet | null;

  private constructor(dataDir: string, data: DataSet | null) {
    this.dataDir = dataDir;
    this.#data = data;
  }

  /** @param data where messages are, disposed of with the world; null: in the folder */
  static async open(data: DataSet | null = null): Promise<ServerWorld> {
    return new ServerWorld(await mkdtemp(join(tmpdir(), "parley-server-")), data);
  }

  /** The configuration of a server on a free port, changed by variables. */
  config(environment: Readonly<Record<string, string>> = {}): Config {
    const defaults = { PARLEY_PORT: "0", PARLEY_DATA_DIR: this.dataDir, PARLEY_AUTH_SECRET: secret };
    const store: Record<string, string> = this.#data ? { PARLEY_STORE: this.#data.setting } : {};
    const given = Object.entries({ ...defaults, ...store, ...environment }).filter(([, value]) => value !== "");
    const loaded = loadConfig({ environment: Object.fromEntries(given), file: null });
    if (!loaded.ok) throw new Error(loaded.problem);
    return loaded.config;
  }

  async start(environment: Readonly<Record<string, string>> = {}): Promise<RunningServer> {
    const server = await startServer(this.config(environment), { log: silentLog(), version: "test" });
    this.#servers.push(server);
    return server;
  }

  /** A connection of `user`, signed in. */
  async signIn(server: RunningServer, user: string): Promise<RawClient> {
    const client = await RawClient.connect(server.url.replace("http", "ws") + socketPath);
    await client.request("hello", 1, await signToken(secret, user as UserId, { seconds: 600 }), `device-of-${user}`);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()));
    await rm(this.dataDir, { recursive: true });
    await this.#data?.dispose();
  }
}
