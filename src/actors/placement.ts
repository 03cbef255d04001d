// Where actors live: the port between the runtime and whoever decides which node owns which partition.
// Alone, a node owns all of them (local-placement.ts). The store, not this, gives safety: an epoch too old is fenced there.
import type { Epoch } from "../protocol/ids";

/** Asked by the actor system, on the event loop; answers from memory. */
export interface Placement {
  /** The epoch under which this node owns the partition now; null where it does not: what is sent there is answered `retry`. */
  epochOf(partition: number): Epoch | null;
  /** An activation ended itself or could not begin, as it does when it was fenced: ownership is looked at again soon. */
  suspect(partition: number): void;
  /**
   * Whether what no stored row backs (a head, members, a refusal) may be said for this partition now: nobody else can have
   * taken it over and answered otherwise. Always, where nobody else could.
   */
  mayAnswer(partition: number): boolean;
}
