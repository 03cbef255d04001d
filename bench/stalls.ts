// People who send one message after another over a cluster, and the longest time that any of them waited for an answer.
// Each has one conversation; a client repeats a send under the same id until it is answered, as every client has to.
import { ResumingClient } from "../test/crash/resuming-client";
import { Recorder } from "../test/history/recorder";
import type { BenchCluster } from "./cluster";
import { benchSecret, signToken } from "./tokens";

/** Between an answer and the next message, milliseconds. */
const pauseMs = 5;
const settleMsMax = 30_000;
/** How long nothing happens, to know what a stall is without it. */
const usualMs = 1000;

/** Stalls of a while, milliseconds. */
export interface Stalls {
  /** Of people at nodes that stayed. */
  readonly stayed: number;
  /** Of people whose own node went: they also had to come to another. */
  readonly moved: number;
  /** Of anybody, in the time before, in which nothing happened: what the machine does by itself. */
  readonly before: number;
}

/** See the head of this file. */
export class StallingSenders {
  readonly #senders: readonly Sender[];

  /** Connects `each` people to each node and has them begin. */
  static async begin(cluster: BenchCluster, nodes: number, each: number): Promise<StallingSenders> {
    const senders = Array.from({ length: nodes * each }, (_, at) => new Sender(cluster, at % nodes, nodes, `s${at}`));
    await Promise.all(senders.map((sender) => sender.begin()));
    return new StallingSenders(senders);
  }

  private constructor(senders: readonly Sender[]) {
    this.#senders = senders;
  }

  /** Has something happen to a node; resolves once everybody's messages pass again. */
  async during(node: number, happen: () => Promise<void>): Promise<Stalls> {
    const longest = (some: readonly Sender[]): number => Math.max(...some.map((sender) => sender.takeStall()));
    longest(this.#senders);
    await Bun.sleep(usualMs);
    const usual = longest(this.#senders);
    const stayed = this.#senders.filter(({ home }) => home !== node);
    const moved = this.#senders.filter(({ home }) => home === node);
    await happen();
    const before = this.#senders.map(({ acked }) => acked);
    const deadline = performance.now() + settleMsMax;
    // What was sent before it happened is answered then, and what was sent since.
    while (this.#senders.some(({ acked }, at) => acked < (before[at] as number) + 2)) {
      if (performance.now() > deadline) throw new Error("messages do not pass any more");
      await Bun.sleep(10);
    }
    return { stayed: longest(stayed), moved: longest(moved), before: usual };
  }

  /** Those who had to go elsewhere come back to their own node. */
  async goHome(node: number): Promise<void> {
    await Promise.all(this.#senders.filter(({ home }) => home === node).map((sender) => sender.comeBack()));
  }

  async end(): Promise<void> {
    await Promise.all(this.#senders.map((sender) => sender.end()));
  }
}

class Sender {
  readonly home: number;
  readonly #client: ResumingClient;
  readonly #name: string;
  #running = true;
  #conversation = "";
  #loop: Promise<void> = Promise.resolve();
  #serial = 0;

  constructor(cluster: BenchCluster, home: number, nodes: number, name: string) {
    this.home = home;
    this.#name = name;
    const url = (): string => {
      // As a balancer in front would: their own node while it runs, else another.
      const turns = Array.from({ length: nodes }, (_, i) => cluster.node((home + i) % nodes));
      return `ws://127.0.0.1:${turns.find((node) => node !== null)?.port}/v1/ws`;
    };
    const token = signToken(name, benchSecret);
    // As our SDK says: what a lost node may not have told is repaired without losing the connection.
    const capabilities = ["resync"] as const;
    const setup = { url, user: name, device: "phone", token, recorder: new Recorder(), capabilities };
    this.#client = new ResumingClient(setup);
  }

  get acked(): number {
    return this.#client.acknowledged.length;
  }

  takeStall(): number {
    return this.#client.takeStall();
  }

  async begin(): Promise<void> {
    this.#client.start();
    const args = ["group", this.#name, { name: this.#name }, []] as const;
    const [conversation] = await this.#client.untilDone((connection) => connection.ask("create", args));
    this.#conversation = conversation;
    this.#loop = this.#talk();
    while (this.acked === 0) await Bun.sleep(5);
  }

  async comeBack(): Promise<void> {
    this.#client.drop();
    const before = this.acked;
    while (this.acked < before + 2) await Bun.sleep(5);
  }

  async end(): Promise<void> {
    this.#running = false;
    await this.#loop;
    await this.#client.stop();
  }

  async #talk(): Promise<void> {
    while (this.#running) {
      const cid = `${this.#name}-${this.#serial++}`;
      this.#client.send(this.#conversation, cid, cid);
      while (this.#running && this.#client.queued > 0) await Bun.sleep(1);
      await Bun.sleep(pauseMs);
    }
  }
}
