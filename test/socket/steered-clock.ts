// A clock that runs as the system's does, and forward as far as a test says: what falls due on the way is called at once.
import { systemClock } from "../../src/lib/clock";
import type { Cancel, Clock } from "../../src/lib/clock";

interface Due {
  readonly at: number;
  readonly call: () => void;
  readonly cancel: Cancel;
}

export class SteeredClock implements Clock {
  #ahead = 0;
  readonly #waiting = new Set<Due>();

  now(): number {
    return systemClock.now() + this.#ahead;
  }

  monotonic(): number {
    return systemClock.monotonic() + this.#ahead;
  }

  after(ms: number, call: () => void): Cancel {
    const run = (): void => {
      if (this.#waiting.delete(due)) call();
    };
    const due: Due = { at: this.monotonic() + ms, call: run, cancel: systemClock.after(ms, run) };
    this.#waiting.add(due);
    return () => {
      due.cancel();
      this.#waiting.delete(due);
    };
  }

  endOfTurn(call: () => void): void {
    systemClock.endOfTurn(call);
  }

  /** Moves on by `ms`, in order of what falls due. */
  advance(ms: number): void {
    const end = this.#ahead + ms;
    const base = this.monotonic() - this.#ahead;
    for (;;) {
      const next = [...this.#waiting].sort((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > base + end) break;
      this.#ahead = Math.max(this.#ahead, next.at - base);
      next.cancel();
      next.call();
    }
    this.#ahead = end;
  }
}
