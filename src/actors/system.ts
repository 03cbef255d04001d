// The actor system of one node: finds or makes the cell of a key, and ends what is idle, too much, or to be drained.
// Owned by the router; keeps G11 for actors: every mailbox, the number of active ones and every ask's time are bounded.
import type { Cancel, Clock } from "../lib/clock";
import { AppError } from "../lib/errors";
import { partitionOf } from "../lib/hash";
import type { Epoch } from "../protocol/ids";
import type { ActorKind, KindName, PlacedActor } from "./actor";
import { NotHere } from "./not-here";
import { ActorCell } from "./cell";
import type { CellHost, DropReason, Phase } from "./cell";
import { Turns } from "./mailbox-turns";
import type { Placement } from "./placement";
import { AskDeadlines, askTimeoutMaxMs } from "./system-deadlines";
import { KindCells } from "./system-kind";
import type { KindStats } from "./system-kind";
import { Ask, Tell } from "./system-letters";
import type { Letter } from "./system-letters";
import { RecentNames } from "./system-recent";

/** How long an ask waits for its answer where nothing else is said. */
export const askTimeoutMs = 5000;
/** How often deadlines, idle actors and limits are looked at. */
export const sweepMs = 100;
/** How often a drain asks those again that were not ready to passivate. */
const drainRetryMs = 20;
/** How often a partition's release does: somebody waits for its next owner. */
const releaseRetryMs = 5;
/** Answers held while it is in doubt whether this node owns their actors, and how often they are looked at. */
const held = { most: 4_000, lookMs: 20 } as const;
/** Passivations begun by one sweep, for each kind: their commits share few transactions, and sends go on between. */
const sweepPassivationsMax = 500;
/** Ended activations remembered, for each kind. */
const recentMax = 100_000;
/** Names in a drain's report. */
const reportedMax = 20;

/** What the system says to log and metrics. Must not throw. */
export interface SystemEvents {
  /** An actor threw: a fault in it, or a store that could not answer its activation. */
  failed(kind: KindName, key: string, phase: Phase, error: unknown): void;
  /** `count` messages were not handled; those that were asks have been answered with an error. */
  dropped(kind: KindName, key: string, reason: DropReason, count: number): void;
}

/** What a system is made of. */
export interface SystemOptions {
  readonly clock: Clock;
  readonly kinds: readonly ActorKind[];
  readonly placement: Placement;
  readonly events: SystemEvents;
  /** Where what actors tell each other goes. Absent: every actor is here. */
  readonly route?: (kind: KindName, key: string, message: unknown) => void;
}

/** Figures for metrics, counted when asked for. */
export interface SystemStats {
  readonly kinds: Readonly<Partial<Record<KindName, KindStats>>>;
  /** Asks that wait for their answer. */
  readonly asksWaiting: number;
}

/** What a drain could not passivate by its deadline. */
export interface DrainReport {
  readonly left: number;
  /** `kind key` of the first few of them. */
  readonly names: readonly string[];
}

/** Makes a system; nothing is activated until something is asked or told. Ends with {@link ActorSystem.stop}. */
export function createActorSystem(options: SystemOptions): ActorSystem {
  return new ActorSystem(options);
}

/**
 * `running`; `draining`: asks are answered `shutting_down`, tells still arrive, so that actors can finish what they tell
 * each other; `stopped`: nothing arrives.
 */
type State = "running" | "draining" | "stopped";

/** See the head of this file. */
export class ActorSystem implements CellHost {
  readonly clock: Clock;
  readonly turns = new Turns();
  readonly #placement: Placement;
  readonly #events: SystemEvents;
  readonly #route: (kind: KindName, key: string, message: unknown) => void;
  readonly #kinds = new Map<KindName, KindCells>();
  readonly #recent = new Map<KindName, RecentNames>();
  readonly #deadlines: AskDeadlines;
  #state: State = "running";
  #cancelSweep: Cancel;
  #held: Ask[] = [];
  #cancelLook: Cancel | null = null;
  /** Called when the last cell has gone. */
  #onEmpty: (() => void) | null = null;

  constructor({ clock, kinds, placement, events, route }: SystemOptions) {
    this.clock = clock;
    this.#route = route ?? ((kind, key, message) => this.tell(kind, key, message));
    this.#placement = placement;
    this.#events = events;
    for (const kind of kinds) {
      this.#kinds.set(kind.name, new KindCells(kind));
      this.#recent.set(kind.name, new RecentNames(recentMax));
    }
    this.#deadlines = new AskDeadlines(clock.monotonic());
    this.#cancelSweep = clock.after(sweepMs, () => this.#sweep());
  }

  /** As `Router.ask`, of actors on this node. */
  ask(
    kind: KindName,
    key: string,
    message: unknown,
    timeoutMs = askTimeoutMs,
    partition = partitionOf(kind, key),
  ): Promise<unknown> {
    if (this.#state !== "running") return Promise.reject(new NotHere("shutting_down"));
    const now = this.clock.monotonic();
    const ask = new Ask(message, now + Math.min(timeoutMs, askTimeoutMaxMs), partition);
    this.#deliver(kind, key, ask, partition, now);
    return ask.promise(this.#deadlines);
  }

  /** As `Router.tell`, to actors on this node. */
  tell(kind: KindName, key: string, message: unknown, partition = partitionOf(kind, key)): void {
    if (this.#state === "stopped") return;
    this.#deliver(kind, key, new Tell(message), partition, this.clock.monotonic());
  }

  /** As `Router.peek`. */
  peek(kind: KindName, key: string): PlacedActor | null {
    return this.#kinds.get(kind)?.get(key)?.actor ?? null;
  }

  /** As `Router.recentlyActive`. */
  recentlyActive(kind: KindName, key: string): boolean {
    // One that is ending may have written what an older read does not show, and cannot be looked at any more.
    if (this.#kinds.get(kind)?.get(key)?.isEnding) return true;
    return this.#recent.get(kind)?.has(key, this.clock.monotonic()) ?? false;
  }

  stats(): SystemStats {
    const kinds: Partial<Record<KindName, KindStats>> = {};
    for (const [name, cells] of this.#kinds) kinds[name] = cells.stats();
    return { kinds, asksWaiting: this.#deadlines.waiting };
  }

  /**
   * Answers new asks `shutting_down`, then passivates everything, asking those again that are not ready, until nothing is
   * left or `deadlineMs` has passed. {@link ActorSystem.stop} comes after it. Called once.
   */
  async drain(deadlineMs: number): Promise<DrainReport> {
    if (this.#state === "running") this.#state = "draining";
    const over = Promise.withResolvers<void>();
    const cancelDeadline = this.clock.after(deadlineMs, over.resolve);
    this.#onEmpty = over.resolve;
    this.#drainRound();
    await over.promise;
    this.#onEmpty = null;
    cancelDeadline();
    const left = [...this.#kinds.values()].flatMap((cells) => cells.all());
    return { left: left.length, names: left.slice(0, reportedMax).map((cell) => `${cell.kind.name} ${cell.key}`) };
  }

  /**
   * Passivates what is active of one partition, asking those again that are not ready, until nothing is left or `deadlineMs`
   * has passed; the rest is ended. Nothing new is delivered to it meanwhile, by the caller's care.
   */
  async release(partition: number, deadlineMs: number): Promise<void> {
    const over = this.clock.monotonic() + deadlineMs;
    let cells = this.#cellsOf(partition);
    while (cells.length > 0 && this.#state !== "stopped") {
      const isOver = this.clock.monotonic() >= over;
      for (const cell of cells)
        if (isOver) this.#move(cell);
        else cell.passivate();
      if (isOver) return;
      await new Promise<void>((resolve) => this.clock.after(releaseRetryMs, resolve));
      cells = cells.filter((cell) => this.#kinds.get(cell.kind.name)?.get(cell.key) === cell);
    }
  }

  /** Ends every activation of these partitions at once: others own them. What waits is to be asked again, of whoever that is. */
  end(partitions: ReadonlySet<number>): void {
    for (const cells of this.#kinds.values())
      for (const cell of cells.all()) if (partitions.has(cell.partition)) this.#move(cell);
    this.#deadlines.failPartitions(partitions, new NotHere("outcome_unknown"));
  }

  /**
   * Ends every activation at once, without passivating: what waits is answered `shutting_down`, what was received and not
   * answered `outcome_unknown`, and so is everything later `shutting_down`. Idempotent.
   */
  stop(): void {
    if (this.#state === "stopped") return;
    this.#state = "stopped";
    this.#cancelSweep();
    this.#cancelLook?.();
    const owed = new AppError(
      "outcome_unknown",
      "the server is shutting down; repeat with the same client id to learn",
    );
    const waiting = new AppError("shutting_down");
    for (const cells of this.#kinds.values()) {
      for (const cell of cells.all()) cell.stop(owed, waiting);
      cells.kind.stop?.();
    }
    this.#deadlines.failAll(owed);
  }

  // What cells need.

  epochOf(partition: number): Epoch | null {
    return this.#state === "stopped" ? null : this.#placement.epochOf(partition);
  }

  mayAnswer(partition: number): boolean {
    return this.#placement.mayAnswer(partition);
  }

  hold(ask: Ask): boolean {
    if (this.#held.length >= held.most || this.#state === "stopped") return false;
    this.#held.push(ask);
    this.#cancelLook ??= this.clock.after(held.lookMs, () => this.#lookAtHeld());
    return true;
  }

  route(kind: KindName, key: string, message: unknown): void {
    this.#route(kind, key, message);
  }

  failed(cell: ActorCell, phase: Phase, error: unknown): void {
    this.#events.failed(cell.kind.name, cell.key, phase, error);
  }

  suspect(cell: ActorCell): void {
    if (this.#state !== "stopped") this.#placement.suspect(cell.partition);
  }

  dropped(cell: ActorCell, reason: DropReason, count: number): void {
    this.#events.dropped(cell.kind.name, cell.key, reason, count);
  }

  ended(cell: ActorCell): void {
    this.#recent.get(cell.kind.name)?.add(cell.key, this.clock.monotonic());
  }

  vacated(cell: ActorCell): void {
    this.#kinds.get(cell.kind.name)?.remove(cell);
    if (this.#onEmpty && this.#isEmpty()) this.#onEmpty();
  }

  /** Ends an activation whose actor goes on elsewhere. */
  #move(cell: ActorCell): void {
    cell.stop(new NotHere("outcome_unknown"), new NotHere("shutting_down"));
  }

  #cellsOf(partition: number): ActorCell[] {
    const found: ActorCell[] = [];
    for (const cells of this.#kinds.values())
      for (const cell of cells.all()) if (cell.partition === partition) found.push(cell);
    return found;
  }

  #deliver(kind: KindName, key: string, letter: Letter, partition: number, now: number): void {
    const cells = this.#kinds.get(kind);
    if (!cells) throw new Error(`no such kind of actor: ${kind}`);
    let cell = cells.get(key);
    if (cell) {
      cells.touch(cell, now);
    } else if (cells.full) {
      letter.fail(new AppError("overloaded", undefined, { retryAfterMs: 100 }));
      this.#events.dropped(kind, key, "tooManyActive", 1);
      return;
    } else {
      cell = new ActorCell(cells.kind, key, partition, this);
      cells.add(cell, now);
      cells.evict(now, 2);
    }
    cell.deliver(letter);
  }

  #sweep(): void {
    const now = this.clock.monotonic();
    this.#deadlines.sweep(now);
    for (const recent of this.#recent.values()) recent.sweep(now);
    for (const cells of this.#kinds.values()) {
      cells.evict(now, sweepPassivationsMax);
      cells.passivateIdle(now, sweepPassivationsMax);
    }
    this.#cancelSweep = this.clock.after(sweepMs, () => this.#sweep());
  }

  #lookAtHeld(): void {
    this.#cancelLook = null;
    this.#held = this.#held.filter((ask) => !ask.release());
    if (this.#held.length > 0) this.#cancelLook = this.clock.after(held.lookMs, () => this.#lookAtHeld());
  }

  #drainRound(): void {
    if (!this.#onEmpty) return;
    for (const cells of this.#kinds.values()) for (const cell of cells.all()) cell.passivate();
    if (this.#isEmpty()) this.#onEmpty();
    else this.clock.after(drainRetryMs, () => this.#drainRound());
  }

  #isEmpty(): boolean {
    for (const cells of this.#kinds.values()) if (cells.size > 0) return false;
    return true;
  }
}
