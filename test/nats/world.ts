// What the tests of NATS have in common: nodes on a server, what a watch told them, and looking until something holds.
import { createLog } from "../../src/lib/log";
import { systemClock } from "../../src/lib/clock";
import type { KvWatch, KvWatcher } from "../../src/actors/placement-kv";
import { openNats } from "../../src/transport/nats";
import type { NatsNode } from "../../src/transport/nats";
import { NatsLink } from "../../src/transport/nats-connection";
import type { NatsSettings } from "../../src/transport/nats-address";
import { until } from "../until";

/** As short a patience as a test that waits for a refusal has. */
const startMs = 10_000;

/** Nodes that are closed, last opened first, when the test ends; and what they logged. */
export class NatsWorld implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly #nodes: NatsNode[] = [];
  readonly #settings: NatsSettings;

  /** @param nats addresses as the setting takes them */
  constructor(nats: string, settings: Partial<NatsSettings> = {}) {
    this.#settings = { ...bare, nats, ...settings };
  }

  async open(settings: Partial<NatsSettings> = {}, patienceMs = startMs): Promise<NatsNode> {
    const log = createLog(
      { logLevel: "info", logFormat: "json" },
      { write: (line: string) => void this.lines.push(line) },
    );
    const node = await openNats({
      settings: { ...this.#settings, ...settings },
      clock: systemClock,
      log,
      startMs: patienceMs,
    });
    this.#nodes.push(node);
    return node;
  }

  /** A connection and nothing more; whoever asks for it closes it. */
  link(): Promise<NatsLink> {
    const log = createLog({ logLevel: "fatal", logFormat: "json" });
    return NatsLink.open({ settings: this.#settings, clock: systemClock, log, startMs });
  }

  /** Why a node may not join; rejects where it may. */
  async refusal(settings: Partial<NatsSettings> = {}, patienceMs = startMs): Promise<string> {
    try {
      await this.open(settings, patienceMs);
    } catch (error) {
      if (error instanceof Error && error.name === "ClusterRefusal") return error.message;
      throw error;
    }
    throw new Error("the node was not refused");
  }

  /** @param share what goes after the nodes */
  async [Symbol.asyncDispose](share?: AsyncDisposable): Promise<void> {
    for (const node of this.#nodes.toReversed()) await node.close();
    await share?.[Symbol.asyncDispose]();
  }
}

const bare: NatsSettings = {
  nats: null,
  natsPrefix: "parley",
  natsCredentials: null,
  natsTlsCa: null,
  natsTlsCert: null,
  natsTlsKey: null,
};

/** What a watch told: its life, and what stands since it began last. */
export class Told implements KvWatcher {
  /** In the order told: `restarted`, `current`, `key=value`. */
  readonly events: string[] = [];
  readonly values = new Map<string, string | null>();
  readonly revisions = new Map<string, number>();
  begun = 0;
  isCurrent = false;

  restarted(): void {
    this.begun += 1;
    this.isCurrent = false;
    this.values.clear();
    this.events.push("restarted");
  }

  entry(key: string, value: string | null, revision: number): void {
    this.values.set(key, value);
    this.revisions.set(key, revision);
    this.events.push(`${key}=${value}`);
  }

  current(): void {
    this.isCurrent = true;
    this.events.push("current");
  }

  /** Begins a watch; resolves once it has told what stands. */
  static async of(bucket: { watch(watcher: KvWatcher): KvWatch }): Promise<Told & { readonly watch: KvWatch }> {
    const told = new Told();
    const watch = bucket.watch(told);
    await until(() => told.isCurrent);
    return Object.assign(told, { watch });
  }
}

/** One byte says enough. */
export function byte(value: number): Uint8Array {
  return new Uint8Array([value]);
}
