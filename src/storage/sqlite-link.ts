// The main thread's end of one worker: requests with ids, answers, and what becomes of them when the worker dies.
import { failpointSpec } from "../lib/failpoints";
import { StartupError } from "./sqlite-errors";
import { unpackBatch } from "./sqlite-packing";
import type { StoreFile, WorkerAnswer, WorkerStart } from "./sqlite-messages";

/** The worker answered that it could not; nothing is known to be wrong with the worker itself. */
export class WorkerFailure extends Error {
  override readonly name = "WorkerFailure";
}

/** The worker died: what it was asked is perhaps done. */
export class WorkerDied extends Error {
  override readonly name = "WorkerDied";
}

interface Pending {
  resolve(answer: Uint8Array): void;
  reject(error: Error): void;
}

/** How long a worker that reported an error has to end by itself before it is taken for dead, milliseconds. */
const endWaitMs = 1000;

/** One living worker; never respawns by itself. */
export class WorkerLink {
  /** Settles when the worker has ended, whether asked to or not. */
  readonly ended: Promise<void>;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  readonly #end: () => void;
  #lastId = 0;
  #alive = true;

  private constructor(worker: Worker) {
    this.#worker = worker;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#end = resolve;
    worker.addEventListener("message", ({ data }: MessageEvent<WorkerAnswer>) => this.#answered(data));
    worker.addEventListener("close", () => this.#died());
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.terminate();
    });
  }

  /** Starts a worker and waits until it is ready. Rejects with a {@link StartupError} that says the fix. */
  static async start(role: WorkerStart["role"], file: StoreFile): Promise<{ link: WorkerLink; started: unknown }> {
    const worker = new Worker(new URL("./sqlite-worker.ts", import.meta.url).href, { name: `parley-${role}` });
    const link = new WorkerLink(worker);
    try {
      const started = await link.#send(0, { role, ...file, failpoints: failpointSpec() } satisfies WorkerStart);
      return { link, started: unpackBatch(started) };
    } catch (error) {
      link.terminate();
      const reason = error instanceof Error ? error.message : String(error);
      throw new StartupError(reason, { cause: error });
    }
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Rejects with {@link WorkerFailure} or {@link WorkerDied}. Buffers in `transfer` are handed over. */
  ask(operation: string, argument: unknown, transfer: ArrayBuffer[] = []): Promise<Uint8Array> {
    this.#lastId++;
    return this.#send(this.#lastId, [this.#lastId, operation, argument], transfer);
  }

  /** Ends the worker without letting it finish; `ended` tells when it has. */
  terminate(): void {
    this.#worker.terminate();
    // Some ends are not announced; what is asked must not wait for ever.
    setTimeout(() => this.#died(), endWaitMs).unref();
  }

  #send(id: number, message: unknown, transfer: ArrayBuffer[] = []): Promise<Uint8Array> {
    if (!this.#alive) return Promise.reject(new WorkerDied("the store's worker is not running"));
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage(message, transfer);
    });
  }

  #answered([id, answer, failure]: WorkerAnswer): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (answer) pending?.resolve(answer);
    else pending?.reject(new WorkerFailure(failure ?? "no reason given"));
  }

  #died(): void {
    if (!this.#alive) return;
    this.#alive = false;
    const lost = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of lost) reject(new WorkerDied("the store's worker died"));
    this.#end();
  }
}
