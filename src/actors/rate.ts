// Rate limits of sessions and people: token buckets of two numbers, filled by the clock when looked at, without timers.
// Each belongs to one session or one person; keeps G11: what is refused is told how long to wait.

/** How fast, and how much at once. */
export interface RateRule {
  readonly perSecond: number;
  readonly burst: number;
}

/** The part of what there is, and of what comes in, that {@link Rate.charge} always leaves. */
const keptShare = 0.1;

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
    this.#fill(rule, now);
    this.#tokens -= 1;
    if (this.#tokens >= 0) return 0;
    return Math.max(1, Math.ceil(((1 - this.#tokens) * 1000) / rule.perSecond));
  }

  /**
   * Takes what was spent elsewhere during the last `elapsedMs`. A tenth is left of what there is and of what came in meanwhile,
   * so that whoever is charged, rightly or not, goes on more slowly and is never shut out.
   */
  charge(rule: RateRule, amount: number, elapsedMs: number, now: number): void {
    this.#fill(rule, now);
    const most = Math.max(0, this.#tokens) + (elapsedMs * rule.perSecond) / 1000;
    this.#tokens -= Math.min(amount, most * (1 - keptShare));
  }

  /** Whether refusals were ignored for a whole burst. */
  flooded(rule: RateRule): boolean {
    return this.#tokens < -rule.burst;
  }

  #fill(rule: RateRule, now: number): void {
    this.#tokens = Math.min(rule.burst, this.#tokens + ((now - this.#at) * rule.perSecond) / 1000);
    this.#at = now;
  }
}
