// A real cluster that may be harmed: nodes, NATS servers, the store, and a fault proxy in each way between a node and a server.
// Owned by a run; disposing ends every process and removes every file but the logs.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { logFolder } from "../../scripts/services/folders";
import { freePort } from "../../scripts/services/service";
import type { Store } from "../../src/storage/store";
import type { ReadEpochs } from "../crash/read-logs";
import { startProxy } from "../faults/proxy";
import type { FaultProxy } from "../faults/proxy";
import { startMongo, startNats, startNatsCluster } from "../services/services";
import type { Service } from "../services/services";
import { mongoEpochs, sqlite } from "../stores";
import { openMongoStore } from "../../src/storage/mongo-store";
import { ChaosNode } from "./node";

/** What a cluster is made of. */
export interface ClusterPlan {
  readonly store: "sqlite" | "mongo";
  readonly nodes: number;
  /** NATS servers; 0: one node alone. */
  readonly nats: 0 | 1 | 3;
  /** Of every node, such as a negative control. */
  readonly environment?: Readonly<Record<string, string>>;
  say(line: string): void;
}

/** Where the data is, and what may be done to it. */
export interface ClusterStore {
  /** The file, where it is one. */
  readonly file: string | null;
  /** The server, where there is one, and the way of each node to it. */
  readonly server: Service | null;
  readonly links: readonly FaultProxy[];
  readonly readEpochs: ReadEpochs | null;
  /** A handle of one's own; the caller closes it. */
  open(): Promise<Store>;
}

/** How often the memory of the nodes is looked at, milliseconds. */
const lookEveryMs = 500;

/** See the head of this file. */
export class ChaosCluster implements AsyncDisposable {
  readonly nodes: readonly ChaosNode[];
  readonly nats: readonly Service[];
  /** Whether each NATS server has caught up with the others. */
  readonly natsIsWhole: () => Promise<boolean>;
  /** Of each node to each NATS server. */
  readonly natsLinks: readonly (readonly FaultProxy[])[];
  readonly store: ClusterStore;
  /** Nodes that ended though nobody made them. */
  readonly ends: string[] = [];
  readonly #opened: AsyncDisposableStack;
  readonly #peaks = new Map<string, number>();

  private constructor(parts: Parts, opened: AsyncDisposableStack) {
    ({ nats: this.nats, natsIsWhole: this.natsIsWhole, natsLinks: this.natsLinks, store: this.store } = parts);
    this.nodes = parts.nodesOf((name, code) => this.#ended(name, code));
    this.#opened = opened;
    const looking = setInterval(() => this.#look(), lookEveryMs);
    opened.defer(() => clearInterval(looking));
    opened.defer(async () => void (await Promise.all(this.nodes.map((node) => node[Symbol.asyncDispose]()))));
  }

  /** Starts everything; resolves once every node takes requests. */
  static async start(plan: ClusterPlan): Promise<ChaosCluster> {
    await using opened = new AsyncDisposableStack();
    const parts = await assemble(plan, opened);
    const cluster = new ChaosCluster(parts, opened.move());
    try {
      for (const node of cluster.nodes) node.launch();
      await Promise.all(cluster.nodes.map((node) => node.ready()));
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return cluster;
  }

  /** The most memory of each node since this was asked last, MiB. */
  takeMemoryPeaks(): readonly (readonly [node: string, mib: number])[] {
    this.#look();
    const peaks = [...this.#peaks];
    this.#peaks.clear();
    return peaks;
  }

  /** Ends everything that spoils a line; resolves once lines pass. */
  async healLinks(): Promise<void> {
    await Promise.all([...this.natsLinks.flat(), ...this.store.links].map((link) => link.heal()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync();
  }

  #look(): void {
    for (const { name, mib } of this.nodes) this.#peaks.set(name, Math.max(mib, this.#peaks.get(name) ?? 0));
  }

  #ended(name: string, code: number): void {
    this.ends.push(`${name} ended by itself with ${code}`);
    this.nodes.find((node) => node.name === name)?.launch();
  }
}

interface Parts {
  readonly nats: readonly Service[];
  readonly natsIsWhole: () => Promise<boolean>;
  readonly natsLinks: readonly (readonly FaultProxy[])[];
  readonly store: ClusterStore;
  readonly nodesOf: (onEnd: (name: string, code: number) => void) => readonly ChaosNode[];
}

async function assemble(plan: ClusterPlan, opened: AsyncDisposableStack): Promise<Parts> {
  const folder = await mkdtemp(join(tmpdir(), "parley-chaos-"));
  opened.defer(() => rm(folder, { recursive: true, force: true }));
  const logs = logFolder();
  plan.say(`nodes log to ${logs}`);
  const [nats, natsIsWhole] = await startNatsServers(plan.nats, opened);
  const names = Array.from({ length: plan.nodes }, (_, at) => `n${at + 1}`);
  const natsLinks = await Promise.all(names.map(() => Promise.all(nats.map((server) => before(server.uri, opened)))));
  const { store, settings } = plan.store === "mongo" ? await openMongo(names.length, opened) : await openSqlite(opened);
  const ports = await Promise.all(names.map(() => freePort()));
  const nodesOf: Parts["nodesOf"] = (onEnd) =>
    names.map((name, at) => {
      const urls = nats.map(({ uri }, index) => natsLinks[at]![index]!.through(uri)).join(",");
      const environment = {
        ...usual,
        PARLEY_ACTORS_IDLE_MS: idleMs[plan.store],
        PARLEY_STORE: settings[at % settings.length]!,
        ...plan.environment,
      };
      return new ChaosNode({
        name,
        port: ports[at]!,
        folder,
        log: join(logs, `parley-${ports[at]}-${name}.log`),
        environment: urls === "" ? environment : { ...environment, PARLEY_NATS: urls },
        onEnd: (code) => onEnd(name, code),
      });
    });
  return { nats, natsIsWhole, natsLinks, store, nodesOf };
}

async function startNatsServers(
  count: number,
  opened: AsyncDisposableStack,
): Promise<readonly [readonly Service[], () => Promise<boolean>]> {
  if (count < 2) return [count === 0 ? [] : [opened.use(await startNats())], async () => true];
  const cluster = opened.use(await startNatsCluster(count));
  return [cluster.servers, () => cluster.isReady()];
}

/** What is let go soon, so that opening and closing happen all the time, as often as the store can take. */
const idleMs = { sqlite: "3000", mongo: "20000" } as const;
/** Rates that no crowd of a test meets. */
const usual: Readonly<Record<string, string>> = {
  PARLEY_LOG_LEVEL: "info",
  PARLEY_LOG_FORMAT: "json",
  PARLEY_RATES_SESSION_PER_SECOND: "100000",
  PARLEY_RATES_SESSION_BURST: "100000",
  PARLEY_RATES_USER_PER_SECOND: "100000",
  PARLEY_RATES_USER_BURST: "100000",
};

async function before(uri: string, opened: AsyncDisposableStack): Promise<FaultProxy> {
  return opened.use(await startProxy(uri));
}

interface OpenedStore {
  readonly store: ClusterStore;
  /** What `PARLEY_STORE` is for each node; one: the same for all. */
  readonly settings: readonly string[];
}

async function openSqlite(opened: AsyncDisposableStack): Promise<OpenedStore> {
  const data = await sqlite.fresh();
  opened.defer(() => data.dispose());
  const file = data.setting.slice("sqlite:".length);
  const store = { file, server: null, links: [], readEpochs: null, open: () => data.open() };
  return { store, settings: [data.setting] };
}

async function openMongo(nodes: number, opened: AsyncDisposableStack): Promise<OpenedStore> {
  const server = opened.use(await startMongo());
  const uri = server.uri.replace(/\/(?=\?|$)/, "/parley");
  const links = await Promise.all(Array.from({ length: nodes }, () => before(uri, opened)));
  const store: ClusterStore = {
    file: null,
    server,
    links,
    readEpochs: (conversation) => mongoEpochs(uri, conversation),
    open: () => openMongoStore({ uri }),
  };
  return { store, settings: links.map((link) => link.through(uri)) };
}
