// The newest epoch of each partition that this node has heard of, and since when: what is asked of an owner names it (G4).
// Owned by ClusterRouter; told by owners, who say what they own in beats and answer an ask that names another epoch with theirs.
import type { Clock } from "../lib/clock";
import { partitionCount } from "../lib/hash";
import type { Epoch } from "../protocol/ids";
import type { AskSource } from "./actor";

/** See the head of this file. */
export class KnownEpochs {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #epochs: Epoch[] = new Array<Epoch>(partitionCount).fill(0);
  /** Monotonic milliseconds. */
  readonly #since: number[] = new Array<number>(partitionCount).fill(Number.NEGATIVE_INFINITY);

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** An owner serves the partition under this epoch. Older ones are not news. */
  learn(partition: number, epoch: Epoch): void {
    if (epoch <= this.of(partition)) return;
    this.#epochs[partition] = epoch;
    this.#since[partition] = this.#clock.monotonic();
  }

  /** 0: none was heard of. */
  of(partition: number): Epoch {
    return this.#epochs[partition] as Epoch;
  }

  /**
   * Whether its owner may be asked for this client: it was here after that epoch began. So whatever it is answered elsewhere, by an
   * owner who knows this epoch, is known to that one owner. Else an old ask might be carried out behind what its client said since.
   */
  mayAskFor(source: AskSource | undefined, partition: number): boolean {
    return source === undefined || source.shownAt >= (this.#since[partition] as number);
  }
}
