// Which activations ended lately on this node: what was read of them from the store just before may be old.
// Owned by ActorSystem; bounded (G11), and past its bound it answers "perhaps" rather than forget.

/** How long an ended activation is remembered. */
export const recentMs = 10_000;

/** Names that something happened to in the last {@link recentMs}; at most `max` of them. */
export class RecentNames {
  readonly #max: number;
  /** When, by name; oldest first. Monotonic milliseconds. */
  readonly #at = new Map<string, number>();
  /** Until then every name counts as recent, because some had to be forgotten early. */
  #forgetfulUntil = Number.NEGATIVE_INFINITY;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#at.size;
  }

  add(name: string, now: number): void {
    this.#at.delete(name);
    this.#at.set(name, now);
    if (this.#at.size <= this.#max) return;
    for (const [oldest, at] of this.#at) {
      this.#at.delete(oldest);
      this.#forgetfulUntil = at + recentMs;
      return;
    }
  }

  /** May answer true for a name that is not recent, never false for one that is. */
  has(name: string, now: number): boolean {
    if (now <= this.#forgetfulUntil) return true;
    const at = this.#at.get(name);
    return at !== undefined && now - at <= recentMs;
  }

  /** Lets go of what is no longer recent. */
  sweep(now: number): void {
    for (const [name, at] of this.#at) {
      if (now - at <= recentMs) return;
      this.#at.delete(name);
    }
  }
}
