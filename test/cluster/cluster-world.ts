// Several nodes of one cluster in this process, on one real NATS and one store, for tests of what crosses nodes.
// Processes that are killed are the chaos run's; here a node starts, drains, or is left to others by stopping.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/lib/config";
import { silentLog } from "../../src/lib/log";
import { socketPath } from "../../src/protocol/frames";
import type { UserId } from "../../src/protocol/ids";
import { startServer } from "../../src/server";
import type { RunningServer, ServerOverrides } from "../../src/server";
import { signToken } from "../../src/transport/tokens";
import { shareNats } from "../services/services";
import type { Share } from "../services/services";
import { RawClient } from "../socket/raw-client";
import type { DataSet } from "../stores";
import { sqlite } from "../stores";

const secret = "the secret of these tests, of thirty-two bytes and more";

/** See the head of this file. Everything in it ends when it is disposed of. */
export class ClusterWorld implements AsyncDisposable {
  readonly nodes: RunningServer[] = [];
  readonly #folder: string;
  readonly #data: DataSet;
  readonly #nats: Share;

  private constructor(folder: string, data: DataSet, nats: Share) {
    this.#folder = folder;
    this.#data = data;
    this.#nats = nats;
  }

  /** @param count nodes to begin with, started together */
  static async open(count: number, data?: DataSet): Promise<ClusterWorld> {
    const folder = await mkdtemp(join(tmpdir(), "parley-cluster-"));
    const world = new ClusterWorld(folder, data ?? (await sqlite.fresh()), await shareNats());
    await Promise.all(Array.from({ length: count }, () => world.start()));
    return world;
  }

  /** One node more. */
  async start(
    environment: Readonly<Record<string, string>> = {},
    overrides: ServerOverrides = {},
  ): Promise<RunningServer> {
    const given = this.environment(`node-${this.nodes.length}`);
    const loaded = loadConfig({ environment: { ...given, ...environment }, file: null });
    if (!loaded.ok) throw new Error(loaded.problem);
    const node = await startServer(loaded.config, { log: silentLog(), version: "test", ...overrides });
    this.nodes.push(node);
    return node;
  }

  /** What a node of this world is started with, also one in a process of its own. @param name its folder */
  environment(name: string): Readonly<Record<string, string>> {
    return {
      PARLEY_PORT: "0",
      PARLEY_DATA_DIR: join(this.#folder, name),
      PARLEY_AUTH_SECRET: secret,
      PARLEY_STORE: this.#data.setting,
      PARLEY_NATS: this.#nats.uri,
      PARLEY_NATS_PREFIX: `t${this.#folder.replace(/[^A-Za-z0-9]/g, "").slice(-12)}`,
      ...this.#data.environment,
    };
  }

  /** A connection of `user` to a node, signed in by a client that can sync again in place. @param at its place in {@link ClusterWorld.nodes} */
  async signIn(
    at: number,
    user: string,
    device = `device-of-${user}`,
    token: string | null = null,
  ): Promise<RawClient> {
    const node = this.nodes[at] as RunningServer;
    const client = await RawClient.connect(node.url.replace("http", "ws") + socketPath);
    await client.request("hello", 1, token ?? (await this.token(user)), device, null, ["resync"]);
    return client;
  }

  /** A token that every node takes, issued now. */
  token(user: string): Promise<string> {
    return signToken(secret, user as UserId, { seconds: 600 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
    await this.#nats[Symbol.asyncDispose]();
    await this.#data.dispose();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
