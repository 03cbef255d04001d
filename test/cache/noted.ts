// What a cache did in a test: its failures, its states in order, its calls; and who waits for a state.
import type { Cache, CacheFailure, CacheObserver, CacheState } from "../../src/storage/cache";

/** An observer that keeps everything. */
export class Noted implements CacheObserver {
  readonly failures: CacheFailure[] = [];
  readonly states: CacheState[] = [];
  /** Why it went down, each time. */
  readonly reasons: string[] = [];
  answers = 0;
  readonly #waiting: { readonly state: CacheState; readonly resolve: () => void }[] = [];

  failed(reason: CacheFailure, count: number): void {
    for (let i = 0; i < count; i++) this.failures.push(reason);
  }

  answered(): void {
    this.answers++;
  }

  changed(state: CacheState, reason: string | null): void {
    this.states.push(state);
    if (reason !== null) this.reasons.push(reason);
    for (const { resolve } of this.#waiting.filter((one) => one.state === state)) resolve();
  }

  /** Resolves when the cache enters this state the next time. */
  next(state: CacheState): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ state, resolve }));
  }

  count(reason: CacheFailure): number {
    return this.failures.filter((one) => one === reason).length;
  }
}

/** A cache that holds nothing, ever: what a server without one has. */
export class NoCache implements Cache {
  readonly shared = false;
  async get(keys: readonly string[]): Promise<readonly unknown[]> {
    return keys.map(() => null);
  }
  async put(): Promise<void> {}
  async drop(): Promise<void> {}
  async count(additions: readonly unknown[]): Promise<readonly null[]> {
    return additions.map(() => null);
  }
  async enter(): Promise<void> {}
  async exit(): Promise<void> {}
  async members(keys: readonly string[]): Promise<readonly null[]> {
    return keys.map(() => null);
  }
  state(): CacheState {
    return "ready";
  }
  async close(): Promise<void> {}
}

/** A cache that lies: it holds whatever it is asked for. */
export class LyingCache extends NoCache {
  override async get(keys: readonly string[]): Promise<readonly unknown[]> {
    return keys.map(() => true);
  }
}
