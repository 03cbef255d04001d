// When a node asks the store whether its epochs are still the newest, and for how long the store has not answered.
// Owned by PlacementNode. Audits are what ends an owner that nobody told of another.
import { placementTimes } from "./placement-events";

/** See the head of this file. One audit is in flight at a time; times are of the node's monotonic clock. */
export class PlacementAudit {
  #inFlight = false;
  #beganAt = Number.NEGATIVE_INFINITY;
  /** An audit sooner than its time. */
  #wantedAt = Number.POSITIVE_INFINITY;
  #heardAt: number;

  constructor(now: number) {
    this.#heardAt = now;
  }

  /** Whether an audit should begin now; it has begun then. */
  begin(now: number): boolean {
    if (this.#inFlight || now < Math.min(this.#wantedAt, this.#beganAt + placementTimes.auditMs)) return false;
    this.#inFlight = true;
    this.#beganAt = now;
    this.#wantedAt = Number.POSITIVE_INFINITY;
    return true;
  }

  ended(): void {
    this.#inFlight = false;
  }

  /** The store answered, whatever it was asked. */
  heard(now: number): void {
    this.#heardAt = now;
  }

  /** An epoch is suspected. */
  hurry(): void {
    this.#wantedAt = this.#beganAt + placementTimes.auditAgainMs;
  }

  /** This node stood still: silence counts from now on, and nothing is sure before the next audit. */
  restart(now: number): void {
    this.#heardAt = now;
    this.#wantedAt = now;
  }

  /** For how long the store has not answered. */
  silentMs(now: number): number {
    return now - this.#heardAt;
  }
}
