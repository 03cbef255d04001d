// Observable state: values computed when they are asked for, listeners told once a tick.
// Owned by the client; a listener that throws is reported and harms no other.
import type { Observable, Unsubscribe } from "./types";

/** Tells the listeners of everything that changed, once a tick. One per client. */
export class Ticker {
  readonly #defer: (call: () => void) => void;
  readonly #report: (error: unknown) => void;
  readonly #changed = new Set<Derived<unknown>>();

  constructor(defer: (call: () => void) => void, report: (error: unknown) => void) {
    this.#defer = defer;
    this.#report = report;
  }

  /** Tells the listeners of `derived` at the end of this tick. */
  schedule(derived: Derived<unknown>): void {
    if (this.#changed.size === 0) this.#defer(() => this.#tell());
    this.#changed.add(derived);
  }

  #tell(): void {
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const derived of changed) derived.tell(this.#report);
  }
}

/** A snapshot that is computed anew after {@link Derived.invalidate}, and not before somebody asks for it. */
export class Derived<T> implements Observable<T> {
  readonly getSnapshot: () => T;
  readonly subscribe: (listener: () => void) => Unsubscribe;
  readonly #ticker: Ticker;
  readonly #listeners = new Set<() => void>();
  #value: { readonly now: T } | null = null;

  /** @param watched called with true when the first listener comes, with false when the last one goes */
  constructor(ticker: Ticker, compute: () => T, watched: (isWatched: boolean) => void = () => {}) {
    this.#ticker = ticker;
    this.getSnapshot = () => {
      this.#value ??= { now: compute() };
      return this.#value.now;
    };
    this.subscribe = (listener) => {
      // One function handed in twice is two subscriptions.
      const own = () => listener();
      this.#listeners.add(own);
      if (this.#listeners.size === 1) watched(true);
      return () => {
        if (this.#listeners.delete(own) && this.#listeners.size === 0) watched(false);
      };
    };
  }

  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  invalidate(): void {
    this.#value = null;
    if (this.#listeners.size > 0) this.#ticker.schedule(this);
  }

  /** For the ticker. */
  tell(report: (error: unknown) => void): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener();
      } catch (error) {
        report(error);
      }
    }
  }
}
