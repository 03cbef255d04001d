// The router of a node in a cluster: asks the actors that are here, and the owners of the others by `p.<partition>`.
// Whatever becomes of owners and messages, an ask is answered once, by its deadline; one that may have been done says so.
import { AppError, toAppError } from "../lib/errors";
import { partitionOf } from "../lib/hash";
import type { KindName, PlacedActor, Router } from "./actor";
import { Lane, subjectOf } from "./cluster-lane";
import type { ClusterRouterOptions, FlightAsk } from "./cluster-lane";
import { encodeRequest } from "./node-wire";
import { asksAgain } from "./not-here";
import { askTimeoutMs } from "./system";

/** Asks of other nodes that may be under way; past it they are answered `overloaded`. */
const flightsMax = 100_000;

const always = (): boolean => true;

/** See the head of this file. */
export class ClusterRouter implements Router {
  readonly #options: ClusterRouterOptions;
  /** Of partitions that somebody asks elsewhere, or waits for. */
  readonly #lanes = new Map<number, Lane>();
  #count = 0;
  /** Of asks that went to other nodes. */
  #numbered = 0;
  #stopped = false;

  constructor(options: ClusterRouterOptions) {
    this.#options = options;
  }

  /** Asks under way that are not this node's own actors' to answer. */
  get flights(): number {
    return this.#count;
  }

  ask(
    kind: KindName,
    key: string,
    message: unknown,
    timeoutMs: number = askTimeoutMs,
    isWanted: () => boolean = always,
  ): Promise<unknown> {
    const partition = partitionOf(kind, key);
    // Behind those that wait already, so that what one session asks arrives in its order.
    const waits = this.#lanes.size > 0 && this.#lanes.get(partition)?.isHeldUp === true;
    if (waits || !this.#serves(partition))
      return this.#fly({ kind, key, message, partition, timeoutMs, isWanted, maybeDone: false });
    const { system, clock } = this.#options;
    const startedAt = clock.monotonic();
    return system.ask(kind, key, message, timeoutMs, partition).catch((thrown: unknown) => {
      const left = timeoutMs - (clock.monotonic() - startedAt);
      if (!asksAgain(thrown) || left <= 0 || this.#stopped) throw toAppError(thrown);
      const maybeDone = toAppError(thrown).outcome === "unknown";
      return this.#fly({ kind, key, message, partition, timeoutMs: left, isWanted, maybeDone });
    });
  }

  tell(kind: KindName, key: string, message: unknown): void {
    const partition = partitionOf(kind, key);
    const { system, bus, self, placement, meter } = this.#options;
    if (this.#serves(partition)) return system.tell(kind, key, message, partition);
    const owner = placement.ownerOf(partition);
    const { connection: through } = bus;
    const request = { kind, key, caller: self, connection: through, timeoutMs: 0, message, number: 0, sentAt: null };
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
    this.#lanes.get(partition)?.moved();
  }

  /** Answers everything under way, and what comes, as a server that ends. Idempotent. */
  stop(): void {
    this.#stopped = true;
    for (const lane of [...this.#lanes.values()]) lane.end();
  }

  #serves(partition: number): boolean {
    const phase = this.#options.placement.phaseOf(partition);
    return phase === "owned" || phase === "subscribing";
  }

  #fly(ask: Omit<FlightAsk, "number">): Promise<unknown> {
    if (this.#stopped) return Promise.reject(new AppError("shutting_down"));
    if (this.#count >= flightsMax) return Promise.reject(new AppError("overloaded", undefined, { retryAfterMs: 500 }));
    this.#numbered += 1;
    const numbered = { ...ask, number: this.#numbered };
    return new Promise((resolve, reject) => this.#laneOf(ask.partition).add(numbered, { resolve, reject }));
  }

  #laneOf(partition: number): Lane {
    const known = this.#lanes.get(partition);
    if (known) return known;
    const lane = new Lane(this.#options, {
      serves: () => this.#serves(partition),
      counts: (change) => {
        this.#count += change;
        if (lane.isEmpty) this.#lanes.delete(partition);
      },
    });
    this.#lanes.set(partition, lane);
    return lane;
  }
}
