// The thread that folds the write-ahead log in, as those who decide when see it. A thread that died is started again by the next round.
import { WorkerLink } from "./sqlite-link";
import type { StoreFile } from "./sqlite-messages";
import { unpackBatch } from "./sqlite-packing";

/** One round at a time. */
export class CheckpointThread {
  readonly #file: StoreFile;
  #link: WorkerLink | null = null;

  constructor(file: StoreFile) {
    this.#file = file;
  }

  /** Answers what the thread does: a `CheckpointRound` where the file is shared. Rejects where it cannot start, dies, or fails at it. */
  async round(): Promise<unknown> {
    if (!this.#link?.alive) this.#link = (await WorkerLink.start("checkpointer", this.#file)).link;
    return unpackBatch(await this.#link.ask("checkpoint", null));
  }

  /** To be called when no round is under way. */
  async close(): Promise<void> {
    if (!this.#link) return;
    if (this.#link.alive) await this.#link.ask("close", null).catch(() => null);
    this.#link.terminate();
    await this.#link.ended;
  }
}
