// Several Parley nodes on one SQLite file and one NATS, for benches: real processes that may be killed, drained and started again.
// Disposing ends all of them and removes the data.
import { join } from "node:path";
import { startService } from "../scripts/services/start";
import { partitionCount } from "../src/lib/hash";
import type { Node, Target } from "./plan";
import { keep, startParley, temporaryFolder } from "./processes";
import type { Serving } from "./processes";
import { benchSecret } from "./tokens";

/** How long a joiner may take until it has its share, milliseconds. */
const evenMsMax = 60_000;
/** Until every node may judge the others (`judgeMs` of the placement), and longer than anything else waits for. */
const restMs = 6000;

/** See the head of this file. */
export class BenchCluster implements AsyncDisposable {
  readonly #opened: AsyncDisposableStack;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #dataDir: string;
  readonly #natsPid: number;
  /** Null where a node was ended. */
  readonly #nodes: (Serving | null)[];

  private constructor(parts: Parts, nodes: number, opened: AsyncDisposableStack) {
    ({ environment: this.#environment, dataDir: this.#dataDir, natsPid: this.#natsPid } = parts);
    this.#nodes = new Array<Serving | null>(nodes).fill(null);
    this.#opened = opened;
  }

  /** Starts all nodes; resolves once each has its share. @param dataDir where data is already; absent: a folder of its own */
  static async start(nodes: number, dataDir: string | null = null): Promise<BenchCluster> {
    await using opened = new AsyncDisposableStack();
    const folder = opened.use(temporaryFolder());
    const nats = opened.use(await startService("nats", { logs: folder.path }));
    opened.defer(keep(nats.pid));
    const store = `sqlite:${join(dataDir ?? folder.path, "parley.sqlite")}`;
    const environment = { PARLEY_STORE: store, PARLEY_NATS: nats.uri };
    const parts = { environment, dataDir: folder.path, natsPid: nats.pid };
    const cluster = new BenchCluster(parts, nodes, opened.move());
    try {
      for (let at = 0; at < nodes; at++) await cluster.restart(at);
      await cluster.rest();
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return cluster;
  }

  /** All nodes that run. */
  get target(): Target {
    const nodes = this.#nodes.flatMap((node): Node[] => (node ? [node.target] : []));
    const [first] = nodes;
    if (!first) throw new Error("no node runs");
    return { ...first, nodes, natsPid: this.#natsPid, raw: false, secret: benchSecret };
  }

  /** One node; null where it does not run. */
  node(at: number): Node | null {
    return this.#nodes[at]?.target ?? null;
  }

  /** Starts a node that does not run. */
  async restart(at: number): Promise<void> {
    this.#nodes[at] = await startParley(join(this.#dataDir, `node${at}`), this.#environment);
  }

  /** `kill -9`. */
  async kill(at: number): Promise<void> {
    const node = this.#nodes[at];
    this.#nodes[at] = null;
    await node?.kill();
  }

  /** Has a node give everything away and stop. */
  async drain(at: number): Promise<void> {
    const node = this.#nodes[at];
    this.#nodes[at] = null;
    await node?.stop();
  }

  /** Resolves once loads are even, and have been for some seconds. */
  async rest(): Promise<void> {
    const deadline = performance.now() + evenMsMax;
    while (!(await this.#isEven())) {
      if (performance.now() > deadline) throw new Error("loads did not become even");
      await Bun.sleep(100);
    }
    await Bun.sleep(restMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node?.[Symbol.asyncDispose]()));
    await this.#opened.disposeAsync();
  }

  async #isEven(): Promise<boolean> {
    const owned = await Promise.all(this.#nodes.flatMap((node) => (node ? [ownedBy(node.target)] : [])));
    return (
      Math.max(...owned) - Math.min(...owned) <= 1 && owned.reduce((sum, each) => sum + each, 0) === partitionCount
    );
  }
}

interface Parts {
  readonly environment: Readonly<Record<string, string>>;
  readonly dataDir: string;
  readonly natsPid: number;
}

async function ownedBy({ port }: Node): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(/^parley_partitions\{phase="owned"\} (\d+)/m.exec(text)?.[1] ?? 0);
}
