// Durations in logarithmic buckets: constant memory, a weight per sample, percentiles within 2 %.

const perOctave = 40;
const buckets = perOctave * 40;

/** A distribution of durations in microseconds. */
export class Histogram {
  readonly #counts = new Float64Array(buckets);
  #total = 0;
  #max = 0;

  /** How many samples, by weight. */
  get total(): number {
    return this.#total;
  }

  add(us: number, weight = 1): void {
    const bucket = us <= 1 ? 0 : Math.min(buckets - 1, Math.floor(Math.log2(us) * perOctave));
    this.#counts[bucket]! += weight;
    this.#total += weight;
    if (us > this.#max) this.#max = us;
  }

  /** The duration, in milliseconds, that a share of the samples does not exceed; 0 without samples. */
  percentileMs(share: number): number {
    let left = this.#total * share;
    if (this.#total === 0) return 0;
    for (let bucket = 0; bucket < buckets; bucket++) {
      left -= this.#counts[bucket]!;
      if (left <= 0) return Math.min(this.#max, 2 ** ((bucket + 1) / perOctave)) / 1000;
    }
    return this.#max / 1000;
  }

  reset(): void {
    this.#counts.fill(0);
    this.#total = 0;
    this.#max = 0;
  }
}
