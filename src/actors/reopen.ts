// Reopens what a predecessor left open: every such conversation is activated once, finishes its projections, closes when idle.
// Run once after partitions were claimed, at start and at each take-over; keeps "closed = exact" across crashes (open or closed).
import type { Clock } from "../lib/clock";
import { partitionOf } from "../lib/hash";
import type { ConversationId } from "../protocol/ids";
import type { Store } from "../storage/store";
import type { Router } from "./actor";
import type { ConversationTell } from "./messages";

/** Conversations being activated at once: activations of people who wait go before. */
export const reopenInFlightMax = 32;
/** Conversations asked of the store at once. */
const pageMax = 256;
/** How often those in flight are looked at. */
const lookMs = 10;
/** How long one activation may take before another is begun in its place. */
const settleMsMax = 5000;
/** Pause before the next pass where something failed: doubled each time, up to the last. */
const backOffMs = { first: 1000, last: 60_000 } as const;

/** What reopening works with, and how it is ended early. */
export interface ReopenOptions {
  readonly router: Pick<Router, "tell" | "peek" | "recentlyActive">;
  readonly store: Pick<Store, "listOpen">;
  readonly clock: Clock;
  /** Those to look through, asked anew before each step: what was lost meanwhile is another's to reopen. */
  readonly partitions: () => readonly number[];
  /** Ends it early; what is still open is reopened by the next start, or by whoever asks for it. */
  readonly signal: AbortSignal;
  /** The store did not answer, or `failed` conversations could not be activated; goes on after `retryMs`. */
  readonly onDelay: (failed: number, retryMs: number, error: unknown) => void;
}

/**
 * Resolves with the number of conversations activated, once a pass over all open ones found every one of them active; or
 * early, when aborted. Never rejects: while the store is away it waits and goes on where it was.
 */
export async function reopenAll(options: ReopenOptions): Promise<number> {
  const { signal, clock, onDelay } = options;
  let reopened = 0;
  let retryMs: number = backOffMs.first;
  const delay = async (failed: number, error: unknown): Promise<void> => {
    onDelay(failed, retryMs, error);
    await pause(clock, retryMs, signal);
    retryMs = Math.min(retryMs * 2, backOffMs.last);
  };
  while (!signal.aborted) {
    const pass = await reopenPass(options, (error) => delay(0, error));
    reopened += pass.reopened;
    if (pass.failed === 0) break;
    await delay(pass.failed, null);
  }
  return reopened;
}

/** What one pass over the open conversations did. */
interface Pass {
  readonly reopened: number;
  readonly failed: number;
}

async function reopenPass(options: ReopenOptions, delay: (error: unknown) => Promise<void>): Promise<Pass> {
  const { store, partitions, signal } = options;
  const flight = new Flight(options);
  let after: ConversationId | null = null;
  while (!signal.aborted) {
    const ours = partitions();
    if (ours.length === 0) break;
    let page: readonly ConversationId[];
    try {
      page = await store.listOpen(ours, after, pageMax);
    } catch (error) {
      await delay(error);
      continue;
    }
    for (const conversation of page) await flight.add(conversation);
    after = page.at(-1) ?? null;
    if (page.length < pageMax) break;
  }
  await flight.settle();
  return flight;
}

/** The conversations that were told and are not seen active yet. */
class Flight implements Pass {
  reopened = 0;
  failed = 0;
  readonly #options: ReopenOptions;
  /** When each was told, monotonic milliseconds. */
  readonly #toldAt = new Map<ConversationId, number>();

  constructor(options: ReopenOptions) {
    this.#options = options;
  }

  /** Tells it, once there is room. One that is active already needs no telling. */
  async add(conversation: ConversationId): Promise<void> {
    while (this.#toldAt.size >= reopenInFlightMax) await this.#look();
    if (this.#options.signal.aborted || !this.#isOurs(conversation) || this.#seenActive(conversation)) return;
    this.#toldAt.set(conversation, this.#options.clock.monotonic());
    const reopen: ConversationTell = { op: "reopen" };
    this.#options.router.tell("conversation", conversation, reopen);
  }

  async settle(): Promise<void> {
    while (this.#toldAt.size > 0) await this.#look();
  }

  async #look(): Promise<void> {
    const { clock, signal } = this.#options;
    await pause(clock, lookMs, signal);
    for (const [conversation, toldAt] of this.#toldAt) {
      const active = this.#seenActive(conversation);
      if (active) this.reopened += 1;
      else if (!this.#isOurs(conversation)) this.#toldAt.delete(conversation);
      else if (signal.aborted || clock.monotonic() - toldAt >= settleMsMax) this.failed += 1;
      else continue;
      this.#toldAt.delete(conversation);
    }
  }

  #isOurs(conversation: ConversationId): boolean {
    return this.#options.partitions().includes(partitionOf("conversation", conversation));
  }

  #seenActive(conversation: ConversationId): boolean {
    const { router } = this.#options;
    return router.peek("conversation", conversation) !== null || router.recentlyActive("conversation", conversation);
  }
}

/** Resolves after `ms`, or as soon as `signal` is aborted. */
function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) return Promise.resolve();
  const cancel = clock.after(ms, resolve);
  const abort = (): void => {
    cancel();
    resolve();
  };
  signal.addEventListener("abort", abort, { once: true });
  return promise.finally(() => signal.removeEventListener("abort", abort));
}
