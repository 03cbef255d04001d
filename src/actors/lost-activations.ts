// Actors whose activation ended because nobody knew what the store held: perhaps something is durable that no socket has seen.
// Each is activated again until it has handed out what it missed (the crash table's "after the commit, before fan-out").
import type { Cancel, Clock } from "../lib/clock";

const retryMs = 500;

/** Of one kind of actor. Holds one number for each until its next activation takes it. */
export class LostActivations {
  readonly #clock: Clock;
  readonly #reopen: (key: string) => boolean;
  /** The last position that was handed out, by actor. */
  readonly #handedOut = new Map<string, number>();

  /** Writes of ended activations that the store has not answered yet. */
  readonly #underWay = new Map<string, Promise<void>>();
  #cancelRetry: Cancel | null = null;
  #stopped = false;

  /** @param reopen tells the actor `{ op: "reopen" }`; false where it is another node's by now, whose opening finds what is left */
  constructor(clock: Clock, reopen: (key: string) => boolean) {
    this.#clock = clock;
    this.#reopen = reopen;
  }

  /** Notes an activation that ends, and has the next one started, again and again until it took over. */
  lost(key: string, handedOut: number): void {
    if (this.#stopped || this.#handedOut.has(key)) return;
    this.#handedOut.set(key, handedOut);
    this.#again(key);
    this.#retryLater();
  }

  /** Notes an activation that ends while `write` is under way: nobody will hear of it from that activation. */
  lostWriting(key: string, handedOut: number, write: Promise<void>): void {
    const decided = write.finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, decided);
    this.lost(key, handedOut);
  }

  /**
   * Runs `load` for a new activation, once the writes of the one before are decided: what it loads is not overtaken by them.
   * `after` is the position behind which something may be unseen, or null. A rejection leaves it so, for the next activation.
   */
  async takeOver<T>(key: string, load: (after: number | null) => Promise<T>): Promise<T> {
    await this.#underWay.get(key);
    const loaded = await load(this.#handedOut.get(key) ?? null);
    this.#handedOut.delete(key);
    return loaded;
  }

  /** Nothing is activated again any more; the next server's reopening finds what is left open. Idempotent. */
  stop(): void {
    this.#stopped = true;
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.#handedOut.clear();
  }

  #again(key: string): void {
    if (!this.#reopen(key)) this.#handedOut.delete(key);
  }

  #retryLater(): void {
    this.#cancelRetry ??= this.#clock.after(retryMs, () => {
      this.#cancelRetry = null;
      if (this.#handedOut.size === 0) return;
      for (const key of this.#handedOut.keys()) this.#again(key);
      this.#retryLater();
    });
  }
}
