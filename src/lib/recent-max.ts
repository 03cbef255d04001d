// The largest of recent values, such as how late the event loop came to its work. Owned by whoever records it.

/** Remembers the largest value of the last `windowMs` to twice that; costs one comparison a value and holds two numbers. */
export class RecentMax {
  readonly #windowMs: number;
  readonly #monotonic: () => number;
  #began = Number.NEGATIVE_INFINITY;
  #before = 0;
  #now = 0;

  /** @param monotonic milliseconds that never step back */
  constructor(windowMs: number, monotonic: () => number) {
    this.#windowMs = windowMs;
    this.#monotonic = monotonic;
  }

  add(value: number): void {
    this.#turn();
    if (value > this.#now) this.#now = value;
  }

  /** 0 where nothing was recorded lately. */
  get max(): number {
    this.#turn();
    return Math.max(this.#before, this.#now);
  }

  #turn(): void {
    const time = this.#monotonic();
    const elapsed = time - this.#began;
    if (elapsed < this.#windowMs) return;
    this.#before = elapsed < 2 * this.#windowMs ? this.#now : 0;
    this.#now = 0;
    this.#began = time;
  }
}
