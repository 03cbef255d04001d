// The numbers of one other node's links, as they arrive here: whether anything is missing.
// Owned by NodeLinks. Says "gap" rather once too often: whoever registers again is right afterwards.

/** What a message's number means: `late`: it belongs into a gap that was told already, and is let go. */
export type Arrival = "next" | "gap" | "late";

/** One link, as heard. The number before the first is not known: the first message may follow one that was lost. */
export class LinkIn {
  #last: number | null = null;

  /** A message of the link. */
  message(number: number): Arrival {
    const last = this.#last;
    if (last !== null && number <= last) return "late";
    this.#last = number;
    return last !== null && number === last + 1 ? "next" : "gap";
  }

  /** What its sender says its last number is, at a moment at which everything before has arrived; null: it knows no such link. */
  told(number: number | null): "same" | "gap" {
    const last = this.#last;
    this.#last = number;
    return last === null || last === number ? "same" : "gap";
  }

  /** As {@link LinkIn.told}, in an answer that later messages may have overtaken. */
  toldOnce(number: number): "same" | "gap" {
    return this.#last !== null && number < this.#last ? "same" : this.told(number);
  }
}
