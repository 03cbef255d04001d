// What everything on one store may rely on, so that two adjacent releases run side by side: a level that only rises, once all
// members support it. One a node; the level in force stands in the store, each member's own in its lease.
import type { Cancel, Clock } from "../lib/clock";
import type { Incarnation } from "./placement-shares";

/** The highest level that this release supports: it rises by one with a release that adds to {@link features}. */
export const releaseLevel = 1;

/**
 * From which level on a feature may be used. A kind of entry, or a form between nodes, that an older release does not know
 * gets a row here before anything writes it; reading it needs no level.
 */
export const features = {
  /** Nodes that share a store and divide its partitions. */
  cluster: 1,
} as const satisfies Record<string, number>;

/** A gated feature. */
export type Feature = keyof typeof features;

/** Milliseconds. */
export const levelTimes = {
  /** Between two looks at whether the level should rise, or has. */
  lookMs: 1000,
  /** For so long every member must have supported a level before it is raised: one that starts is seen by then. */
  settleMs: 5000,
  /** A member whose lease was not renewed for so long, nor taken back, is not reckoned with any more. */
  forgetMs: 60_000,
} as const;

/** The little of the store that it needs; rejects where the store does not answer. */
export interface LevelStore {
  featureLevel(): Promise<number>;
  raiseFeatureLevel(to: number): Promise<number>;
}

/** What it is made of. */
export interface FeatureLevelOptions {
  readonly store: LevelStore;
  readonly clock: Clock;
  /** This release's; {@link releaseLevel} but in tests. */
  readonly level: number;
  /**
   * Told once where the level in force has risen above this release's while it ran, as after a long pause: what others write
   * now may be more than this node understands, and it should leave.
   */
  readonly onOutdated: (inForce: number) => void;
}

/** The data relies on more than this release knows: it must not serve. */
export class OutdatedRelease extends Error {
  constructor(inForce: number, level: number) {
    super(
      `the data relies on features of a newer release (level ${inForce}; this one supports ${level}); ` +
        "start the newer release again, or restore a backup made before the upgrade",
    );
    this.name = "OutdatedRelease";
  }
}

/** See the head of this file. Begins by {@link FeatureLevel.open}; ask {@link FeatureLevel.supports} before every use. */
export class FeatureLevel {
  readonly level: number;
  readonly #options: FeatureLevelOptions;
  readonly #members = new Map<Incarnation, { readonly level: number; readonly seenAt: number }>();
  #inForce: number;
  /** Since when every member has supported more than is in force; null: one does not, or not all are known. */
  #readySince: number | null = null;
  #cancel: Cancel | null = null;
  #closed = false;
  #busy = false;

  private constructor(options: FeatureLevelOptions, inForce: number) {
    this.#options = options;
    this.level = options.level;
    this.#inForce = inForce;
  }

  /**
   * Reads what is in force. In a cluster: after this node's lease was written, so that whoever raises the level has seen it.
   * Rejects with {@link OutdatedRelease}, or where the store does not answer.
   */
  static async open(options: FeatureLevelOptions): Promise<FeatureLevel> {
    const inForce = await options.store.featureLevel();
    if (inForce > options.level) throw new OutdatedRelease(inForce, options.level);
    return new FeatureLevel(options, inForce);
  }

  /** The level in force, as last read: never above the store's. */
  get inForce(): number {
    return this.#inForce;
  }

  /** Whether a feature may be used now. Once true it stays so. */
  supports(feature: Feature): boolean {
    return this.#inForce >= features[feature];
  }

  /** A node that is alone raises the level itself, at start. Rejects where the store does not answer. */
  async raiseAlone(): Promise<void> {
    if (this.#inForce < this.level) this.#take(await this.#options.store.raiseFeatureLevel(this.level));
  }

  /** A member's lease was written, this node's own included. */
  seen(member: Incarnation, level: number): void {
    this.#members.set(member, { level, seenAt: this.#options.clock.monotonic() });
  }

  /** A member left, or was found dead. */
  gone(member: Incarnation): void {
    this.#members.delete(member);
  }

  /**
   * In a cluster: raises the level once all members support it, and notices when others have.
   * @param isSure whether this node has been in touch for long enough that it knows of every member
   */
  begin(isSure: () => boolean): void {
    this.#cancel?.();
    if (this.#closed) return;
    this.#cancel = this.#options.clock.after(levelTimes.lookMs, () => {
      void this.#look(isSure()).finally(() => this.begin(isSure));
    });
  }

  /** Looks no more. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#cancel?.();
  }

  async #look(sure: boolean): Promise<void> {
    const now = this.#options.clock.monotonic();
    for (const [name, { seenAt }] of this.#members) {
      if (now - seenAt > levelTimes.forgetMs) this.#members.delete(name);
    }
    const levels = [this.level, ...[...this.#members.values()].map(({ level }) => level)];
    const lowest = Math.min(...levels);
    this.#readySince = sure && lowest > this.#inForce ? (this.#readySince ?? now) : null;
    const ready = this.#readySince !== null && now - this.#readySince >= levelTimes.settleMs;
    // Nobody can have raised it above what some member supports: where all is in force there is nothing to read.
    if (this.#busy || Math.max(...levels) <= this.#inForce) return;
    this.#busy = true;
    const { store } = this.#options;
    try {
      this.#take(ready ? await store.raiseFeatureLevel(lowest) : await store.featureLevel());
    } catch {
      // The store does not answer: the next look asks again, and others may have been quicker.
    } finally {
      this.#busy = false;
    }
  }

  #take(inForce: number): void {
    const before = this.#inForce;
    this.#inForce = Math.max(before, inForce);
    if (this.#inForce === before) return;
    this.#readySince = null;
    if (before <= this.level && this.#inForce > this.level) this.#options.onOutdated(this.#inForce);
  }
}
