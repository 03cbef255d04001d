// Actors whose activation ended because nobody knew what the store held: perhaps something is durable that no socket has seen.
// Each is activated again until it has handed out what it missed (the crash table's "after the commit, before fan-out").
import type { Clock } from "../lib/clock";

const retryMs = 500;

/** Of one kind of actor. Holds one number for each until its next activation takes it. */
export class LostActivations {
  readonly #clock: Clock;
  readonly #reopen: (key: string) => void;
  /** The last position that was handed out, by actor. */
  readonly #handedOut = new Map<string, number>();

  /** @param reopen tells the actor `{ op: "reopen" }` through the router */
  constructor(clock: Clock, reopen: (key: string) => void) {
    this.#clock = clock;
    this.#reopen = reopen;
  }

  /** Notes an activation that ends, and has the next one started, again and again until it took over. */
  lost(key: string, handedOut: number): void {
    if (this.#handedOut.has(key)) return;
    this.#handedOut.set(key, handedOut);
    this.#start(key);
  }

  /** Runs `handOut` with the position behind which something may be unseen, if there is one. A rejection leaves it so. */
  async recover(key: string, handOut: (after: number) => Promise<void>): Promise<void> {
    const after = this.#handedOut.get(key);
    if (after === undefined) return;
    await handOut(after);
    this.#handedOut.delete(key);
  }

  #start(key: string): void {
    if (!this.#handedOut.has(key)) return;
    this.#reopen(key);
    this.#clock.after(retryMs, () => this.#start(key));
  }
}
