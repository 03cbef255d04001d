// Group commit: one commit in flight, everything that queues meanwhile becomes the next one; health and recovery of writes.
// Owned by SqliteStore. Keeps G1 (an outcome is told only once it is decided) and G11 (the queue is bounded).
import type { Cancel, Clock } from "../lib/clock";
import { WorkerDied, WorkerLink } from "./sqlite-link";
import type { StoreFile } from "./sqlite-messages";
import { packBatch, type PackedOutcome, type PackedWrite, unpackBatch } from "./sqlite-packing";
import type { BatchResult } from "./sqlite-writer";

/** Most rows and bytes in one commit: a larger one gains nothing and makes everybody wait longer. */
const commitRowsMax = 2048;
const commitBytesMax = 8 * 1024 * 1024;
/** Most bytes that wait for a commit; past it writes are refused. */
const queueBytesMax = 64 * 1024 * 1024;
/**
 * After a commit that had to wait for another process, the next one gathers for this long, milliseconds, unless that one held so much, or so much waits:
 * several processes that commit by turns, little each time, would spend their time waiting for each other.
 */
const gather = { ms: 8, writes: 64 } as const;
/** How often it is tried whether writes go through again, milliseconds. */
const probeEveryMs = 250;
/** Waits between attempts to start a dead writer again, milliseconds. */
const respawnFirstMs = 10;
const respawnLastMs = 5000;

interface Waiting {
  readonly write: PackedWrite;
  readonly rows: number;
  readonly bytes: number;
  resolve(outcome: PackedOutcome): void;
}

/** What the commits tell; all optional, none may throw. */
export interface CommitObserver {
  /** A commit ended: rows of entries, writes that shared it, bytes, milliseconds from hand-over to answer. */
  commit?(rows: number, writes: number, bytes: number, ms: number): void;
  /** Whether writes go through changed. */
  health?(writable: boolean, reason: string | null): void;
}

/** Owns the writing thread. Outcomes come in the order of the writes; one commit is in flight at a time. */
export class CommitQueue {
  readonly #file: StoreFile;
  readonly #clock: Clock;
  readonly #observer: CommitObserver;
  #link: WorkerLink;
  #queue: Waiting[] = [];
  #queuedBytes = 0;
  #inFlight: readonly Waiting[] | null = null;
  #scheduled = false;
  #reason: string | null = null;
  #timer: Cancel | null = null;
  #respawnMs = respawnFirstMs;
  /** Pending while a transaction of a dead writer may be under way. */
  #undecided: PromiseWithResolvers<void> | null = null;
  #onIdle: (() => void) | null = null;
  #closed = false;

  /** @param link a writer that has started */
  constructor(link: WorkerLink, file: StoreFile, clock: Clock, observer: CommitObserver) {
    this.#link = link;
    this.#file = file;
    this.#clock = clock;
    this.#observer = observer;
    this.#watch(link);
  }

  /** Why writes do not go through at present; null while they do. */
  get reason(): string | null {
    return this.#reason;
  }

  /** Settles once no transaction of a dead writer can be under way any more: only then what was unknown can be read. Null: none is. */
  get decided(): Promise<void> | null {
    return this.#undecided?.promise ?? null;
  }

  /** Queues one write. The outcome is a value, always; the promise never rejects. */
  add(write: PackedWrite, rows: number, bytes: number): Promise<PackedOutcome> {
    const refusal = this.#refusal(bytes);
    if (refusal !== null) return Promise.resolve({ outcome: "refused", reason: refusal });
    return new Promise((resolve) => {
      this.#queue.push({ write, rows, bytes, resolve });
      this.#queuedBytes += bytes;
      this.#schedule();
    });
  }

  /** A request to the writer beside the commits. Rejects as {@link WorkerLink.ask}. */
  ask(operation: string, argument: unknown): Promise<Uint8Array> {
    return this.#link.ask(operation, argument);
  }

  /** Takes no more, finishes what waits, closes the connection and ends the thread. */
  async close(): Promise<void> {
    if (this.#closed) return this.#link.ended;
    this.#closed = true;
    this.#flush();
    if (this.#inFlight || this.#queue.length > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    this.#timer?.();
    try {
      await this.#link.ask("close", null);
    } catch (error) {
      if (!(error instanceof WorkerDied)) throw error;
    } finally {
      this.#link.terminate();
    }
    await this.#link.ended;
  }

  #refusal(bytes: number): string | null {
    if (this.#closed) return "the store is closed";
    if (this.#reason !== null) return this.#reason;
    return this.#queuedBytes + bytes > queueBytesMax ? "too many writes wait for the disk" : null;
  }

  /** The first write of an idle store waits for the end of the turn, so that the writes of a turn share a commit. */
  #schedule(): void {
    if (this.#scheduled || this.#inFlight) return;
    this.#scheduled = true;
    this.#clock.endOfTurn(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  /** Whether the next commit, as the last one, is worth waiting for more. */
  #isLittle(rows: number, batch: readonly Waiting[]): boolean {
    return !this.#closed && Math.max(rows, batch.length, this.#queue.length) < gather.writes;
  }

  #gather(): void {
    this.#scheduled = true;
    this.#clock.after(gather.ms, () => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#inFlight || !this.#link.alive) return;
    const batch = this.#take();
    if (batch.length === 0) {
      this.#onIdle?.();
      return;
    }
    this.#inFlight = batch;
    void this.#commit(batch);
  }

  #take(): readonly Waiting[] {
    let rows = 0;
    let bytes = 0;
    let count = 0;
    for (const waiting of this.#queue) {
      if (count > 0 && (rows + waiting.rows > commitRowsMax || bytes + waiting.bytes > commitBytesMax)) break;
      rows += waiting.rows;
      bytes += waiting.bytes;
      count++;
    }
    this.#queuedBytes -= bytes;
    if (count === this.#queue.length) {
      const all = this.#queue;
      this.#queue = [];
      return all;
    }
    return this.#queue.splice(0, count);
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    const start = this.#clock.monotonic();
    const packed = packBatch(batch.map(({ write }) => write));
    const size = packed.length;
    const result = await this.#result(batch, packed);
    const rows = batch.reduce((sum, each) => sum + each.rows, 0);
    this.#observer.commit?.(rows, batch.length, size, this.#clock.monotonic() - start);
    this.#inFlight = null;
    // The next commit leaves first: the disk works while this one's outcomes are dealt with.
    if (result.failure === null && result.hadToWait && this.#isLittle(rows, batch)) this.#gather();
    else if (result.failure === null) this.#flush();
    else this.#fail(result.failure);
    for (const [at, { resolve }] of batch.entries()) resolve(result.outcomes[at] ?? lost);
  }

  async #result(batch: readonly Waiting[], packed: Uint8Array<ArrayBuffer>): Promise<BatchResult> {
    try {
      return unpackBatch(await this.#link.ask("commit", packed, [packed.buffer])) as BatchResult;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      // Before anybody learns of it: what they reload must wait until a new writer has held the write lock.
      if (error instanceof WorkerDied) this.#undecided ??= Promise.withResolvers();
      return { outcomes: batch.map(() => ({ outcome: "unknown", reason })), failure: reason, hadToWait: false };
    }
  }

  /** Writes do not go through: what waits is refused, and a probe finds out when they do again. */
  #fail(reason: string): void {
    const refused = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#setReason(reason);
    for (const { resolve } of refused) resolve({ outcome: "refused", reason });
    this.#onIdle?.();
    if (this.#link.alive) this.#probeLater();
  }

  #setReason(reason: string | null): void {
    if (this.#reason === reason) return;
    this.#reason = reason;
    this.#observer.health?.(reason === null, reason);
  }

  #probeLater(): void {
    if (this.#closed) return;
    this.#timer?.();
    this.#timer = this.#clock.after(probeEveryMs, () => void this.#probe());
  }

  async #probe(): Promise<void> {
    try {
      const reason = unpackBatch(await this.#link.ask("probe", null)) as string | null;
      if (reason === null) this.#recovered();
      else this.#setReason(reason);
      if (reason !== null) this.#probeLater();
    } catch (error) {
      // A dead worker is respawned by its watcher, which probes again.
      if (!(error instanceof WorkerDied)) this.#probeLater();
    }
  }

  #recovered(): void {
    this.#undecided?.resolve();
    this.#undecided = null;
    this.#respawnMs = respawnFirstMs;
    this.#setReason(null);
    this.#schedule();
  }

  #watch(link: WorkerLink): void {
    void link.ended.then(() => {
      if (this.#closed) return;
      this.#undecided ??= Promise.withResolvers();
      if (this.#reason === null) this.#fail("the store's writing thread died; it is being started again");
      this.#respawnLater();
    });
  }

  #respawnLater(): void {
    this.#timer?.();
    this.#timer = this.#clock.after(this.#respawnMs, () => void this.#respawn());
    this.#respawnMs = Math.min(this.#respawnMs * 2, respawnLastMs);
  }

  async #respawn(): Promise<void> {
    try {
      const { link } = await WorkerLink.start("writer", this.#file);
      if (this.#closed) {
        link.terminate();
        return;
      }
      this.#link = link;
      this.#watch(link);
      await this.#probe();
    } catch (error) {
      this.#setReason(error instanceof Error ? error.message : String(error));
      if (!this.#closed) this.#respawnLater();
    }
  }
}

const lost: PackedOutcome = { outcome: "unknown", reason: "the writer did not say" };
