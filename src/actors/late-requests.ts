// How late requests of another node come, by its clock and this one's, which agree on nothing but the length of a second.
// Owned by ClusterInbox, one a caller: what a network held back for longer than the caller waits is not done any more (G4).

/** The quickest way is remembered for so long at least, and for twice as long at most while requests come, milliseconds. */
const windowMs = 60_000;

/** The delays of one caller's requests. Both clocks are monotonic; they may drift apart slowly. */
export class CallerDelays {
  #before = Number.POSITIVE_INFINITY;
  #least = Number.POSITIVE_INFINITY;
  #since = Number.NEGATIVE_INFINITY;

  /**
   * Milliseconds by which a request took longer than the quickest of this caller lately: never more than it was really under
   * way, as far as clocks drift little in a minute.
   * @param sentAt by the caller's clock
   * @param now by this node's
   */
  of(sentAt: number, now: number): number {
    const apart = now - sentAt;
    if (now - this.#since >= windowMs) {
      // Also after a long silence what was known before it counts: the first to come may be late already.
      this.#before = this.#least;
      this.#least = apart;
      this.#since = now;
    } else this.#least = Math.min(this.#least, apart);
    return apart - Math.min(this.#before, this.#least);
  }
}
