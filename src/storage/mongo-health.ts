// Whether writes go through at present, and how long one is repeated until its outcome is known (G1, G11).
// Owned by the MongoDB store. A write is repeated only in a form that a second application does not change.
import type { Cancel, Clock } from "../lib/clock";
import { AppError } from "../lib/errors";
import { within } from "./deadline";
import { type Failure, failureOf, isOfDriver, reasonOf } from "./mongo-failures";

/** How often it is tried whether writes go through again, milliseconds. */
const probeEveryMs = 250;
/** Waits between attempts of one write, milliseconds: doubled each time, up to the last. */
const pauseFirstMs = 20;
const pauseLastMs = 500;

/** What became of a write that was repeated until its outcome was known, or its time was over. */
export type Decided<T> =
  | { readonly decided: true; readonly value: T }
  /** `certain`: nothing of it was applied, nor will be. */
  | { readonly decided: false; readonly certain: boolean; readonly reason: string };

/** One attempt says here that something of it was applied, whatever fails afterwards. */
export interface Attempt {
  landed(): void;
}

/** What the health works with. */
export interface HealthOptions {
  readonly clock: Clock;
  /** How long a write is repeated, milliseconds. */
  readonly decideMs: number;
  /** Writes something durably. Rejects with the driver's error where writes do not go through. */
  readonly probe: () => Promise<void>;
  readonly onHealth: (writable: boolean, reason: string | null) => void;
}

/** See the head of this file. While writes do not go through it probes; {@link MongoHealth.close} ends that. */
export class MongoHealth {
  readonly #options: HealthOptions;
  #reason: string | null = null;
  #timer: Cancel | null = null;
  #closed = false;
  #suspected = false;

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  /** Why writes do not go through at present; null while they do. */
  get reason(): string | null {
    return this.#reason;
  }

  /**
   * Repeats `run` until it answers, its failure is a lasting one, or `decideMs` are over. @param single as in {@link failureOf}
   * Throws what is no error of the driver.
   */
  async decide<T>(single: boolean, run: (attempt: Attempt) => Promise<T>): Promise<Decided<T>> {
    const { clock, decideMs } = this.#options;
    const deadline = clock.monotonic() + decideMs;
    let certain = true;
    const attempt: Attempt = { landed: () => (certain = false) };
    for (let tries = 1, pauseMs = pauseFirstMs; ; tries++, pauseMs = Math.min(pauseMs * 2, pauseLastMs)) {
      const result = await this.#try(single, run, attempt);
      if (result.ok) return { decided: true, value: result.value };
      const { failure } = result;
      certain &&= failure.certain;
      // Once lost is a connection; twice is the database.
      if (tries > 1 || failure.lasting) this.failed(failure.reason);
      const over = clock.monotonic() + pauseMs >= deadline;
      // What is certainly undone need not wait for a database that others have found away.
      if (failure.lasting || over || this.#closed || (certain && this.#reason !== null)) {
        return { decided: false, certain, reason: failure.reason };
      }
      await this.#pause(pauseMs * (0.5 + Math.random() / 2));
    }
  }

  /** Notes that writes do not go through; a probe finds out when they do again. */
  failed(reason: string): void {
    if (this.#closed || this.#reason === reason) return;
    const news = this.#reason === null;
    this.#reason = reason;
    if (!news) return;
    this.#options.onHealth(false, reason);
    this.#probeLater();
  }

  /** Where a read failed: tries whether writes do as well, though nobody writes just now. One trial at a time. */
  suspect(): void {
    if (this.#closed || this.#suspected || this.#reason !== null) return;
    this.#suspected = true;
    void this.#confirm();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.();
  }

  async #try<T>(single: boolean, run: (attempt: Attempt) => Promise<T>, attempt: Attempt): Promise<Tried<T>> {
    try {
      return { ok: true, value: await run(attempt) };
    } catch (error) {
      return { ok: false, failure: failureOf(error, single) };
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#options.clock.after(ms, resolve));
  }

  async #confirm(): Promise<void> {
    try {
      await this.#probeInTime();
    } catch (error) {
      this.failed(reasonOf(error));
      throwFault(error);
    } finally {
      this.#suspected = false;
    }
  }

  /** One that is never answered is one that failed. */
  #probeInTime(): Promise<void> {
    const { clock, decideMs, probe } = this.#options;
    return within(clock, decideMs, probe(), "the database does not answer");
  }

  #probeLater(): void {
    if (!this.#closed) this.#timer = this.#options.clock.after(probeEveryMs, () => void this.#probe());
  }

  async #probe(): Promise<void> {
    try {
      await this.#probeInTime();
    } catch (error) {
      // Before anything else: whatever it was, writes are tried again.
      this.#probeLater();
      throwFault(error);
      return;
    }
    if (this.#closed) return;
    this.#reason = null;
    this.#options.onHealth(true, null);
  }
}

/** Throws what neither the driver nor the deadline said. */
function throwFault(error: unknown): void {
  if (!isOfDriver(error) && !(error instanceof AppError)) throw error;
}

type Tried<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure: Failure };
