// Writes behind: changes gather for a moment and go to the storage in one piece, in order, the newest value of each key.
// Owned by Outbox (at once) and Cache (with a delay). A failing storage is reported and tried again; nothing else stops.
import type { ClientClock } from "./clock";
import type { ClientStorage, StorageChange } from "./storage";

const retryMs = 5_000;

/** Gathers changes and writes them in one piece. A value is made when it is written, so many changes cost one. */
export class Journal {
  readonly #storage: ClientStorage;
  readonly #clock: ClientClock;
  readonly #delayMs: number;
  readonly #report: (error: unknown) => void;
  /** What is to be written: the value, made when it is written. */
  #changes = new Map<string, () => unknown>();
  #writing: Promise<void> = Promise.resolve();
  #cancel: (() => void) | null = null;

  constructor(storage: ClientStorage, clock: ClientClock, delayMs: number, report: (error: unknown) => void) {
    this.#storage = storage;
    this.#clock = clock;
    this.#delayMs = delayMs;
    this.#report = report;
  }

  /** Keeps `value()` under `key`; undefined removes it. It is called when the write begins. */
  put(key: string, value: () => unknown): void {
    this.#changes.set(key, value);
    this.#cancel ??= this.#clock.after(this.#delayMs, () => void this.flush().catch(() => {}));
  }

  /** Resolves once everything put so far is stored; rejects with what the storage said. */
  flush(): Promise<void> {
    this.#cancel?.();
    this.#cancel = null;
    this.#writing = this.#writing.catch(() => {}).then(() => this.#write());
    return this.#writing;
  }

  /** Forgets what is not written yet, and waits for what is being written. */
  async drop(): Promise<void> {
    this.#changes.clear();
    await this.flush().catch(() => {});
  }

  async #write(): Promise<void> {
    if (this.#changes.size === 0) return;
    const changes = this.#changes;
    this.#changes = new Map();
    try {
      await this.#storage.write([...changes].map(([key, value]): StorageChange => [key, value()]));
    } catch (error) {
      this.#report(error);
      for (const [key, value] of changes) if (!this.#changes.has(key)) this.#changes.set(key, value);
      this.#cancel ??= this.#clock.after(retryMs, () => void this.flush().catch(() => {}));
      throw error;
    }
  }
}
