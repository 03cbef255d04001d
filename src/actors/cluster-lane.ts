// Asks on their way to the owner of one partition: attempts, and where nobody answers, the queue that keeps their order.
// Owned by the cluster's router, one lane for each partition that is asked elsewhere or waited for.
import type { Cancel, Clock } from "../lib/clock";
import { AppError, toAppError } from "../lib/errors";
import type { Epoch } from "../protocol/ids";
import type { AskSource, KindName } from "./actor";
import type { Bus, BusAnswer } from "./bus";
import type { KnownEpochs } from "./known-epochs";
import { decodeAnswer, encodeRequest } from "./node-wire";
import { asksAgain, NotHere } from "./not-here";
import type { Incarnation } from "./placement-shares";
import type { Phase } from "./placement-slot";
import type { ActorSystem } from "./system";

/** Milliseconds. */
export const askTimes = {
  /** One attempt; then the owner is asked again, with the same ids. Doubled for each in a row that was silent, up to the last. */
  attemptMs: { first: 500, last: 2000 },
  /** Between two looks where nobody listens, or nobody owns the partition: doubled up to the last. */
  backOffMs: { first: 5, last: 40 },
  /** Whoever goes first after a pause; when nothing came back by then, somebody listens and the others follow. */
  probeMs: 4,
} as const;

/** The subject that a partition's owner listens on. */
export function subjectOf(partition: number): string {
  return `p.${partition}`;
}

/** What the router asks of the placement. */
export interface PlacementView {
  phaseOf(partition: number): Phase;
  ownerOf(partition: number): Incarnation | null;
  mayAnswer(partition: number): boolean;
  /** Nobody listens for the partition. */
  unreachable(partition: number): void;
}

/** What the router counts. */
export interface RouterMeter {
  /** One attempt at another node; `again`: its node did not own the actor any more. */
  attempted(outcome: BusAnswer["outcome"] | "again"): void;
  /** A message without an answer had nobody to go to: whoever sent it repeats it. */
  tellLost(): void;
}

/** What a router is made of. */
export interface ClusterRouterOptions {
  readonly self: Incarnation;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly placement: PlacementView;
  readonly system: ActorSystem;
  readonly meter: RouterMeter;
}

/** What a lane needs of its router. */
export interface LaneHost {
  readonly epochs: KnownEpochs;
  /** Whether the partition is served by this node now. */
  serves(): boolean;
  /** One flight more, or less. */
  counts(change: 1 | -1): void;
}

/** Who asked. */
export interface Asker {
  resolve(value: unknown): void;
  reject(error: AppError): void;
}

/** See the head of this file. */
export class Lane {
  readonly #options: ClusterRouterOptions;
  readonly #clock: Clock;
  readonly #host: LaneHost;
  /** In the order asked. */
  readonly #flights = new Set<Flight>();
  /** Those that nobody answers for now, in the order asked. */
  #waiting = new Set<Flight>();
  #backOffMs: number = askTimes.backOffMs.first;
  #cancel: (() => void) | null = null;

  constructor(options: ClusterRouterOptions, host: LaneHost) {
    this.#options = options;
    this.#clock = options.clock;
    this.#host = host;
  }

  get isEmpty(): boolean {
    return this.#flights.size === 0;
  }

  /** Whether what comes now must wait behind others. */
  get isHeldUp(): boolean {
    return this.#waiting.size > 0;
  }

  /** Asks, at once or behind those that wait. */
  add(ask: FlightAsk, asker: Asker): void {
    const flight = new Flight(this.#options, ask, {
      ...this.#host,
      ended: () => this.#land(flight),
      wait: () => this.#wait(flight),
      resolve: asker.resolve,
      reject: asker.reject,
    });
    this.#flights.add(flight);
    this.#host.counts(1);
    if (this.isHeldUp) this.#wait(flight);
    else flight.attempt();
  }

  /** Another owner, perhaps this node: everything is asked anew, in order. What is under way may still answer. */
  moved(): void {
    this.#backOffMs = askTimes.backOffMs.first;
    this.#cancelTimer();
    this.#waiting = new Set();
    for (const flight of [...this.#flights]) flight.moved();
  }

  /** The server ends. */
  end(): void {
    this.#cancelTimer();
    for (const flight of [...this.#flights]) flight.giveUp();
  }

  #land(flight: Flight): void {
    this.#waiting.delete(flight);
    if (!this.#flights.delete(flight)) return;
    if (this.isEmpty) this.#cancelTimer();
    this.#host.counts(-1);
  }

  #wait(flight: Flight): void {
    this.#waiting.add(flight);
    this.#cancel ??= this.#clock.after(this.#backOffMs, () => this.#probe());
  }

  /** The first of those that wait goes ahead: where nobody listens, that is learnt for all of them by one message. */
  #probe(): void {
    this.#cancel = null;
    this.#backOffMs = Math.min(this.#backOffMs * 2, askTimes.backOffMs.last);
    const now = this.#clock.monotonic();
    for (const flight of [...this.#waiting]) if (flight.isOver(now)) flight.giveUp();
    const [first] = this.#waiting;
    if (!first) return;
    this.#cancel = this.#clock.after(askTimes.probeMs, () => this.#follow(first));
    first.attempt();
  }

  #follow(first: Flight): void {
    this.#cancel = null;
    // Still among those that wait: it found nobody.
    if (this.#waiting.has(first) && first.isWaiting) {
      this.#cancel = this.#clock.after(this.#backOffMs, () => this.#probe());
      return;
    }
    const waiting = [...this.#waiting];
    this.#waiting = new Set();
    for (const flight of waiting) if (flight !== first) flight.attempt();
  }

  #cancelTimer(): void {
    this.#cancel?.();
    this.#cancel = null;
  }
}

/** What is asked, and how far it is. */
export interface FlightAsk {
  readonly kind: KindName;
  readonly key: string;
  readonly message: unknown;
  readonly partition: number;
  readonly timeoutMs: number;
  /** There are no attempts for one that waits no more, nor for one of whom it is not sure that it is here still. */
  readonly source: AskSource | undefined;
  /** An attempt before may have been carried out. */
  readonly maybeDone: boolean;
  /** Tells the owner that attempts are of one ask: it handles them as one. */
  readonly number: number;
}

/** What a flight needs of its lane. */
interface FlightHost extends Asker {
  readonly epochs: KnownEpochs;
  serves(): boolean;
  /** It was answered. */
  ended(): void;
  /** Nobody is there to answer it now. */
  wait(): void;
}

/** One attempt, and the epoch it is for; null: any. */
interface Attempt {
  readonly number: number;
  readonly epoch: Epoch | null;
}

/** One ask on its way: attempts until one is answered. The first answer counts, also of an attempt that was given up. */
class Flight {
  readonly #options: ClusterRouterOptions;
  readonly #ask: FlightAsk;
  readonly #host: FlightHost;
  readonly #deadline: number;
  #attempts = 0;
  /** The last attempt that left, or was made here. */
  #sent: Attempt | null = null;
  #attemptMs: number = askTimes.attemptMs.first;
  /** The last attempt found nobody, and the next is its lane's to begin. */
  #waiting = false;
  /** This node's own actor has it, and will answer. */
  #askedHere = false;
  /** Set while its source is to show that it is here: ends the wait for that. */
  #cancelShow: Cancel | null = null;
  #maybeDone: boolean;
  /** Attempts, given up or not, of which nothing was heard yet. */
  #underWay = 0;
  #settled = false;

  constructor(options: ClusterRouterOptions, ask: FlightAsk, host: FlightHost) {
    this.#options = options;
    this.#ask = ask;
    this.#host = host;
    this.#deadline = options.clock.monotonic() + ask.timeoutMs;
    this.#maybeDone = ask.maybeDone;
  }

  get isWaiting(): boolean {
    return this.#waiting;
  }

  /** Whether its time is over, or nobody waits for it any more. @param now monotonic milliseconds */
  isOver(now: number): boolean {
    return now >= this.#deadline || this.#ask.source?.isWanted() === false;
  }

  /** Another owner. */
  moved(): void {
    this.#attemptMs = askTimes.attemptMs.first;
    this.attempt();
  }

  attempt(): void {
    if (this.#settled || this.#cancelShow !== null) return;
    const here = this.#host.serves();
    if (here && this.#askedHere) return;
    this.#attempts++;
    this.#askedHere = false;
    this.#waiting = false;
    const { placement, clock, self } = this.#options;
    const now = clock.monotonic();
    if (this.isOver(now)) return this.giveUp();
    const leftMs = this.#deadline - now;
    if (!this.#maySend()) return this.#awaitSource(leftMs);
    this.#askedHere = here;
    if (here) return this.#askHere(leftMs);
    const owner = placement.ownerOf(this.#ask.partition);
    if (owner === null || owner === self) return this.#later();
    this.#askOwner(leftMs);
  }

  /** No more attempts. */
  giveUp(): void {
    const says =
      this.#maybeDone || this.#underWay > 0
        ? new AppError("outcome_unknown", "no answer by the deadline; repeat with the same client id to learn")
        : new AppError("store_unavailable", "its owner could not be asked in time; nothing was done", {
            retryAfterMs: 200,
          });
    this.#fail(says);
  }

  /** Its source may have gone and been answered otherwise elsewhere: nothing is asked before it has shown that it is here. */
  #awaitSource(leftMs: number): void {
    const cancelTimer = this.#options.clock.after(leftMs, () => this.giveUp());
    const cancelShow = this.#ask.source?.show(
      () => this.#maySend(),
      () => {
        cancelTimer();
        this.#cancelShow = null;
        this.attempt();
      },
    );
    this.#cancelShow = () => {
      cancelTimer();
      cancelShow?.();
    };
  }

  #maySend(): boolean {
    return this.#host.epochs.mayAskFor(this.#ask.source, this.#ask.partition);
  }

  #begin(): Attempt {
    const { source, partition } = this.#ask;
    const epoch = source === undefined ? null : this.#host.epochs.of(partition);
    this.#underWay++;
    this.#sent = { number: this.#attempts, epoch };
    return this.#sent;
  }

  #askHere(leftMs: number): void {
    const { kind, key, message, partition } = this.#ask;
    const mine = this.#begin();
    this.#options.system.ask(kind, key, message, leftMs, partition).then(
      (value) => this.#succeed(value),
      (error: unknown) => this.#failed(mine, toAppError(error)),
    );
  }

  #askOwner(leftMs: number): void {
    const { bus, self: caller, clock } = this.#options;
    const { kind, key, message, partition, number } = this.#ask;
    const mine = this.#begin();
    const through = { caller, connection: bus.connection, sentAt: clock.monotonic(), epoch: mine.epoch };
    let bytes: Uint8Array;
    try {
      bytes = encodeRequest({ kind, key, ...through, timeoutMs: leftMs, message, number });
    } catch (thrown) {
      return this.#fail(toAppError(thrown));
    }
    const waits = Math.min(leftMs, this.#attemptMs);
    void bus.request(subjectOf(partition), bytes, waits).then((answer) => this.#answered(mine, answer));
  }

  #answered(attempt: Attempt, answer: BusAnswer): void {
    const { meter, placement } = this.#options;
    if (answer.outcome !== "answered") this.#underWay--;
    if (answer.outcome === "silent") this.#maybeDone = true;
    if (answer.outcome === "answered") {
      const decoded = decodeAnswer(answer.bytes);
      meter.attempted(!decoded.ok && decoded.error instanceof NotHere ? "again" : "answered");
      if (decoded.ok) return this.#succeed(decoded.value);
      return this.#refused(attempt, decoded.error, decoded.epoch);
    }
    meter.attempted(answer.outcome);
    if (this.#settled || attempt.number !== this.#attempts) return;
    if (answer.outcome === "silent") {
      this.#attemptMs = Math.min(this.#attemptMs * 2, askTimes.attemptMs.last);
      return this.attempt();
    }
    if (answer.outcome === "absent") placement.unreachable(this.#ask.partition);
    this.#later();
  }

  #refused(attempt: Attempt, error: AppError, epoch: Epoch): void {
    // For a moment two may listen, one of whom was replaced: that one does nothing does not say that none does.
    if (asksAgain(error)) this.#maybeDone = true;
    this.#host.epochs.learn(this.#ask.partition, epoch);
    const isNews = attempt.epoch !== null && epoch > attempt.epoch;
    if (!isNews || this.#settled || attempt.number !== this.#attempts) return this.#failed(attempt, error);
    this.#underWay--;
    this.attempt();
  }

  #failed(attempt: Attempt, error: AppError): void {
    this.#underWay--;
    const isLast = attempt.number === this.#attempts;
    if (isLast) this.#askedHere = false;
    if (error.outcome === "unknown") this.#maybeDone = true;
    if (this.#settled) return;
    if (asksAgain(error)) {
      if (isLast) this.#later();
      return;
    }
    // Of an attempt that was given up, only what is certain counts: a newer one may do better. And one under another epoch may do it
    // yet, since its owner knows nothing of this refusal.
    if (isLast || (error.outcome === "final" && attempt.epoch === this.#sent?.epoch)) this.#fail(error);
  }

  #later(): void {
    this.#waiting = true;
    this.#host.wait();
  }

  #succeed(value: unknown): void {
    if (this.#end()) this.#host.resolve(value);
  }

  #fail(error: AppError): void {
    if (this.#end()) this.#host.reject(error);
  }

  #end(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#cancelShow?.();
    this.#host.ended();
    return true;
  }
}
