// What the nodes of a cluster tell each other beside asks: numbered items, beats that say who owns what, and requests.
// One a node, on `gw.<self>` and `gw.all`. Nothing is promised to arrive; what is missing is told as a gap, once a beat came.
import type { Clock } from "../lib/clock";
import { AppError, toAppError } from "../lib/errors";
import { decode, encode, Encoded } from "../protocol/codec";
import type { Epoch } from "../protocol/ids";
import type { Bus, BusAnswer, BusMessage, BusSubscription } from "./bus";
import type { InterestMeter } from "./interest";
import { LinkIn } from "./node-link-in";
import type { Arrival } from "./node-link-in";
import { LinkOut } from "./node-link-out";
import { arrayOf, integerOf, Malformed } from "./node-data";
import { decodeAnswer, encodeFailure, encodeValue } from "./node-wire";
import type { Incarnation } from "./placement-shares";

/** Times of links, milliseconds. */
export const linkTimes = {
  /** Between two beats. */
  beatMs: 1_000,
  /** At least, between a beat and one that news call for. */
  newsMs: 10,
  /** A node that says nothing for so long is told as silent. */
  silentMs: 6_000,
  /** And after so long it is forgotten. */
  forgetMs: 60_000,
} as const;

/** Other nodes that are remembered; messages of more are ignored. */
const nodesMax = 10_000;

/** Something for sessions of other nodes: its kind, and what belongs to it, as plain data. */
export type Item = readonly [kind: string, ...unknown[]];
/** A partition that is owned, and its epoch. */
export type Owned = readonly [partition: number, epoch: Epoch];

/** What became of a request to another node. `refused`: it answered an error. */
export type NodeReply =
  | { readonly outcome: "answered"; readonly value: unknown }
  | { readonly outcome: "refused"; readonly error: AppError }
  | { readonly outcome: Exclude<BusAnswer["outcome"], "answered"> };

/** What links are made of. */
export interface NodeLinksOptions {
  readonly self: Incarnation;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly meter: InterestMeter;
  /** What this node owns now. */
  readonly owned: () => readonly Owned[];
  /** What was taken from it, under the epochs it had. */
  readonly taken: () => readonly Owned[];
  /** Another node said what it owns and what was taken from it, after what it had sent until then. */
  readonly heard: (from: Incarnation, owned: readonly Owned[]) => void;
  /** Items of that node may be missing here. */
  readonly gap: (from: Incarnation) => void;
  /** Nothing was heard of that node for {@link linkTimes.silentMs}. Told once each time. */
  readonly silent: (from: Incarnation) => void;
}

/** Takes an item; throws for one that it does not understand. `common`: it came on the link to all. */
export type TakeItem = (args: readonly unknown[], from: Incarnation, common: boolean) => void;
/** Takes a message; what it answers, or throws as an AppError, goes back where an answer is wanted. */
export type TakeMessage = (args: readonly unknown[], from: Incarnation) => unknown;

/** Another node, as heard. */
interface Peer {
  readonly direct: LinkIn;
  readonly common: LinkIn;
  heardAt: number;
  silent: boolean;
}

const nothing = new Uint8Array(0);

/** See the head of this file. */
export class NodeLinks {
  readonly #options: NodeLinksOptions;
  readonly #items = new Map<string, TakeItem>();
  readonly #messages = new Map<string, TakeMessage>();
  readonly #out = new Map<Incarnation, LinkOut>();
  readonly #common: LinkOut;
  readonly #peers = new Map<Incarnation, Peer>();
  #subscriptions: readonly BusSubscription[] = [];
  #cancelBeat: () => void = () => undefined;
  #beatAt = Number.NEGATIVE_INFINITY;
  #newsWait = false;
  #flushWaits = false;
  #stopped = false;

  constructor(options: NodeLinksOptions) {
    this.#options = options;
    const { self, bus, meter } = options;
    this.#common = new LinkOut({ self, bus, meter, subject: "gw.all", target: "all" });
    this.#messages.set("items", (args, from) => this.#takeItems(args, from));
    this.#messages.set("beat", (args, from) => this.#takeBeat(args, from));
    this.#messages.set("who", () => this.beatSoon());
  }

  /** Begins to listen, to beat, and asks the others for their beats. Called once. */
  start(): void {
    const { bus, self } = this.#options;
    this.#subscriptions = [
      bus.subscribe(`gw.${self}`, (message) => this.#receive(message, false)),
      bus.subscribe("gw.all", (message) => this.#receive(message, true)),
    ];
    bus.onConnection((stands) => {
      if (!stands || this.#stopped) return;
      bus.publish("gw.all", encode(["who", self]));
      this.beatSoon();
    });
    this.#beatLater();
  }

  /** Sends what was gathered, says what is owned a last time, and listens no more. Idempotent. */
  stop(): void {
    if (this.#stopped) return;
    this.#beat();
    this.#stopped = true;
    this.#cancelBeat();
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  /** Says who takes items of a kind. A kind that nobody takes is ignored: a later release may send it. */
  onItem(kind: string, take: TakeItem): void {
    this.#items.set(kind, take);
  }

  /** Says who takes messages of a kind, and answers requests of it. */
  on(kind: string, take: TakeMessage): void {
    this.#messages.set(kind, take);
  }

  /** Hands an item to these nodes, none of them this one, at the end of the turn; to half of all by one message. */
  send(nodes: readonly Incarnation[], item: Item): void {
    if (nodes.length === 0 || this.#stopped) return;
    const others = this.#peers.size;
    const encoded = new Encoded(encode(item));
    if (nodes.length >= 2 && nodes.length * 2 >= others) this.#common.add(encoded);
    else for (const node of nodes) this.#linkTo(node).add(encoded);
    this.#flushLater();
  }

  /** Other nodes that were heard lately. */
  peers(): readonly Incarnation[] {
    return [...this.#peers].flatMap(([node, { silent }]) => (silent ? [] : [node]));
  }

  /** Asks another node. Never rejects. */
  async request(node: Incarnation, kind: string, args: readonly unknown[], timeoutMs: number): Promise<NodeReply> {
    const { bus, self } = this.#options;
    const answer = await bus.request(`gw.${node}`, encode([kind, self, ...args]), timeoutMs);
    if (answer.outcome !== "answered") return answer;
    const decoded = decodeAnswer(answer.bytes);
    return decoded.ok ? { outcome: "answered", value: decoded.value } : { outcome: "refused", error: decoded.error };
  }

  /** Tells another node something at once, without a number; false: it did not leave. */
  tell(node: Incarnation, kind: string, args: readonly unknown[]): boolean {
    const { bus, self } = this.#options;
    return bus.publish(`gw.${node}`, encode([kind, self, ...args]));
  }

  /** Numbers of the last messages to `node` and to all, for {@link NodeLinks.toldNumbers} on its side. Makes its link known. */
  numbersFor(node: Incarnation): readonly [direct: number, common: number] {
    return [this.#linkTo(node).number, this.#common.number];
  }

  /** That node's own word, in an answer, on what it has sent until then. */
  toldNumbers(from: Incarnation, [direct, common]: readonly [number, number]): void {
    const peer = this.#peers.get(from);
    if (!peer) return;
    this.#judge(from, "node", peer.direct.toldOnce(direct));
    this.#judge(from, "all", peer.common.toldOnce(common));
  }

  /** Interest of that node was dropped here: it shall notice, should it live, and register again. */
  skip(node: Incarnation): void {
    this.#out.get(node)?.skip();
  }

  /** What is owned has changed: the others hear of it within about {@link linkTimes.newsMs}. */
  beatSoon(): void {
    if (this.#newsWait || this.#stopped) return;
    this.#newsWait = true;
    const { clock } = this.#options;
    const news = (): void => {
      this.#newsWait = false;
      this.#beat();
    };
    const waitMs = this.#beatAt + linkTimes.newsMs - clock.monotonic();
    if (waitMs <= 0) clock.endOfTurn(news);
    else clock.after(waitMs, news);
  }

  /** Sends what was gathered, now. */
  flush(): void {
    this.#common.flush();
    for (const link of this.#out.values()) link.flush();
  }

  #flushLater(): void {
    if (this.#flushWaits) return;
    this.#flushWaits = true;
    this.#options.clock.endOfTurn(() => {
      this.#flushWaits = false;
      this.flush();
    });
  }

  #linkTo(node: Incarnation): LinkOut {
    let link = this.#out.get(node);
    if (!link) {
      const { self, bus, meter } = this.#options;
      link = new LinkOut({ self, bus, meter, subject: `gw.${node}`, target: "node" });
      this.#out.set(node, link);
    }
    return link;
  }

  #beatLater(): void {
    this.#cancelBeat = this.#options.clock.after(linkTimes.beatMs, () => {
      this.#noteSilent();
      this.#beat();
      this.#beatLater();
    });
  }

  #beat(): void {
    if (this.#stopped) return;
    const { self, bus, owned, taken, clock } = this.#options;
    this.flush();
    this.#beatAt = clock.monotonic();
    const numbers = [...this.#out].map(([node, { number }]) => [node, number]);
    bus.publish("gw.all", encode(["beat", self, this.#common.number, numbers, owned(), taken()]));
  }

  #noteSilent(): void {
    const now = this.#options.clock.monotonic();
    for (const [node, peer] of this.#peers) {
      const silentMs = now - peer.heardAt;
      if (silentMs > linkTimes.forgetMs) this.#peers.delete(node);
      if (silentMs <= linkTimes.silentMs || peer.silent) continue;
      peer.silent = true;
      this.#options.silent(node);
    }
    for (const node of this.#out.keys()) if (!this.#peers.has(node)) this.#out.delete(node);
  }

  #peer(node: Incarnation): Peer | null {
    let peer = this.#peers.get(node);
    if (!peer) {
      if (this.#peers.size >= nodesMax) return null;
      peer = { direct: new LinkIn(), common: new LinkIn(), heardAt: 0, silent: false };
      this.#peers.set(node, peer);
    }
    peer.heardAt = this.#options.clock.monotonic();
    peer.silent = false;
    return peer;
  }

  #receive(message: BusMessage, toAll: boolean): void {
    if (this.#stopped) return;
    // A ping: that it is answered says that this node listens.
    if (message.bytes.length === 0) return message.answer(nothing);
    try {
      const [kind, from, ...args] = arrayOf(decode(message.bytes));
      if (typeof kind !== "string" || typeof from !== "string") throw new Malformed();
      // The common subject brings one's own words back.
      if (from === this.#options.self) return;
      if (!this.#peer(from)) return this.#options.meter.ignored("unknown");
      const take = this.#messages.get(kind);
      if (!take) {
        this.#options.meter.ignored("unknown");
        return message.answer(unknownKind);
      }
      const result = take(kind === "items" ? [toAll, ...args] : args, from);
      if (result instanceof Promise) this.#answerLater(message, result);
      else message.answer(encodeValue(result));
    } catch (thrown) {
      if (!(thrown instanceof AppError)) this.#options.meter.ignored("malformed");
      message.answer(thrown instanceof AppError ? encodeFailure(thrown) : notUnderstood);
    }
  }

  #answerLater(message: BusMessage, result: Promise<unknown>): void {
    result.then(
      (value) => message.answer(encodeValue(value)),
      (thrown: unknown) => message.answer(encodeFailure(toAppError(thrown))),
    );
  }

  #takeItems([toAll, number, items]: readonly unknown[], from: Incarnation): void {
    const { meter } = this.#options;
    const peer = this.#peers.get(from);
    if (!peer) return;
    const link = toAll === true ? peer.common : peer.direct;
    const arrival = link.message(integerOf(number));
    if (arrival === "late") return meter.ignored("late");
    for (const item of arrayOf(items)) this.#takeItem(item, from, toAll === true);
    // Behind the items: what they bring need not be read again.
    this.#judge(from, toAll === true ? "all" : "node", arrival);
  }

  #takeItem(item: unknown, from: Incarnation, common: boolean): void {
    try {
      const [kind, ...args] = arrayOf(item);
      const take = this.#items.get(kind as string);
      if (take) take(args, from, common);
      else this.#options.meter.ignored("unknown");
    } catch {
      this.#options.meter.ignored("malformed");
    }
  }

  #takeBeat([common, numbers, owned, taken = []]: readonly unknown[], from: Incarnation): void {
    const { self, heard } = this.#options;
    const mine = arrayOf(numbers).find((one) => arrayOf(one)[0] === self);
    const direct = mine === undefined ? null : integerOf(arrayOf(mine)[1]);
    const all = integerOf(common);
    const list = [...arrayOf(owned), ...arrayOf(taken)].map((one): Owned => {
      const [partition, epoch] = arrayOf(one);
      return [integerOf(partition), integerOf(epoch)];
    });
    const peer = this.#peers.get(from);
    if (!peer) return;
    this.#judge(from, "node", peer.direct.told(direct));
    this.#judge(from, "all", peer.common.told(all));
    heard(from, list);
  }

  #judge(from: Incarnation, link: "node" | "all", arrival: Arrival | "same"): void {
    if (arrival !== "gap") return;
    this.#options.meter.linkGap(link);
    this.#options.gap(from);
  }
}

const unknownKind = encodeFailure(new AppError("not_supported", "this node does not know the request"));
const notUnderstood = encodeFailure(new AppError("not_supported", "this node does not understand the request"));
