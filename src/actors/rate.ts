// Rate limits of sessions and people: token buckets of two numbers, filled by the clock when looked at, without timers.
// Each belongs to one session or one person; keeps G11: what is refused is told how long to wait.

/** How fast, and how much at once. */
export interface RateRule {
  readonly perSecond: number;
  readonly burst: number;
}

/** One bucket. Starts full. */
export class Rate {
  #tokens: number;
  #at: number;

  /** @param now milliseconds of the monotonic clock, as for every call */
  constructor(rule: RateRule, now: number) {
    this.#tokens = rule.burst;
    this.#at = now;
  }

  /**
   * Takes one. 0: taken. Above 0: refused; milliseconds until one is there.
   * A refusal costs one too, down to a debt of `burst`: see {@link flooded}.
   */
  take(rule: RateRule, now: number): number {
    this.#tokens = Math.min(rule.burst, this.#tokens + ((now - this.#at) * rule.perSecond) / 1000);
    this.#at = now;
    this.#tokens -= 1;
    if (this.#tokens >= 0) return 0;
    return Math.max(1, Math.ceil(((1 - this.#tokens) * 1000) / rule.perSecond));
  }

  /** Whether refusals were ignored for a whole burst. */
  flooded(rule: RateRule): boolean {
    return this.#tokens < -rule.burst;
  }
}
