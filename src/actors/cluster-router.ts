// The router of a node in a cluster: asks the actors that are here, and the owners of the others by `p.<partition>`.
// Whatever becomes of owners and messages, an ask is answered once, by its deadline; one that may have been done says so.
import type { Clock } from "../lib/clock";
import { AppError, toAppError } from "../lib/errors";
import { partitionOf } from "../lib/hash";
import type { KindName, PlacedActor, Router } from "./actor";
import type { Bus, BusAnswer } from "./bus";
import { decodeAnswer, encodeRequest } from "./node-wire";
import { asksAgain, NotHere } from "./not-here";
import type { Incarnation } from "./placement-shares";
import type { Phase } from "./placement-slot";
import { askTimeoutMs } from "./system";
import type { ActorSystem } from "./system";

/** Times and bounds of an ask that leaves this node, milliseconds. */
export const askTimes = {
  /** One attempt; then the owner is asked again, with the same ids. */
  attemptMs: 500,
  /** Between two attempts where nobody listens, or nobody owns the partition: doubled up to the last. */
  backOffMs: { first: 5, last: 40 },
} as const;

/** Asks of other nodes that may be under way; past it they are answered `overloaded`. */
const flightsMax = 100_000;

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

/** See the head of this file. */
export class ClusterRouter implements Router {
  readonly #options: ClusterRouterOptions;
  readonly #flights = new Map<number, Set<Flight>>();
  #count = 0;
  #stopped = false;

  constructor(options: ClusterRouterOptions) {
    this.#options = options;
  }

  /** Asks under way that are not this node's own actors' to answer. */
  get flights(): number {
    return this.#count;
  }

  ask(kind: KindName, key: string, message: unknown, timeoutMs = askTimeoutMs): Promise<unknown> {
    const partition = partitionOf(kind, key);
    if (!this.#serves(partition)) return this.#fly({ kind, key, message, partition, timeoutMs, maybeDone: false });
    const { system, clock } = this.#options;
    const startedAt = clock.monotonic();
    return system.ask(kind, key, message, timeoutMs, partition).catch((thrown: unknown) => {
      const left = timeoutMs - (clock.monotonic() - startedAt);
      if (!asksAgain(thrown) || left <= 0 || this.#stopped) throw toAppError(thrown);
      const maybeDone = toAppError(thrown).outcome === "unknown";
      return this.#fly({ kind, key, message, partition, timeoutMs: left, maybeDone });
    });
  }

  tell(kind: KindName, key: string, message: unknown): void {
    const partition = partitionOf(kind, key);
    const { system, bus, self, placement, meter } = this.#options;
    if (this.#serves(partition)) return system.tell(kind, key, message, partition);
    const owner = placement.ownerOf(partition);
    const { connection: through } = bus;
    const request = { kind, key, caller: self, connection: through, timeoutMs: 0, message };
    const sent = owner !== null && owner !== self && bus.publish(subjectOf(partition), encodeRequest(request));
    if (!sent) meter.tellLost();
  }

  tellHere(kind: KindName, key: string, message: unknown): boolean {
    const partition = partitionOf(kind, key);
    if (!this.#serves(partition)) return false;
    this.#options.system.tell(kind, key, message, partition);
    return true;
  }

  peek(kind: KindName, key: string): PlacedActor | null {
    const partition = partitionOf(kind, key);
    const speaks = this.#serves(partition) && this.#options.placement.mayAnswer(partition);
    return speaks ? this.#options.system.peek(kind, key) : null;
  }

  recentlyActive(kind: KindName, key: string): boolean {
    const { system } = this.#options;
    // One that may not speak now must be asked: what the store says of it is older than what it knows.
    return system.recentlyActive(kind, key) || system.peek(kind, key) !== null;
  }

  /** The partition's owner changed, or this node began or ceased to serve it: whoever waits for it looks again. */
  moved(partition: number): void {
    for (const flight of [...(this.#flights.get(partition) ?? [])]) flight.again();
  }

  /** Answers everything under way, and what comes, as a server that ends. Idempotent. */
  stop(): void {
    this.#stopped = true;
    for (const flights of this.#flights.values()) for (const flight of [...flights]) flight.giveUp();
  }

  #serves(partition: number): boolean {
    const phase = this.#options.placement.phaseOf(partition);
    return phase === "owned" || phase === "subscribing";
  }

  #fly(ask: FlightAsk): Promise<unknown> {
    if (this.#stopped) return Promise.reject(new AppError("shutting_down"));
    if (this.#count >= flightsMax) return Promise.reject(new AppError("overloaded", undefined, { retryAfterMs: 500 }));
    return new Promise((resolve, reject) => {
      const flight = new Flight(this.#options, ask, (partition) => this.#serves(partition), {
        ended: () => this.#land(flight),
        resolve,
        reject,
      });
      const others = this.#flights.get(ask.partition);
      if (others) others.add(flight);
      else this.#flights.set(ask.partition, new Set([flight]));
      this.#count++;
      flight.attempt();
    });
  }

  #land(flight: Flight): void {
    const others = this.#flights.get(flight.partition);
    if (!others?.delete(flight)) return;
    this.#count--;
    if (others.size === 0) this.#flights.delete(flight.partition);
  }
}

/** The subject that a partition's owner listens on. */
export function subjectOf(partition: number): string {
  return `p.${partition}`;
}

/** What is asked, and how far it is. */
interface FlightAsk {
  readonly kind: KindName;
  readonly key: string;
  readonly message: unknown;
  readonly partition: number;
  readonly timeoutMs: number;
  /** An attempt before may have been carried out. */
  readonly maybeDone: boolean;
}

/** How it ends. */
interface Landing {
  ended(): void;
  resolve(value: unknown): void;
  reject(error: AppError): void;
}

/** One ask on its way: attempts until one is answered. The first answer counts, also of an attempt that was given up. */
class Flight {
  readonly partition: number;
  readonly #options: ClusterRouterOptions;
  readonly #ask: FlightAsk;
  readonly #serves: (partition: number) => boolean;
  readonly #landing: Landing;
  readonly #deadline: number;
  #attempts = 0;
  #backOffMs: number = askTimes.backOffMs.first;
  #cancelWait: (() => void) | null = null;
  #maybeDone: boolean;
  #settled = false;

  constructor(options: ClusterRouterOptions, ask: FlightAsk, serves: (partition: number) => boolean, landing: Landing) {
    this.partition = ask.partition;
    this.#options = options;
    this.#ask = ask;
    this.#serves = serves;
    this.#landing = landing;
    this.#deadline = options.clock.monotonic() + ask.timeoutMs;
    this.#maybeDone = ask.maybeDone;
  }

  attempt(): void {
    if (this.#settled) return;
    this.#attempts++;
    const { placement, clock, self } = this.#options;
    const leftMs = this.#deadline - clock.monotonic();
    if (leftMs <= 0) return this.giveUp();
    if (this.#serves(this.partition)) return this.#askHere(leftMs);
    const owner = placement.ownerOf(this.partition);
    if (owner === null || owner === self) return this.#later();
    this.#askOwner(leftMs);
  }

  /** Something has changed: a fresh attempt at once. What is under way may still answer. */
  again(): void {
    this.#backOffMs = askTimes.backOffMs.first;
    this.#cancelWait?.();
    this.#cancelWait = null;
    this.attempt();
  }

  /** No more attempts. */
  giveUp(): void {
    const says = this.#maybeDone
      ? new AppError("outcome_unknown", "no answer by the deadline; repeat with the same client id to learn")
      : new AppError("store_unavailable", "no node served this in time; nothing was done", { retryAfterMs: 200 });
    this.#fail(says);
  }

  #askHere(leftMs: number): void {
    const { kind, key, message, partition } = this.#ask;
    const mine = this.#attempts;
    this.#options.system.ask(kind, key, message, leftMs, partition).then(
      (value) => this.#succeed(value),
      (error: unknown) => this.#failed(mine, toAppError(error)),
    );
  }

  #askOwner(leftMs: number): void {
    const { bus, self: caller } = this.#options;
    const { kind, key, message, partition } = this.#ask;
    const mine = this.#attempts;
    let bytes: Uint8Array;
    try {
      bytes = encodeRequest({ kind, key, caller, connection: bus.connection, timeoutMs: leftMs, message });
    } catch (thrown) {
      return this.#fail(toAppError(thrown));
    }
    const waits = Math.min(leftMs, askTimes.attemptMs);
    void bus.request(subjectOf(partition), bytes, waits).then((answer) => this.#answered(mine, answer));
  }

  #answered(attempt: number, answer: BusAnswer): void {
    const { meter, placement } = this.#options;
    if (answer.outcome === "silent") this.#maybeDone = true;
    if (answer.outcome === "answered") {
      const decoded = decodeAnswer(answer.bytes);
      meter.attempted(!decoded.ok && decoded.error instanceof NotHere ? "again" : "answered");
      if (decoded.ok) return this.#succeed(decoded.value);
      return this.#failed(attempt, decoded.error);
    }
    meter.attempted(answer.outcome);
    if (this.#settled || attempt !== this.#attempts) return;
    if (answer.outcome === "silent") return this.attempt();
    if (answer.outcome === "absent") placement.unreachable(this.partition);
    this.#later();
  }

  #failed(attempt: number, error: AppError): void {
    if (error.outcome === "unknown") this.#maybeDone = true;
    if (this.#settled) return;
    if (!asksAgain(error)) {
      // Of an attempt that was given up, only what is certain counts: a newer one may do better.
      if (attempt === this.#attempts || error.outcome === "final") this.#fail(error);
    } else if (attempt === this.#attempts) this.#later();
  }

  /** Attempts again after a pause, and at the deadline at the latest. */
  #later(): void {
    const { clock } = this.#options;
    const leftMs = this.#deadline - clock.monotonic();
    const waits = Math.min(this.#backOffMs, Math.max(0, leftMs));
    this.#backOffMs = Math.min(this.#backOffMs * 2, askTimes.backOffMs.last);
    this.#cancelWait?.();
    this.#cancelWait = clock.after(waits, () => {
      this.#cancelWait = null;
      this.attempt();
    });
  }

  #succeed(value: unknown): void {
    if (this.#end()) this.#landing.resolve(value);
  }

  #fail(error: AppError): void {
    if (this.#end()) this.#landing.reject(error);
  }

  #end(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#cancelWait?.();
    this.#landing.ended();
    return true;
  }
}
