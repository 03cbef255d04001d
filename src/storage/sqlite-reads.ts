// The main thread's side of reading: hands reads to the reading thread, starts it again when it dies.
import type { Cancel, Clock } from "../lib/clock";
import { AppError } from "../lib/errors";
import { within } from "./deadline";
import { WorkerFailure, WorkerLink } from "./sqlite-link";
import { answers } from "./sqlite-answers";
import { laneOf, lanes } from "./sqlite-lanes";
import type { LaneName } from "./sqlite-lanes";
import type { StoreFile } from "./sqlite-messages";
import { unpackBatch } from "./sqlite-packing";
import type { ReadAnswer, Reader, ReadName } from "./sqlite-reader";
import type { Store } from "./store";

/** Most reads that wait; past it they are rejected at once. */
const readsMax = 10_000;
/** How long an activation waits for a dead writer's transaction to be decided, milliseconds. */
const settleMs = 5000;
const respawnFirstMs = 10;
const respawnLastMs = 5000;

interface Waiting {
  readonly name: ReadName;
  readonly args: readonly unknown[];
  resolve(values: unknown): void;
  reject(error: Error): void;
}

interface Lane {
  readonly name: LaneName;
  queue: Waiting[];
  /** Hand-overs under way. */
  batches: number;
}

/** Owns the reading thread. Within a lane, answers come in the order asked. */
export class ReadLink {
  readonly #file: StoreFile;
  readonly #clock: Clock;
  readonly #observe: (name: string, ms: number) => void;
  #link: WorkerLink;
  #waiting = 0;
  readonly #lanes: Readonly<Record<LaneName, Lane>> = {
    short: { name: "short", queue: [], batches: 0 },
    long: { name: "long", queue: [], batches: 0 },
  };
  #scheduled = false;
  #respawnMs = respawnFirstMs;
  #timer: Cancel | null = null;
  #closed = false;

  /** @param link a reader that has started */
  constructor(link: WorkerLink, file: StoreFile, clock: Clock, observe: (name: string, ms: number) => void) {
    this.#link = link;
    this.#file = file;
    this.#clock = clock;
    this.#observe = observe;
    this.#watch(link);
  }

  /** Rejects with `store_unavailable` where the store cannot answer now. */
  async read<N extends ReadName>(name: N, args: Parameters<Reader[N]>): Promise<Awaited<ReturnType<Store[N]>>> {
    if (this.#closed) throw new AppError("store_unavailable", "the store is closed");
    if (this.#waiting >= readsMax) throw new AppError("store_unavailable", "too many reads wait for the disk");
    const start = this.#clock.monotonic();
    this.#waiting++;
    try {
      return answers[name]((await this.#ask(name, args)) as never);
    } catch (error) {
      throw new AppError("store_unavailable", undefined, { cause: error });
    } finally {
      this.#waiting--;
      this.#observe(name, this.#clock.monotonic() - start);
    }
  }

  /** The first read of an idle store leaves with the others of its event. */
  #ask(name: ReadName, args: readonly unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const lane = this.#lanes[laneOf(name, args)];
      lane.queue.push({ name, args, resolve, reject });
      if (this.#scheduled || lane.batches >= lanes[lane.name].batchesMax) return;
      this.#scheduled = true;
      queueMicrotask(() => {
        this.#scheduled = false;
        this.#pump(this.#lanes.short);
        this.#pump(this.#lanes.long);
      });
    });
  }

  #pump(lane: Lane): void {
    const { batchMax, batchesMax } = lanes[lane.name];
    while (lane.queue.length > 0 && lane.batches < batchesMax) {
      const batch = lane.queue.splice(0, batchMax);
      lane.batches++;
      void this.#run(lane, batch).finally(() => {
        lane.batches--;
        this.#pump(lane);
      });
    }
  }

  async #run(lane: Lane, batch: readonly Waiting[]): Promise<void> {
    try {
      const asked = batch.map(({ name, args }) => [name, args]);
      const answered = unpackBatch(await this.#link.ask("reads", asked)) as readonly ReadAnswer[];
      if (answered.length === 0) throw new WorkerFailure("the reader did not say");
      // What the reader left, because one before it took long, goes first with the next hand-over.
      lane.queue.unshift(...batch.slice(answered.length));
      answered.forEach(([failure, values], at) => {
        if (failure === null) batch[at]?.resolve(values);
        else batch[at]?.reject(new WorkerFailure(failure));
      });
    } catch (error) {
      for (const { reject } of batch) reject(error as Error);
    }
  }

  /** Waits for `decided`, but not for ever: rejects with `store_unavailable`. */
  async settled(decided: Promise<void>): Promise<void> {
    await within(this.#clock, settleMs, decided, "what an interrupted commit did is not known yet");
  }

  async close(): Promise<void> {
    if (this.#closed) return this.#link.ended;
    this.#closed = true;
    this.#timer?.();
    if (this.#link.alive) await this.#link.ask("close", null).catch(() => null);
    this.#link.terminate();
    await this.#link.ended;
  }

  #watch(link: WorkerLink): void {
    void link.ended.then(() => {
      if (!this.#closed) this.#respawnLater();
    });
  }

  #respawnLater(): void {
    this.#timer = this.#clock.after(this.#respawnMs, () => void this.#respawn());
    this.#respawnMs = Math.min(this.#respawnMs * 2, respawnLastMs);
  }

  async #respawn(): Promise<void> {
    try {
      const { link } = await WorkerLink.start("reader", this.#file);
      if (this.#closed) {
        link.terminate();
        return;
      }
      this.#link = link;
      this.#respawnMs = respawnFirstMs;
      this.#watch(link);
    } catch {
      // Reads say `store_unavailable` meanwhile; the next attempt waits longer.
      if (!this.#closed) this.#respawnLater();
    }
  }
}
