// Copies what commits left in the write-ahead log into the database file, in a thread of its own, while commits go on.
// Only a matter of speed and size: the writing thread does it itself when the log grows past its limit (sqlite-writer.ts).
import type { Cancel, Clock } from "../lib/clock";
import { CheckpointThread } from "./sqlite-checkpoint-thread";

/** Committed bytes after which a checkpoint begins at once. */
const bytesEach = 1024 * 1024;
/** A checkpoint begins this long after the first commit it has to copy, milliseconds, so that the log is short at a crash. */
const lateMs = 1000;

/** One at a time. */
export class Checkpoints {
  readonly #thread: CheckpointThread;
  readonly #clock: Clock;
  #bytes = 0;
  #running: Promise<void> | null = null;
  #timer: Cancel | null = null;
  #closed = false;

  constructor(file: string, clock: Clock) {
    this.#thread = new CheckpointThread({ file, sharing: null });
    this.#clock = clock;
  }

  /** Called after every commit with the bytes handed over for it. */
  committed(bytes: number): void {
    this.#bytes += bytes;
    if (this.#running || this.#closed) return;
    if (this.#bytes >= bytesEach) this.#begin();
    else this.#timer ??= this.#clock.after(lateMs, () => this.#begin());
  }

  /** Ends the thread once a checkpoint under way is done. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.();
    await this.#running;
    await this.#thread.close();
  }

  #begin(): void {
    this.#timer?.();
    this.#timer = null;
    this.#bytes = 0;
    this.#running = this.#run().finally(() => {
      this.#running = null;
      if (this.#bytes > 0) this.committed(0);
    });
  }

  async #run(): Promise<void> {
    try {
      await this.#thread.round();
    } catch {
      // The log grows until a later one succeeds, or the writer meets the same trouble and reports it.
    }
  }
}
