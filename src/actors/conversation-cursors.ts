// Cursor rows of one conversation that are in memory, the least recently loaded let go of past a bound (G11).
// Owned by ConversationMarks. A row that somebody works with is held, and stays until they are done.
import type { UserId } from "../protocol/ids";
import type { CursorRow } from "../storage/store";

/** Cursor rows kept in memory, beside those held. */
const cachedCursorsMax = 20_000;
/** So much of the bound is left once rows were let go of, so that it is not done for each. */
const keptShare = 0.9;

/** Holds at most `max` rows and those that are held. */
export class CursorCache {
  readonly #rows = new Map<UserId, CursorRow>();
  /** How often a row is held. */
  readonly #held = new Map<UserId, number>();
  readonly #max: number;

  constructor(max = cachedCursorsMax) {
    this.#max = max;
  }

  get size(): number {
    return this.#rows.size;
  }

  has(user: UserId): boolean {
    return this.#rows.has(user);
  }

  get(user: UserId): CursorRow | undefined {
    return this.#rows.get(user);
  }

  /** Keeps a row, the oldest others making room. */
  set(user: UserId, row: CursorRow): void {
    this.#rows.set(user, row);
    if (this.#rows.size > this.#max && this.#rows.size > this.#held.size) this.#evict();
  }

  /** Keeps the rows of these people, once they are here, until the answered function is called. That is idempotent. */
  hold(users: readonly UserId[]): () => void {
    for (const user of users) this.#held.set(user, (this.#held.get(user) ?? 0) + 1);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      for (const user of users) this.#release(user);
    };
  }

  #release(user: UserId): void {
    const times = (this.#held.get(user) ?? 1) - 1;
    if (times > 0) this.#held.set(user, times);
    else this.#held.delete(user);
  }

  #evict(): void {
    const kept = Math.floor(this.#max * keptShare);
    for (const user of this.#rows.keys()) {
      if (this.#rows.size <= kept) return;
      if (!this.#held.has(user)) this.#rows.delete(user);
    }
  }
}
