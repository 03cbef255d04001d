// Rates of people over all nodes: what somebody spends here is told to the others in batches, and what they spent there is charged
// to the bucket here. Keeps G10: without the others' word each node limits alone, and no word of theirs silences anybody.
import type { Cancel, Clock } from "../lib/clock";
import type { UserId } from "../protocol/ids";
import type { Cache } from "../storage/cache";
import type { CacheMeter } from "./known-people";
import type { RateRule } from "./rate";

/** Bounds of the exchange. */
export const exchangeLimits = {
  /** One batch at most so often, milliseconds: nothing is sent for a request. */
  everyMs: 100,
  /** People in one batch; the others follow in the next. */
  batchMax: 500,
  /** Whoever spends less than this part of their rate in a second is not talked about. */
  quietShare: 0.1,
  /** Spending is compared while exchanges of one person are no further apart, milliseconds. */
  windowMs: 1_000,
  /** Life of a counter behind its last addition, milliseconds. */
  lifeMs: 10_000,
} as const;

/** Whose spending is shared: a person of the hub. */
export interface Spender {
  readonly user: UserId;
  readonly rule: RateRule;
  /** Others spent this much since the last exchange, lately. */
  charge(amount: number, nowMs: number): void;
}

/** What it is made of. */
export interface SharedRatesDeps {
  readonly cache: Pick<Cache, "count">;
  readonly clock: Clock;
  readonly meter: CacheMeter;
}

/** One person's spending on this node. Kept by the person. */
export interface Tally {
  readonly spender: Spender;
  /** Spent and not told yet; since when, while it is not enough to be told. */
  untold: number;
  since: number;
  /** The sum over all nodes at the last exchange, and when that was; null where there was none lately. */
  sum: number | null;
  exchangedAt: number;
}

/** See the head of this file. One for all people of a node; holds those who spent much since the last batch. */
export class SharedRates {
  readonly #deps: SharedRatesDeps;
  readonly #due = new Set<Tally>();
  #cancel: Cancel | null = null;
  #busy = false;
  #stopped = false;

  constructor(deps: SharedRatesDeps) {
    this.#deps = deps;
  }

  tally(spender: Spender, now: number): Tally {
    return { spender, untold: 0, since: now, sum: null, exchangedAt: 0 };
  }

  /** Counts one request that was let through. Costs a few comparisons, never a command. */
  spent(tally: Tally, now: number): void {
    if (tally.sum !== null && now - tally.exchangedAt > exchangeLimits.windowMs) forget(tally, now);
    if (tally.sum === null && now - tally.since > exchangeLimits.windowMs) forget(tally, now);
    tally.untold++;
    if (tally.sum === null && tally.untold < tally.spender.rule.perSecond * exchangeLimits.quietShare) return;
    this.#due.add(tally);
    this.#later();
  }

  /** Ends the exchange. Idempotent. */
  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    this.#due.clear();
  }

  #later(): void {
    if (this.#cancel !== null || this.#busy || this.#stopped) return;
    this.#cancel = this.#deps.clock.after(exchangeLimits.everyMs, () => {
      this.#cancel = null;
      void this.#exchange();
    });
  }

  async #exchange(): Promise<void> {
    this.#busy = true;
    const batch: { readonly tally: Tally; readonly by: number }[] = [];
    for (const tally of this.#due) {
      if (batch.length === exchangeLimits.batchMax) break;
      this.#due.delete(tally);
      batch.push({ tally, by: tally.untold });
      tally.untold = 0;
    }
    const { cache, clock, meter } = this.#deps;
    const additions = batch.map(({ tally, by }) => ({ key: `spent:${tally.spender.user}`, by }));
    const sums = await cache.count(additions, exchangeLimits.lifeMs);
    const now = clock.monotonic();
    for (const [i, { tally, by }] of batch.entries()) settle(tally, by, sums[i] ?? null, now);
    const known = sums.filter((sum) => sum !== null).length;
    meter.cacheRead("rates", known, batch.length - known);
    this.#busy = false;
    if (this.#due.size > 0) this.#later();
  }
}

function forget(tally: Tally, now: number): void {
  tally.untold = 0;
  tally.since = now;
  tally.sum = null;
}

/** Charges what the sum grew by beyond what was told from here. A first sum, and one that was forgotten between, says nothing yet. */
function settle(tally: Tally, by: number, sum: number | null, now: number): void {
  const { sum: before } = tally;
  if (sum === null) return forget(tally, now);
  tally.sum = sum;
  tally.exchangedAt = now;
  const others = before === null ? 0 : sum - before - by;
  if (others > 0) tally.spender.charge(others, now);
}
