// The router of a node in a cluster: asks the actors that are here, and the owners of the others by `p.<partition>`.
// Whatever becomes of owners and messages, an ask is answered once, by its deadline; one that may have been done says so.
import { AppError, toAppError } from "../lib/errors";
import { partitionOf } from "../lib/hash";
import type { Epoch } from "../protocol/ids";
import type { AskSource, KindName, PlacedActor, Router } from "./actor";
import { Lane, subjectOf } from "./cluster-lane";
import type { ClusterRouterOptions, FlightAsk } from "./cluster-lane";
import { KnownEpochs } from "./known-epochs";
import { encodeRequest } from "./node-wire";
import { asksAgain } from "./not-here";
import { askTimeoutMs } from "./system";

/** Asks of other nodes that may be under way; past it they are answered `overloaded`. */
const flightsMax = 100_000;

/** See the head of this file. */
export class ClusterRouter implements Router {
  readonly #options: ClusterRouterOptions;
  readonly #epochs: KnownEpochs;
  /** Of partitions that somebody asks elsewhere, or waits for. */
  readonly #lanes = new Map<number, Lane>();
  #count = 0;
  /** Of asks that went to other nodes. */
  #numbered = 0;
  #stopped = false;

  constructor(options: ClusterRouterOptions) {
    this.#options = options;
    this.#epochs = new KnownEpochs(options.clock);
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
    source?: AskSource,
  ): Promise<unknown> {
    const partition = partitionOf(kind, key);
    // Behind those that wait already, so that what one session asks arrives in its order.
    const waits = this.#lanes.size > 0 && this.#lanes.get(partition)?.isHeldUp === true;
    if (waits || !this.#serves(partition) || !this.#epochs.mayAskFor(source, partition))
      return this.#fly({ kind, key, message, partition, timeoutMs, source, maybeDone: false });
    const { system, clock } = this.#options;
    const startedAt = clock.monotonic();
    return system.ask(kind, key, message, timeoutMs, partition).catch((thrown: unknown) => {
      const left = timeoutMs - (clock.monotonic() - startedAt);
      if (!asksAgain(thrown) || left <= 0 || this.#stopped) throw toAppError(thrown);
      const maybeDone = toAppError(thrown).outcome === "unknown";
      return this.#fly({ kind, key, message, partition, timeoutMs: left, source, maybeDone });
    });
  }

  tell(kind: KindName, key: string, message: unknown): void {
    const partition = partitionOf(kind, key);
    const { system, bus, self, placement, meter } = this.#options;
    if (this.#serves(partition)) return system.tell(kind, key, message, partition);
    const owner = placement.ownerOf(partition);
    const { connection: through } = bus;
    const told = { kind, key, message, timeoutMs: 0, number: 0, sentAt: null, epoch: null };
    const request = encodeRequest({ ...told, caller: self, connection: through });
    const sent = owner !== null && owner !== self && bus.publish(subjectOf(partition), request);
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

  /** An owner serves the partition under this epoch: whoever waits for it asks there. */
  served(partition: number, epoch: Epoch): void {
    this.#epochs.learn(partition, epoch);
    this.moved(partition);
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
      epochs: this.#epochs,
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
