// What other nodes ask of the partitions that live here, and what placement has done with them: taken up, given away, dropped.
// One a node in a cluster. An owner listens with a plain subscription, so that nobody else can take what is its to answer.
import type { Clock } from "../lib/clock";
import { toAppError } from "../lib/errors";
import { partitionOf } from "../lib/hash";
import type { Epoch } from "../protocol/ids";
import type { Bus, BusMessage, BusSubscription } from "./bus";
import type { PlacementHost } from "./cluster-placement";
import { subjectOf } from "./cluster-lane";
import { CallerDelays } from "./late-requests";
import { decodeRequest, encodeFailure, encodeValue } from "./node-wire";
import type { NodeRequest } from "./node-wire";
import { NotHere } from "./not-here";
import type { PingOutcome } from "./placement-events";
import type { Incarnation } from "./placement-shares";
import type { ActorSystem } from "./system";

/** Times of an owner, milliseconds. */
const times = {
  /** For a partition's activations to end well, once its subscription is drained; the next owner finishes for the rest. */
  releaseMs: 400,
  /** For another node's answer to a ping. */
  pingMs: 300,
} as const;

/** Callers whose connections are remembered. */
const callersMax = 10_000;

/** A node that asks: its newest connection, and how late what it sends comes. */
interface Caller {
  readonly connection: number;
  readonly delays: CallerDelays;
}

/** Who else hears of a partition's life on this node. */
export interface PartitionListener {
  /** It is served here from now on. */
  owned(partition: number, epoch: Epoch): void;
  /** It is not any more; `graceful`: everything it had to say was said. */
  lost(partition: number, graceful: boolean): void;
  /** A node said that it leaves, or was found dead. One that is silent is not told of. */
  nodeGone(node: Incarnation): void;
}

/** What the inbox counts. */
export interface InboxMeter {
  /** What arrived and could not be read, came too late, or is being handled already. */
  ignored(reason: "malformed" | "late" | "repeated"): void;
  /** A partition was given away, after so many milliseconds. */
  handedOff(ms: number): void;
  /** A partition was lost to a newer owner, or to doubt. */
  droppedPartition(): void;
  ownerChanged(): void;
}

/** What it is made of. */
export interface ClusterInboxOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly system: ActorSystem;
  readonly epochOf: (partition: number) => Epoch | null;
  /** Somebody has heard of a newer owner. */
  readonly suspect: (partition: number) => void;
  readonly listener: PartitionListener;
  readonly meter: InboxMeter;
  /** Finishes in the background what the predecessor left open. */
  readonly reopen: (partition: number, epoch: Epoch) => void;
  /** Whoever waits for the partition looks again. */
  readonly moved: (partition: number, owner: Incarnation | null) => void;
}

/** See the head of this file. */
export class ClusterInbox implements PlacementHost {
  readonly #options: ClusterInboxOptions;
  readonly #subscriptions = new Map<number, BusSubscription>();
  /** Callers that were heard; the one whose connection is the oldest is forgotten first. */
  readonly #callers = new Map<Incarnation, Caller>();
  readonly #dropped = new Set<number>();
  /** Asks being handled, by caller and number, with the last attempt that was heard: its caller listens for that one's answer. */
  readonly #handling = new Map<string, BusMessage>();

  constructor(options: ClusterInboxOptions) {
    this.#options = options;
  }

  async subscribe(partition: number, epoch: Epoch): Promise<boolean> {
    const { bus, listener, moved } = this.#options;
    this.#subscriptions.get(partition)?.unsubscribe();
    this.#endDropped();
    const subscription = bus.subscribe(subjectOf(partition), (message) => this.#receive(partition, message));
    this.#subscriptions.set(partition, subscription);
    // Sessions of this node need not wait for the server to know of it.
    listener.owned(partition, epoch);
    moved(partition, null);
    const heard = await bus.flush();
    return heard && this.#subscriptions.get(partition) === subscription;
  }

  async release(partition: number): Promise<void> {
    const { system, bus, listener, meter, clock } = this.#options;
    const beganAt = clock.monotonic();
    const subscription = this.#subscriptions.get(partition);
    const isOurs = (): boolean => this.#subscriptions.get(partition) === subscription; // not dropped, or begun again
    await subscription?.drain();
    if (isOurs()) await system.release(partition, times.releaseMs);
    if (!isOurs()) return;
    this.#subscriptions.delete(partition);
    listener.lost(partition, true);
    // What its actors said last is with the server before anybody hears of another owner.
    await bus.flush();
    meter.handedOff(clock.monotonic() - beganAt);
  }

  drop(partition: number): void {
    const { listener, meter, moved, clock } = this.#options;
    this.#subscriptions.get(partition)?.unsubscribe();
    this.#subscriptions.delete(partition);
    listener.lost(partition, false);
    meter.droppedPartition();
    // Many are dropped at once; until the turn ends nothing of them speaks any more, for they have no epoch.
    if (this.#dropped.size === 0) clock.endOfTurn(() => this.#endDropped());
    this.#dropped.add(partition);
    moved(partition, null);
  }

  reopen(partition: number, epoch: Epoch): void {
    this.#options.reopen(partition, epoch);
  }

  async ping(member: Incarnation): Promise<PingOutcome> {
    const { outcome } = await this.#options.bus.request(`gw.${member}`, new Uint8Array(0), times.pingMs);
    return outcome === "away" ? "silent" : outcome;
  }

  moved(partition: number, owner: Incarnation | null): void {
    this.#options.meter.ownerChanged();
    this.#options.moved(partition, owner);
  }

  /** Takes no more of any partition; resolves once all that the server had was handed to the actors, or after about a second. */
  async drain(): Promise<void> {
    await Promise.all([...this.#subscriptions.values()].map((subscription) => subscription.drain()));
  }

  /** Listens for nothing any more. Idempotent. */
  stop(): void {
    for (const subscription of this.#subscriptions.values()) subscription.unsubscribe();
    this.#subscriptions.clear();
  }

  #endDropped(): void {
    if (this.#dropped.size === 0) return;
    this.#options.system.end(new Set(this.#dropped));
    this.#dropped.clear();
  }

  #receive(partition: number, message: BusMessage): void {
    const { system, meter, epochOf } = this.#options;
    const request = decodeRequest(message.bytes);
    const isOurs = request !== null && partitionOf(request.kind, request.key) === partition;
    if (!isOurs) {
      meter.ignored("malformed");
      return message.answer(notUnderstood);
    }
    const { kind, key, timeoutMs } = request;
    const delayMs = this.#delayOf(request);
    if (timeoutMs > 0 ? delayMs > timeoutMs : delayMs === tooOld) return meter.ignored("late");
    const epoch = epochOf(partition);
    if (epoch === null) return message.answer(notServed);
    if (timeoutMs > 0 && request.epoch !== null && request.epoch !== epoch) {
      if (request.epoch > epoch) this.#options.suspect(partition);
      return message.answer(encodeFailure(ofAnotherEpoch, epoch));
    }
    if (timeoutMs <= 0) return system.tell(kind, key, request.message, partition);
    const answer = this.#answering(request, message);
    if (answer === null) return meter.ignored("repeated");
    system.ask(kind, key, request.message, timeoutMs, partition).then(
      (value) => answer(encoded(value)),
      (error: unknown) => answer(encodeFailure(toAppError(error))),
    );
  }

  /**
   * How an ask is answered; null: an attempt before is being handled, and its answer is this one's. Else a slow owner would get the
   * same work again and again, and become slower.
   */
  #answering({ caller, number }: NodeRequest, message: BusMessage): ((bytes: Uint8Array) => void) | null {
    if (number === 0) return (bytes) => message.answer(bytes);
    const name = `${number} ${caller}`;
    const repeats = this.#handling.has(name);
    this.#handling.set(name, message);
    if (repeats) return null;
    return (bytes) => {
      this.#handling.get(name)?.answer(bytes);
      this.#handling.delete(name);
    };
  }

  /**
   * For how long it was under way at least, milliseconds: past the time its caller waits it was repeated elsewhere, perhaps, and
   * answered otherwise. {@link tooOld} where the caller has used a newer connection since: it may be a repetition that comes too late.
   */
  #delayOf({ caller, connection, sentAt }: NodeRequest): number {
    const { delays, connection: newest } = this.#callerOf(caller, connection);
    if (connection < newest) return tooOld;
    return sentAt === null ? 0 : delays.of(sentAt, this.#options.clock.monotonic());
  }

  #callerOf(name: Incarnation, connection: number): Caller {
    const known = this.#callers.get(name);
    if (known && known.connection >= connection) return known;
    const caller = { connection, delays: known?.delays ?? new CallerDelays() };
    this.#callers.delete(name);
    this.#callers.set(name, caller);
    if (this.#callers.size > callersMax) {
      const [oldest] = this.#callers.keys();
      if (oldest !== undefined) this.#callers.delete(oldest);
    }
    return caller;
  }
}

/** A delay past everything. */
const tooOld = Number.POSITIVE_INFINITY;
const notServed = encodeFailure(new NotHere("shutting_down", "this node does not serve the actor now"));
/** It was for another owner, who may have refused its repetition since: this one knows nothing of that. Its caller asks anew. */
const ofAnotherEpoch = new NotHere("shutting_down", "this node serves the actor under another epoch");
const notUnderstood = encodeFailure(new NotHere("store_unavailable", "this node does not understand the request"));

/** A value that has no encoding is a fault of this program; whoever asked learns that nobody knows what became of it. */
function encoded(value: unknown): Uint8Array {
  try {
    return encodeValue(value);
  } catch (thrown) {
    return encodeFailure(toAppError(thrown));
  }
}
