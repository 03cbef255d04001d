// Placement of a node that is alone: it owns all partitions, under one epoch taken at start, until the store says otherwise.
// Owned by server.ts; a second server on the same data fences this one, which then steps down (Fencing in ARCHITECTURE.md).
import type { Cancel, Clock } from "../lib/clock";
import { partitionCount } from "../lib/hash";
import type { Epoch } from "../protocol/ids";
import type { Store } from "../storage/store";
import type { Placement } from "./placement";

/** How often the store is asked whether the epoch still holds. */
export const auditMs = 1000;
/** After a sign of being fenced; at most one audit begins in this time. */
const suspicionMs = 50;

/** What a placement needs of its store. */
export type ClaimingStore = Pick<Store, "claim" | "audit">;

/** Whom a placement asks, and whom it tells. */
export interface LocalPlacementOptions {
  readonly store: ClaimingStore;
  readonly clock: Clock;
  /** Another server has claimed the data: called once; by then this node owns nothing. */
  readonly onFenced: () => void;
}

/** Every partition, in order. */
export const allPartitions: readonly number[] = Array.from({ length: partitionCount }, (_, partition) => partition);

/** Claims all partitions. Rejects as `store.claim` does. */
export async function claimAll(options: LocalPlacementOptions): Promise<LocalPlacement> {
  return new LocalPlacement(options, await options.store.claim(allPartitions));
}

/** See the head of this file. Made by {@link claimAll}. */
export class LocalPlacement implements Placement {
  readonly #options: LocalPlacementOptions;
  #epoch: Epoch | null;
  #cancel: Cancel;
  #auditing = false;
  #suspected = false;
  #closed = false;

  constructor(options: LocalPlacementOptions, epoch: Epoch) {
    this.#options = options;
    this.#epoch = epoch;
    this.#cancel = options.clock.after(auditMs, () => void this.#audit(epoch));
  }

  /** The epoch of every partition; null once fenced. */
  get epoch(): Epoch | null {
    return this.#epoch;
  }

  epochOf(): Epoch | null {
    return this.#epoch;
  }

  suspect(): void {
    const epoch = this.#epoch;
    if (epoch === null || this.#suspected || this.#closed) return;
    this.#suspected = true;
    if (!this.#auditing) this.#next(epoch, suspicionMs);
  }

  /** A node that is alone answers what it knows; a second one by mistake ends it within an audit's time. */
  mayAnswer(): boolean {
    return this.#epoch !== null;
  }

  /** No audit begins any more. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  async #audit(epoch: Epoch): Promise<void> {
    this.#auditing = true;
    this.#suspected = false;
    // A store that cannot answer says nothing about ownership; its commits go on checking the epoch themselves.
    const held = await this.#options.store.audit(0, epoch).catch(() => true);
    this.#auditing = false;
    if (this.#closed) return;
    if (held) {
      this.#next(epoch, this.#suspected ? suspicionMs : auditMs);
      return;
    }
    this.#epoch = null;
    this.close();
    this.#options.onFenced();
  }

  #next(epoch: Epoch, ms: number): void {
    this.#cancel();
    this.#cancel = this.#options.clock.after(ms, () => void this.#audit(epoch));
  }
}
