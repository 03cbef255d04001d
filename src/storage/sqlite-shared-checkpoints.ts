// Sees to it that exactly one of the processes that share a file folds its write-ahead log in: this one, or it waits for its turn.
// Owned by SqliteStore; the work is done by a thread of its own (sqlite-checkpointer.ts).
import type { Cancel, Clock } from "../lib/clock";
import { CheckpointThread } from "./sqlite-checkpoint-thread";
import type { CheckpointRound } from "./sqlite-checkpointer";
import type { StoreFile } from "./sqlite-messages";

/** Committed bytes of this process after which a round begins at once. */
const bytesEach = 1024 * 1024;
/** The next round after one that copied as much, and after one that copied less, milliseconds. */
const busyMs = 250;
const idleMs = 1000;
/** How often it is looked whether the one that checkpoints is gone, milliseconds. */
const turnMs = 500;

/** One round at a time. */
export class SharedCheckpoints {
  readonly #thread: CheckpointThread;
  readonly #clock: Clock;
  #mine = false;
  #bytes = 0;
  #running: Promise<void> | null = null;
  #timer: Cancel | null = null;
  #closed = false;

  /** Begins at once. */
  constructor(file: StoreFile, clock: Clock) {
    this.#thread = new CheckpointThread(file);
    this.#clock = clock;
    this.#begin();
  }

  /** Whether this process checkpointed last. */
  get mine(): boolean {
    return this.#mine;
  }

  /** Called after every commit with the bytes handed over for it. */
  committed(bytes: number): void {
    this.#bytes += bytes;
    if (this.#mine && this.#bytes >= bytesEach && !this.#running && !this.#closed) this.#begin();
  }

  /** Ends the thread once a round under way is done, and lets another process go on. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.();
    await this.#running;
    await this.#thread.close();
  }

  #begin(): void {
    this.#timer?.();
    this.#bytes = 0;
    this.#running = this.#round().then((nextMs) => {
      this.#running = null;
      if (this.#closed) return;
      if (this.#mine && this.#bytes >= bytesEach) this.#begin();
      else this.#timer = this.#clock.after(nextMs, () => this.#begin());
    });
  }

  /** Answers when the next one begins at the latest. */
  async #round(): Promise<number> {
    try {
      const { mine, copied } = (await this.#thread.round()) as CheckpointRound;
      this.#mine = mine;
      if (!mine) return turnMs;
      return copied >= bytesEach ? busyMs : idleMs;
    } catch {
      // The log grows until a later round succeeds; past its limit writers refuse and say so.
      this.#mine = false;
      return turnMs;
    }
  }
}
