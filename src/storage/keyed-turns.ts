// One piece of work at a time for each key, in the order asked. Owned by a store whose writes take several commands.

/** Not thread-safe. Holds one promise for each key that has work. */
export class KeyedTurns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Keys that have work. */
  get size(): number {
    return this.#last.size;
  }

  /** Runs `work` once everything asked before it for this key has ended, however it ended. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const turn = before ? before.then(work, work) : work();
    this.#last.set(key, turn);
    const end = (): void => {
      if (this.#last.get(key) === turn) this.#last.delete(key);
    };
    turn.then(end, end);
    return turn;
  }

  /** Resolves once nothing is under way; what is asked meanwhile is waited for, too. */
  async idle(): Promise<void> {
    while (this.#last.size > 0) await Promise.allSettled(this.#last.values());
  }
}
