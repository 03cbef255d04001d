// How long to wait before trying again: exponential, with full jitter. Owned by whoever retries.

/** Counts failures in a row. The wait is drawn from 0 to `min(capMs, baseMs × 2^failures)`, on top of what the server asked. */
export class Backoff {
  readonly #baseMs: number;
  readonly #capMs: number;
  readonly #random: () => number;
  #failures = 0;

  constructor(random: () => number, baseMs = 500, capMs = 30_000) {
    this.#random = random;
    this.#baseMs = baseMs;
    this.#capMs = capMs;
  }

  /** The next wait, milliseconds; at least `leastMs`. @param isSpread whether the server drew `leastMs` by chance: a first wait is that long */
  next(leastMs = 0, isSpread = false): number {
    if (isSpread && this.#failures === 0) {
      this.#failures++;
      return leastMs;
    }
    const spread = Math.min(this.#capMs, this.#baseMs * 2 ** Math.min(this.#failures, 30));
    this.#failures++;
    return leastMs + Math.floor(this.#random() * spread);
  }

  reset(): void {
    this.#failures = 0;
  }
}
