// Turnstiles: how much heavy work of one kind is under way at once. Whoever comes beyond that waits in order for a moment, or is told
// when to come again. One for sign-ins and one for syncs of a server (entrance.ts); keeps G11: a storm of clients costs what its rules say.
import type { Cancel, Clock } from "../lib/clock";
import { AppError } from "../lib/errors";

/** The limits of one turnstile. */
export interface TurnstileRule {
  /** Under way at once, 1 or more. */
  readonly atOnce: number;
  /** Waiting for their turn; 0: nobody waits. */
  readonly waitingMax: number;
  /** How long somebody may wait, milliseconds. */
  readonly waitMs: number;
  /**
   * Work that takes longer than `ms` waits for something else, such as an owner who is gone: it makes room for the next as if it had
   * ended, for up to `most` at a time. Null: it does not.
   */
  readonly slow: { readonly ms: number; readonly most: number } | null;
}

/** What a turnstile has to do with the world. */
export interface TurnstileWorld {
  readonly clock: Pick<Clock, "monotonic" | "after">;
  readonly random: () => number;
  /** Whether more may begin at all now; asked before each, and again after {@link Turnstile.advance}. */
  readonly mayBegin: () => boolean;
  /** Work ended or somebody gave up waiting. */
  readonly onRoom: () => void;
  readonly onRefused: () => void;
}

/** How those who are sent away are spread. */
export const hintLimits = {
  /** Assumed until the first measurement, and never less: how many are let through in a second. */
  assumedPerSecond: 1_000,
  leastPerSecond: 20,
  /** Throughput is measured over so long, milliseconds, and only while somebody waits: else it says nothing of what could be done. */
  measureMs: 200,
  /** Nobody is sent away for less, or on average for more, milliseconds. */
  leastMs: 100,
  mostMs: 6_000,
} as const;

interface Work {
  readonly since: number;
}

interface Waiting {
  readonly since: number;
  begin(work: Work): void;
  refuse(error: AppError): void;
}

/**
 * Lets `atOnce` through at a time, in the order they came. What limits the rate is the work itself: the next begins when one
 * ends, so that a slow store or a busy event loop slows the whole row down without a number for it.
 */
export class Turnstile {
  readonly #rule: TurnstileRule;
  readonly #world: TurnstileWorld;
  readonly #waiting: Waiting[] = [];
  /** Under way, oldest first, but those that were found to be slow. */
  readonly #underWay = new Set<Work>();
  #slow = 0;
  #cancelPatience: Cancel | null = null;
  #cancelSlowness: Cancel | null = null;
  #perSecond: number = hintLimits.assumedPerSecond;
  #measuredFrom: number | null = null;
  #done = 0;
  /** When whoever is sent away next would have their turn, if all who were sent away come back when told. */
  #nextPlaceAt = 0;

  constructor(rule: TurnstileRule, world: TurnstileWorld) {
    this.#rule = rule;
    this.#world = world;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** How many are under way. */
  get underWay(): number {
    return this.#underWay.size + this.#slow;
  }

  /** Throws as {@link pass} rejects where somebody who came now could not even wait: before anything is done for them. */
  assertRoom(): void {
    if (this.#waiting.length > 0 && this.#waiting.length >= this.#rule.waitingMax) throw this.#refusal();
  }

  /**
   * Does the work in its turn, and answers as it does. Rejects with `overloaded`, without having begun, where too many wait or the wait
   * was too long: `retryAfterMs` grows with how many were sent away lately, and is spread by chance.
   */
  async pass<T>(work: () => Promise<T>): Promise<T> {
    const entered = this.#enter();
    const mine = entered instanceof Promise ? await entered : entered;
    try {
      return await work();
    } finally {
      if (!this.#underWay.delete(mine)) this.#slow--;
      this.#measure();
      this.advance();
      this.#world.onRoom();
    }
  }

  /** Lets those begin for whom there is room. Called by whoever knows that `mayBegin` may have changed. */
  advance(): void {
    while (this.#waiting.length > 0 && this.#hasRoom()) this.#waiting.shift()?.begin(this.#begin());
    if (this.#waiting.length === 0) this.#measuredFrom = null;
    else this.#watchSlowness();
  }

  #enter(): Promise<Work> | Work {
    if (this.#waiting.length === 0 && this.#hasRoom()) return this.#begin();
    if (this.#waiting.length >= this.#rule.waitingMax) throw this.#refusal();
    const { promise, resolve, reject } = Promise.withResolvers<Work>();
    this.#waiting.push({ since: this.#world.clock.monotonic(), begin: resolve, refuse: reject });
    this.#watchPatience();
    this.#watchSlowness();
    return promise;
  }

  #begin(): Work {
    const work: Work = { since: this.#world.clock.monotonic() };
    this.#underWay.add(work);
    return work;
  }

  #hasRoom(): boolean {
    return this.#underWay.size < this.#rule.atOnce && this.#world.mayBegin();
  }

  /** While somebody waits: one timer for the work that is under way longest. */
  #watchSlowness(): void {
    const { slow } = this.#rule;
    const [first] = this.#underWay;
    if (slow === null || first === undefined || this.#cancelSlowness !== null || this.#slow >= slow.most) return;
    const { clock } = this.#world;
    this.#cancelSlowness = clock.after(Math.max(1, first.since + slow.ms - clock.monotonic()), () => {
      this.#cancelSlowness = null;
      this.#passOver(slow);
      this.advance();
    });
  }

  #passOver(slow: NonNullable<TurnstileRule["slow"]>): void {
    const now = this.#world.clock.monotonic();
    for (const work of this.#underWay) {
      if (now - work.since < slow.ms || this.#slow >= slow.most) return;
      this.#underWay.delete(work);
      this.#slow++;
    }
  }

  /** One timer for all: whoever waits longest is first. */
  #watchPatience(): void {
    const [first] = this.#waiting;
    if (this.#cancelPatience !== null || first === undefined) return;
    const { clock, onRoom } = this.#world;
    const left = first.since + this.#rule.waitMs - clock.monotonic();
    this.#cancelPatience = clock.after(Math.max(1, left), () => {
      this.#cancelPatience = null;
      const now = clock.monotonic();
      while (this.#waiting[0] !== undefined && now - this.#waiting[0].since >= this.#rule.waitMs)
        this.#waiting.shift()?.refuse(this.#refusal());
      this.#watchPatience();
      onRoom();
    });
  }

  #measure(): void {
    if (this.#waiting.length === 0) return;
    const now = this.#world.clock.monotonic();
    this.#done++;
    if (this.#measuredFrom === null) {
      this.#measuredFrom = now;
      this.#done = 0;
    } else if (now - this.#measuredFrom >= hintLimits.measureMs) {
      // Half of it is what was measured before: a short pause is not yet the end of all speed.
      const perSecond = (this.#done * 1000) / (now - this.#measuredFrom);
      this.#perSecond = Math.max(hintLimits.leastPerSecond, (this.#perSecond + perSecond) / 2);
      this.#measuredFrom = now;
      this.#done = 0;
    }
  }

  /** Each who is sent away gets a place behind those who wait and those who were sent away before. */
  #refusal(): AppError {
    const { clock, random, onRefused } = this.#world;
    const now = clock.monotonic();
    const eachMs = 1000 / this.#perSecond;
    const place = Math.max(this.#nextPlaceAt, now + this.#waiting.length * eachMs) + eachMs;
    this.#nextPlaceAt = Math.min(place, now + hintLimits.mostMs);
    onRefused();
    const retryAfterMs = Math.max(hintLimits.leastMs, Math.ceil((this.#nextPlaceAt - now) * (0.5 + random())));
    return new AppError("overloaded", "too many come at once; wait and repeat", { retryAfterMs });
  }
}
