// A node's own lease: when it is written, and whether this node has been in touch for long enough to judge others.
// Owned by PlacementNode. Soft: a renewal that fails makes nobody step down; it only forbids to claim and to judge.
import { placementTimes } from "./placement-events";

/** What a look at the time found out. */
export interface LeaseLook {
  /** This node stood still: what it knew may be old. */
  readonly paused: boolean;
}

/** See the head of this file. All times are of the node's monotonic clock. */
export class PlacementLease {
  #connected = false;
  #lookedAt: number;
  /** When the last write that succeeded began; null before the first. */
  #heldAt: number | null = null;
  /** Since when the lease has been held without a gap, on one connection, without a pause; null: not now. */
  #trustedSince: number | null = null;
  #triedAt = Number.NEGATIVE_INFINITY;
  #failed = false;
  #inFlight = false;
  #changed = true;

  constructor(now: number) {
    this.#lookedAt = now;
  }

  get connected(): boolean {
    return this.#connected;
  }

  connect(): void {
    this.#connected = true;
    this.#changed = true;
  }

  disconnect(): void {
    this.#connected = false;
    this.#trustedSince = null;
  }

  /** What the lease says has changed: it is written as soon as may be. */
  change(): void {
    this.#changed = true;
  }

  look(now: number): LeaseLook {
    const paused = now - this.#lookedAt > placementTimes.pauseMs;
    this.#lookedAt = now;
    if (paused || !this.isFresh(now)) this.#trustedSince = null;
    return { paused };
  }

  /** Whether a write should begin now; it has begun then. */
  begin(now: number): boolean {
    if (!this.#connected || this.#inFlight) return false;
    const wait = this.#failed ? placementTimes.renewRetryMs : placementTimes.renewMs;
    if (!this.#changed && now - this.#triedAt < wait) return false;
    this.#changed = false;
    this.#inFlight = true;
    this.#triedAt = now;
    return true;
  }

  /** @returns whether there was a gap: others may have had one too, and their silence says nothing so far */
  renewed(ok: boolean, beganAt: number, now: number): boolean {
    this.#inFlight = false;
    this.#failed = !ok;
    if (!ok) return false;
    const gap = this.#heldAt === null || beganAt - this.#heldAt > 2 * placementTimes.renewMs;
    this.#heldAt = beganAt;
    if (this.#connected && this.isFresh(now)) this.#trustedSince ??= now;
    return gap;
  }

  /** Whether the lease stands: claims may be written. */
  isFresh(now: number): boolean {
    return this.#connected && this.#heldAt !== null && now - this.#heldAt <= placementTimes.ttlMs;
  }

  /** Whether others may be judged. */
  isTrusted(now: number): boolean {
    return this.isFresh(now) && this.#trustedSince !== null && now - this.#trustedSince >= placementTimes.judgeMs;
  }
}
