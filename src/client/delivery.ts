// One conversation's log as it reaches the application: every entry once, in order, without a gap (G6).
// Owned by Conversation. An acknowledgement never moves the position; only entries do.
import type { EntryTuple } from "../protocol/entry";
import type { Seq } from "../protocol/ids";

/** How an entry came. */
export type How = "pushed" | "fetched";

/** Entries kept that came before the ones they follow; past it they are fetched again. */
const earlyMax = 512;

/** Hands entries on in order. Bounded; what it lets go of is still counted as missing. */
export class Delivery {
  readonly #deliver: (entry: EntryTuple, how: How) => void;
  readonly #early = new Map<Seq, readonly [EntryTuple, How]>();
  #last: Seq | null = null;
  #known: Seq = 0;

  constructor(deliver: (entry: EntryTuple, how: How) => void) {
    this.#deliver = deliver;
  }

  /** Highest seq delivered without a gap; null before {@link start}. */
  get lastSeq(): Seq | null {
    return this.#last;
  }

  /** Highest seq known to exist. */
  get knownSeq(): Seq {
    return this.#known;
  }

  /** How many entries are known to exist and are not delivered; 0 before {@link start}. */
  get missing(): number {
    return this.#last === null ? 0 : Math.max(0, this.#known - this.#last);
  }

  /** Delivery goes on behind `seq`: what came early and follows it is delivered at once. */
  start(seq: Seq): void {
    this.#last = seq;
    this.#known = Math.max(this.#known, seq);
    for (const early of [...this.#early.keys()]) if (early <= seq) this.#early.delete(early);
    this.#drain();
  }

  /** The log is not what was believed: nothing is known of it until {@link start}. */
  reset(): void {
    this.#last = null;
    this.#known = 0;
    this.#early.clear();
  }

  /** `seq` exists. */
  note(seq: Seq): void {
    if (seq > this.#known) this.#known = seq;
  }

  /** Takes entries in whatever order they came; what was delivered before is ignored. */
  offer(entries: readonly EntryTuple[], how: How): void {
    for (const entry of entries) {
      const seq = entry[0];
      this.note(seq);
      if (this.#last !== null && seq <= this.#last) continue;
      if (this.#last !== null && seq === this.#last + 1) this.#next(entry, how);
      else if (this.#early.size < earlyMax) this.#early.set(seq, [entry, how]);
    }
    this.#drain();
  }

  #next(entry: EntryTuple, how: How): void {
    this.#last = entry[0];
    this.#early.delete(entry[0]);
    this.#deliver(entry, how);
  }

  #drain(): void {
    while (this.#last !== null) {
      const next = this.#early.get(this.#last + 1);
      if (!next) return;
      this.#next(next[0], next[1]);
    }
  }
}
