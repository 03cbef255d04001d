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

  /** What could be taken at the last call; below 0 after refusals. */
  get left(): number {
    return this.#tokens;
  }

  /** Whether refusals were ignored for a whole burst. */
  flooded(rule: RateRule): boolean {
    return this.#tokens < -rule.burst;
  }
}

/** The part of a rate that stays to somebody whatever they are said to have spent elsewhere. */
const keptShare = 0.1;

/**
 * What others leave of one rate: charged with what was spent elsewhere, it refuses, but never for longer than a second and
 * never the last tenth of the rate. Stands behind the bucket of this node, which is the limit without anybody's word.
 */
class SharedRate {
  #tokens: number;
  #kept: number;
  #at: number;

  /** @param left what this node's own bucket has left */
  constructor(rule: RateRule, left: number, now: number) {
    this.#tokens = left;
    this.#kept = rule.burst * keptShare;
    this.#at = now;
  }

  /** Somebody spent this much elsewhere. */
  charge(rule: RateRule, amount: number, now: number): void {
    this.#fill(rule, now);
    this.#tokens = Math.max(this.#tokens - amount, -rule.perSecond);
  }

  /** As {@link Rate.take}; a refusal costs nothing. */
  take(rule: RateRule, now: number): number {
    this.#fill(rule, now);
    if (this.#tokens >= 1) this.#tokens -= 1;
    else if (this.#kept >= 1) this.#kept -= 1;
    else return this.#waitMs(rule);
    return 0;
  }

  #waitMs({ perSecond }: RateRule): number {
    const seconds = Math.min((1 - this.#tokens) / perSecond, (1 - this.#kept) / (perSecond * keptShare));
    return Math.max(1, Math.ceil(seconds * 1000));
  }

  #fill(rule: RateRule, now: number): void {
    const came = ((now - this.#at) * rule.perSecond) / 1000;
    this.#tokens = Math.min(rule.burst, this.#tokens + came);
    // One token at least, or nothing could ever be taken from a small one.
    this.#kept = Math.min(Math.max(1, rule.burst * keptShare), this.#kept + came * keptShare);
    this.#at = now;
  }
}

/** A person's rate: this node's own bucket, and behind it, once others were heard of, what they leave. */
export class PersonRate {
  readonly #own: Rate;
  #shared: SharedRate | null = null;

  constructor(rule: RateRule, now: number) {
    this.#own = new Rate(rule, now);
  }

  /** As {@link Rate.take}. */
  take(rule: RateRule, now: number): number {
    const waitMs = this.#own.take(rule, now);
    return waitMs > 0 || this.#shared === null ? waitMs : this.#shared.take(rule, now);
  }

  /** Others spent this much lately. Only narrows what this node lets through, and never by more than {@link SharedRate} says. */
  charge(rule: RateRule, amount: number, now: number): void {
    this.#shared ??= new SharedRate(rule, Math.max(0, this.#own.left), now);
    this.#shared.charge(rule, amount, now);
  }
}
