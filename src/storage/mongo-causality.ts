// Reads that see what this handle was told is stored, also from a primary elected a moment ago: what a majority has is no news to
// that one, but it may not know yet that a majority has it (G1, G5). Owned by the MongoDB store; rests on how the pinned driver
// sends a read concern, which mongo-causality.test.ts watches.
import { ReadConcern, Timestamp } from "mongodb";

const field = "afterClusterTime";

/** One for each handle. Not thread-safe. */
export class MongoCausality {
  /** `majority`, from the newest acknowledged write on; shared by all collections that are read so. */
  readonly readConcern = new ReadConcern("majority");
  #after: Timestamp | null = null;

  constructor() {
    this.#define(false);
  }

  /** A write was acknowledged, with this in its reply's `operationTime`; a server alone says nothing there. */
  noted(operationTime: unknown): void {
    if (!(operationTime instanceof Timestamp) || (this.#after && operationTime.lessThanOrEqual(this.#after))) return;
    if (this.#after === null) this.#define(true);
    this.#after = operationTime;
  }

  /** Sent with every read once there is a time. The driver assigns to it what a session has read: that never sets it back. */
  #define(enumerable: boolean): void {
    const get = () => this.#after;
    const set = (time: unknown) => this.noted(time);
    Object.defineProperty(this.readConcern, field, { configurable: true, enumerable, get, set });
  }
}
