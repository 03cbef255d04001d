// Nodes of one cluster in this process, on a store in memory and a NATS server of their own, whose parts a test may replace:
// what a negative control takes away, it takes away here, and never in the product.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { benchSecret, signToken } from "../../bench/tokens";
import { systemClock } from "../../src/lib/clock";
import { loadConfig } from "../../src/lib/config";
import { silentLog } from "../../src/lib/log";
import type { Config } from "../../src/lib/settings";
import type { ConversationId } from "../../src/protocol/ids";
import type { EntryTuple } from "../../src/protocol/entry";
import { decode } from "../../src/protocol/codec";
import { startServer } from "../../src/server";
import type { RunningServer } from "../../src/server";
import { openNats } from "../../src/transport/nats";
import type { NatsNode } from "../../src/transport/nats";
import { Connection, Refused } from "../crash/connection";
import { readMessage } from "../crash/resuming-client";
import { startProxy } from "../faults/proxy";
import type { FaultProxy } from "../faults/proxy";
import type { Violation } from "../history/checker";
import { Recorder } from "../history/recorder";
import { startNats } from "../services/services";
import type { Service } from "../services/services";
import { MemoryData } from "../sim/memory-data";
import { MemoryStore } from "../sim/memory-store";
import { UnfencedData, UnfencedStore } from "./unfenced-data";

/** What a control replaces. */
export interface ControlParts {
  /** Whether the store has no guards. */
  readonly unfenced?: boolean;
  /** A node's place on NATS, in place of the driver's. @param at the node's number, from 0 */
  readonly openNats?: (config: Config, at: number) => Promise<NatsNode>;
  /** Settings of every node. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** The driver's place on NATS, for what wraps it. */
export function openPlainNats(config: Config): Promise<NatsNode> {
  return openNats({ settings: config, clock: systemClock, log: silentLog() });
}

/** See the head of this file. */
export class ControlWorld implements AsyncDisposable {
  readonly recorder = new Recorder();
  readonly nodes: RunningServer[] = [];
  /** Of each node to NATS. */
  readonly links: FaultProxy[] = [];
  readonly conversations: ConversationId[] = [];
  readonly nats: Service;
  readonly #data: MemoryData;
  readonly #opened: AsyncDisposableStack;
  #serial = 0;

  private constructor(nats: Service, data: MemoryData, opened: AsyncDisposableStack) {
    this.nats = nats;
    this.#data = data;
    this.#opened = opened;
  }

  /** Starts the nodes one after the other; each serves once it is there. */
  static async open(count: number, parts: ControlParts): Promise<ControlWorld> {
    const opened = new AsyncDisposableStack();
    try {
      const nats = opened.use(await startNats());
      const folder = await mkdtemp(join(tmpdir(), "parley-control-"));
      opened.defer(() => rm(folder, { recursive: true, force: true }));
      const world = new ControlWorld(nats, parts.unfenced ? new UnfencedData() : new MemoryData(), opened);
      for (let at = 0; at < count; at++) await world.#start(at, folder, parts);
      return world;
    } catch (error) {
      await opened.disposeAsync();
      throw error;
    }
  }

  async #start(at: number, folder: string, parts: ControlParts): Promise<void> {
    const link = this.#opened.use(await startProxy(this.nats.uri));
    const environment = {
      PARLEY_PORT: "0",
      PARLEY_DATA_DIR: join(folder, String(at)),
      PARLEY_AUTH_SECRET: benchSecret,
      PARLEY_NATS: link.through(this.nats.uri),
      ...parts.environment,
    };
    const loaded = loadConfig({ environment, file: null });
    if (!loaded.ok) throw new Error(loaded.problem);
    const data = this.#data;
    const node = await startServer(loaded.config, {
      log: silentLog(),
      openStore: async () => (parts.unfenced ? new UnfencedStore({ data }) : new MemoryStore({ data })),
      openNats: (config) => parts.openNats?.(config, at) ?? openPlainNats(config),
    });
    this.links.push(link);
    this.nodes.push(node);
    this.#opened.defer(() => node.stop());
  }

  /** A connection to a node, signed in. */
  async signIn(at: number, user: string): Promise<Connection> {
    const url = `${this.nodes[at]!.url.replace("http", "ws")}/v1/ws`;
    // Asked to sync again it stays; without the capability it would be sent away for that.
    const options = { capabilities: ["resync"] };
    const connection = await Connection.open(url, signToken(user, benchSecret), `on-${at}`, () => undefined, options);
    this.#opened.defer(() => connection.abandon());
    return connection;
  }

  /** Groups of these people, so many that every node owns some. */
  async create(creator: Connection, others: readonly string[], count: number): Promise<void> {
    for (let at = 0; at < count; at++) {
      const [conv] = await creator.ask("create", ["group", `g${at}`, null, others]);
      this.conversations.push(conv);
    }
  }

  /** One new message in each conversation, all at once; answers how many were acknowledged, within the time of an ask. */
  async sendEverywhere(from: Connection, user: string): Promise<number> {
    const outcomes = await Promise.all(this.conversations.map((conv) => this.#send(from, user, conv)));
    // A connection that is lost answers at once: whoever repeats must not keep everything else from happening.
    await Bun.sleep(1);
    return outcomes.filter(Boolean).length;
  }

  async #send(from: Connection, user: string, conv: ConversationId): Promise<boolean> {
    const cid = `${user}-${this.#serial++}`;
    const sess = `${user}/d`;
    this.recorder.invoke(sess, user, conv, cid, `text of ${cid}`);
    try {
      const [outcome] = await from.ask("send", [conv, [[cid, [`text of ${cid}`]]]]);
      if (typeof outcome !== "number") return false;
      this.recorder.ack(sess, user, conv, cid, outcome);
      return true;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return false;
    }
  }

  /** Tells the recorder every row of every log, and judges. */
  judge(): readonly Violation[] {
    for (const conv of this.conversations) {
      const rows = this.#data.log(conv)?.entries ?? [];
      const beside = this.#data instanceof UnfencedData ? this.#data.beside(conv) : [];
      for (const row of [...rows, ...beside]) {
        const body = readMessage(decode(row.bytes) as EntryTuple);
        const { seq, ordinal, kind, sender: user, clientId } = row;
        this.recorder.log({ conv, seq, ordinal, kind, cid: body === null ? null : clientId, user, body, epoch: null });
      }
    }
    return this.recorder.finish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync();
  }
}
