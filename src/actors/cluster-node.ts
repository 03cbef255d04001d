// One node's actors in a cluster: its placement, its system, its inbox and its router, put together.
// Owned by the composition; knows ports alone, so that tests run many nodes in one process.
import type { Clock } from "../lib/clock";
import { partitionCount } from "../lib/hash";
import type { Epoch } from "../protocol/ids";
import type { Store } from "../storage/store";
import type { AskSource, KindName, PlacedActor, Router } from "./actor";
import type { Bus } from "./bus";
import { ClusterInbox } from "./cluster-inbox";
import type { InboxMeter, PartitionListener } from "./cluster-inbox";
import { ClusterPlacement } from "./cluster-placement";
import type { MemberLevels } from "./cluster-placement";
import type { PlacementView, RouterMeter } from "./cluster-lane";
import { ClusterRouter } from "./cluster-router";
import type { Placement } from "./placement";
import type { KeyValue } from "./placement-kv";
import type { PlacementStats } from "./placement-node";
import type { Incarnation } from "./placement-shares";
import type { Phase } from "./placement-slot";
import { reopenAll } from "./reopen";
import { createActorSystem } from "./system";
import type { ActorSystem, DrainReport, SystemOptions, SystemStats } from "./system";

/** Partitions taken within this time of each other are looked through together, milliseconds. */
const gatherMs = 25;

/** What a node is made of. */
export interface ClusterNodeOptions extends Omit<SystemOptions, "placement" | "route"> {
  readonly self: Incarnation;
  readonly bus: Bus;
  readonly claims: KeyValue;
  readonly members: KeyValue;
  readonly levels: MemberLevels;
  readonly store: Pick<Store, "claim" | "auditAll" | "listOpen">;
  /** Fan-out: hears which partitions live here. */
  readonly listener: PartitionListener;
  readonly meter: RouterMeter & InboxMeter;
  /** Reopening was held up: told to the log. */
  readonly onReopenDelay: (failed: number, retryMs: number, error: unknown) => void;
}

/** See the head of this file. */
export class ClusterNode implements Router, Placement, PlacementView {
  readonly self: Incarnation;
  readonly #options: ClusterNodeOptions;
  readonly #clock: Clock;
  readonly #system: ActorSystem;
  readonly #inbox: ClusterInbox;
  readonly #router: ClusterRouter;
  readonly #placement: ClusterPlacement;
  readonly #stopReopening = new AbortController();
  #toReopen = new Map<number, Epoch>();
  /** Called when a partition has moved: whoever waits until all have an owner looks again. */
  #onMoved: (() => void) | null = null;
  #stopped = false;

  constructor(options: ClusterNodeOptions) {
    const { self, bus, clock, claims, members, levels, store, listener, meter, kinds, events } = options;
    this.self = self;
    this.#options = options;
    this.#clock = clock;
    const route = (kind: KindName, key: string, message: unknown): void => this.tell(kind, key, message);
    this.#system = createActorSystem({ clock, kinds, events, placement: this, route });
    this.#router = new ClusterRouter({ self, bus, clock, placement: this, system: this.#system, meter });
    this.#inbox = new ClusterInbox({
      bus,
      clock,
      system: this.#system,
      epochOf: (partition) => this.epochOf(partition),
      suspect: (partition) => this.suspect(partition),
      listener,
      meter,
      reopen: (partition, epoch) => this.#reopenSoon(partition, epoch),
      moved: (partition) => this.#moved(partition),
    });
    const host = this.#inbox;
    const ports = { clock, claims, members, store, host, levels: this.#tellingOf(levels) };
    this.#placement = new ClusterPlacement({ self, partitions: partitionCount, ...ports });
    bus.onConnection((stands) => this.#placement.connection(stands));
  }

  ask(kind: KindName, key: string, message: unknown, ...how: [number?, AskSource?]): Promise<unknown> {
    return this.#router.ask(kind, key, message, ...how);
  }

  tell(kind: KindName, key: string, message: unknown): void {
    this.#router.tell(kind, key, message);
  }

  tellHere(kind: KindName, key: string, message: unknown): boolean {
    return this.#router.tellHere(kind, key, message);
  }

  peek(kind: KindName, key: string): PlacedActor | null {
    return this.#router.peek(kind, key);
  }

  recentlyActive(kind: KindName, key: string): boolean {
    return this.#router.recentlyActive(kind, key);
  }

  epochOf(partition: number): Epoch | null {
    return this.#placement.epochOf(partition);
  }

  suspect(partition: number): void {
    this.#placement.suspect(partition);
  }

  mayAnswer(partition: number): boolean {
    return this.#placement.mayAnswer(partition);
  }

  phaseOf(partition: number): Phase {
    return this.#placement.phaseOf(partition);
  }

  ownerOf(partition: number): Incarnation | null {
    return this.#placement.ownerOf(partition);
  }

  /** An owner serves the partition under this epoch by now: whoever waits for it asks at once. */
  served(partition: number, epoch: Epoch): void {
    this.#router.served(partition, epoch);
  }

  unreachable(partition: number): void {
    this.#placement.unreachable(partition);
  }

  /** As {@link ClusterPlacement.knowsMembers}. */
  knowsMembers(): boolean {
    return this.#placement.knowsMembers();
  }

  stats(): SystemStats & { readonly placement: PlacementStats } {
    const { kinds, asksWaiting } = this.#system.stats();
    return { kinds, asksWaiting: asksWaiting + this.#router.flights, placement: this.#placement.stats() };
  }

  /** Resolves once every partition has an owner who is there, or after `ms`; answers whether they have. */
  async placed(ms: number): Promise<boolean> {
    const over = Promise.withResolvers<void>();
    const cancel = this.#clock.after(ms, over.resolve);
    this.#onMoved = () => {
      if (this.#placement.stats().unowned === 0) over.resolve();
    };
    this.#onMoved();
    await over.promise;
    cancel();
    this.#onMoved = null;
    return this.#placement.stats().unowned === 0;
  }

  /** Gives every partition to the others and leaves; this node's sessions go on through them. Resolves when done or after `ms`. */
  handOver(ms: number): Promise<void> {
    return this.#atMost(ms, this.#placement.drain());
  }

  /**
   * Takes nothing more from other nodes once it has what they had sent, and passivates what is still here after
   * {@link ClusterNode.handOver}. {@link ClusterNode.stop} comes after it. Called once.
   */
  async drain(deadlineMs: number): Promise<DrainReport> {
    this.#stopReopening.abort();
    const beganAt = this.#clock.monotonic();
    await this.#atMost(deadlineMs / 2, this.#inbox.drain());
    return await this.#system.drain(deadlineMs - (this.#clock.monotonic() - beganAt));
  }

  /** Ends everything at once and owns nothing any more. Idempotent. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#stopReopening.abort();
    this.#placement.close();
    this.#inbox.stop();
    this.#router.stop();
    this.#system.stop();
  }

  /** A lease that was taken back, or found dead, concerns fan-out too. */
  #tellingOf(levels: MemberLevels): MemberLevels {
    const { listener } = this.#options;
    return {
      level: levels.level,
      seen: (member, level) => levels.seen(member, level),
      gone(member) {
        levels.gone(member);
        listener.nodeGone(member);
      },
    };
  }

  /** Resolves with `work`, or without it after `ms`. */
  async #atMost(ms: number, work: Promise<unknown>): Promise<void> {
    const over = Promise.withResolvers<void>();
    const cancel = this.#clock.after(ms, over.resolve);
    await Promise.race([work, over.promise]);
    cancel();
  }

  #moved(partition: number): void {
    this.#router.moved(partition);
    this.#onMoved?.();
  }

  #reopenSoon(partition: number, epoch: Epoch): void {
    if (this.#toReopen.size === 0) this.#clock.after(gatherMs, () => this.#reopen());
    this.#toReopen.set(partition, epoch);
  }

  #reopen(): void {
    const taken = [...this.#toReopen];
    this.#toReopen = new Map();
    const { store, onReopenDelay: onDelay } = this.#options;
    const { signal } = this.#stopReopening;
    const partitions = (): readonly number[] =>
      taken.filter(([partition, epoch]) => this.epochOf(partition) === epoch).map(([partition]) => partition);
    void reopenAll({ router: this, store, clock: this.#clock, partitions, signal, onDelay });
  }
}
