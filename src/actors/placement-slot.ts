// One partition as one node sees it: what its claim says, and how far this node is in taking it, serving it, giving it away.
// Owned by PlacementNode; keeps the order claim → epoch → subscribe, and never serves what a newer claim or epoch has taken.
import type { Epoch } from "../protocol/ids";
import { placementLimits, placementTimes } from "./placement-events";
import type { PlacementCommand } from "./placement-events";
import type { KvWritten } from "./placement-kv";
import type { Incarnation } from "./placement-shares";

/**
 * `away`: not ours. `claimed`: ours by the claim, and no epoch yet. `bumping`: an epoch is being taken. `subscribing`: we own
 * it, and hear of it soon. `owned`. `releasing`: it finishes what it has, to be given away. `released`: nothing of it runs here,
 * the claim is still ours.
 */
export type Phase = "away" | "claimed" | "bumping" | "subscribing" | "owned" | "releasing" | "released";

/** See the head of this file. Times are of the node's monotonic clock. */
export class PlacementSlot {
  readonly partition: number;
  readonly #self: Incarnation;
  readonly #emit: (command: PlacementCommand) => void;
  #owner: Incarnation | null = null;
  #revision = 0;
  #learnedAt: number;
  #phase: Phase = "away";
  #since: number;
  /** Set while activations may run here. */
  #epoch: Epoch | null = null;
  /** When the last question began whose answer was that the epoch is the newest. */
  #checkedAt = Number.NEGATIVE_INFINITY;
  /** A claim in flight, and to whom it gives the partition. */
  #attempt: { readonly id: number; readonly owner: Incarnation | null } | null = null;
  #attempts = 0;
  #conflicts = 0;
  #retryAt = Number.NEGATIVE_INFINITY;
  /** While claimed: nothing has happened since the claim was seen after which it might be another's. */
  #proven = false;
  /** When the watch, begun afresh, told an older claim of another while we serve: claims were lost, or it lags. */
  #contestedAt: number | null = null;

  constructor(partition: number, self: Incarnation, now: number, emit: (command: PlacementCommand) => void) {
    this.partition = partition;
    this.#self = self;
    this.#learnedAt = now;
    this.#since = now;
    this.#emit = emit;
  }

  get owner(): Incarnation | null {
    return this.#owner;
  }

  /** 0: there is no claim. */
  get revision(): number {
    return this.#revision;
  }

  /** When the owner became known. */
  get learnedAt(): number {
    return this.#learnedAt;
  }

  get phase(): Phase {
    return this.#phase;
  }

  get epoch(): Epoch | null {
    return this.#epoch;
  }

  get checkedAt(): number {
    return this.#checkedAt;
  }

  get isProven(): boolean {
    return this.#proven;
  }

  get isClaiming(): boolean {
    return this.#attempt !== null;
  }

  /** Whether the claim is, or may be about to be, another's though we serve; an audit since then says it is still ours. */
  get wantsReclaim(): boolean {
    return this.#phase === "owned" && this.#contestedAt !== null && this.#checkedAt > this.#contestedAt;
  }

  /** Whether something that was not granted may be tried again. */
  isReady(now: number): boolean {
    return this.#attempt === null && now >= this.#retryAt;
  }

  /** How long it has been in this phase. */
  phaseMs(now: number): number {
    return now - this.#since;
  }

  /** The watch, or a claim of ours that was written, shows this. Older news are ignored. */
  learn(owner: Incarnation | null, revision: number, now: number): void {
    if (revision <= this.#revision) return;
    this.#see(owner, revision, now);
    this.#contestedAt = null;
    if (owner !== this.#self) this.#stepDown(now);
    else {
      this.#proven = true;
      if (this.#phase === "away") this.#enter("claimed", now);
    }
  }

  /**
   * The watch was begun afresh and shows this. Where it is older than what is known, claims were lost with a disk or a whole
   * bucket: the store's epochs still hold, so whoever serves goes on and claims anew.
   */
  relearn(owner: Incarnation | null, revision: number, now: number): void {
    this.#attempt = null;
    if (revision > this.#revision) this.learn(owner, revision, now);
    if (revision === this.#revision && owner === this.#owner) return;
    this.#see(owner, revision, now);
    this.#proven = false;
    if (owner === this.#self) {
      if (this.#phase === "away") this.#enter("claimed", now);
    } else if (this.#phase === "owned") this.#contestedAt = now;
    else this.#stepDown(now);
  }

  /** Something happened after which the claim may be another's without our knowing: prove it before an epoch is taken. */
  doubt(): void {
    this.#proven = false;
  }

  /** Begins to write the claim. */
  claim(owner: Incarnation | null): void {
    this.#attempts += 1;
    this.#attempt = { id: this.#attempts, owner };
    const { partition } = this;
    this.#emit({ op: "claim", partition, owner, revision: this.#revision, attempt: this.#attempts });
  }

  /** @returns whether the watch must have lost something: what it shows is not what the claim says */
  claimAnswered(id: number, answer: KvWritten, now: number): boolean {
    const attempt = this.#attempt;
    if (attempt?.id !== id) return false;
    this.#attempt = null;
    if (answer.outcome === "written") {
      this.learn(attempt.owner, answer.revision, now);
      return false;
    }
    this.#retryAt = now + placementTimes.retryMs;
    if (answer.outcome === "unknown") return false;
    this.#conflicts += 1;
    return this.#conflicts % placementLimits.conflicts === 0;
  }

  /** The epoch is being taken. */
  bump(now: number): void {
    this.#enter("bumping", now);
  }

  bumped(epoch: Epoch | null, beganAt: number, now: number): void {
    if (this.#phase !== "bumping") return;
    if (epoch === null) {
      this.#retryAt = now + placementTimes.retryMs;
      this.#enter("claimed", now);
      return;
    }
    this.#epoch = epoch;
    this.#checkedAt = beganAt;
    this.#enter("subscribing", now);
    this.#emit({ op: "subscribe", partition: this.partition, epoch });
  }

  subscribed(epoch: Epoch, ok: boolean, now: number): void {
    if (this.#phase !== "subscribing" || this.#epoch !== epoch) return;
    if (ok) {
      this.#enter("owned", now);
      this.#emit({ op: "reopen", partition: this.partition, epoch });
    } else this.#lose(now);
  }

  release(now: number): void {
    if (this.#epoch === null) return;
    this.#enter("releasing", now);
    this.#emit({ op: "release", partition: this.partition, epoch: this.#epoch });
  }

  released(epoch: Epoch, now: number): void {
    if (this.#phase !== "releasing" || this.#epoch !== epoch) return;
    this.#epoch = null;
    this.#enter("released", now);
  }

  /** It took too long. What it still does is fenced as soon as somebody has taken the partition over. */
  endRelease(now: number): void {
    this.#drop();
    this.#enter("released", now);
  }

  /** It stays here after all, or comes back. */
  keep(now: number): void {
    this.#proven = false;
    this.#enter("claimed", now);
  }

  /** An audit that began then found the epoch to be the newest. */
  checked(epoch: Epoch, beganAt: number): void {
    if (this.#epoch === epoch) this.#checkedAt = Math.max(this.#checkedAt, beganAt);
  }

  /** An audit found a newer epoch. */
  fenced(epoch: Epoch, now: number): void {
    if (this.#epoch === epoch) this.#lose(now);
  }

  /** Serving ends at once. Where the claim is still ours it is proven again before a newer epoch is taken. */
  #lose(now: number): void {
    this.#drop();
    this.#proven = false;
    this.#contestedAt = null;
    this.#retryAt = now + placementTimes.retryMs;
    this.#enter(this.#owner === this.#self ? "claimed" : "away", now);
  }

  #stepDown(now: number): void {
    if (this.#phase === "away") return;
    this.#drop();
    this.#enter("away", now);
  }

  #drop(): void {
    if (this.#epoch !== null) this.#emit({ op: "drop", partition: this.partition, epoch: this.#epoch });
    this.#epoch = null;
  }

  #see(owner: Incarnation | null, revision: number, now: number): void {
    this.#revision = revision;
    this.#conflicts = 0;
    if (owner === this.#owner) return;
    this.#owner = owner;
    this.#learnedAt = now;
    this.#emit({ op: "moved", partition: this.partition, owner });
  }

  #enter(phase: Phase, now: number): void {
    if (phase !== this.#phase) this.#since = now;
    this.#phase = phase;
  }
}

/** How many partitions are in each phase. */
export function countPhases(slots: readonly PlacementSlot[]): Readonly<Record<Phase, number>> {
  const counts = { away: 0, claimed: 0, bumping: 0, subscribing: 0, owned: 0, releasing: 0, released: 0 };
  for (const { phase } of slots) counts[phase] += 1;
  return counts;
}
