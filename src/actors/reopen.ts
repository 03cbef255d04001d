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

/** One that was told. */
interface Told {
  /** Monotonic milliseconds. */
  readonly at: number;
  /** An activation of it had ended here shortly before: that one's end says nothing about the next. */
  readonly wasRecent: boolean;
}

/** The conversations that were told and are not seen active yet. */
class Flight implements Pass {
  reopened = 0;
  failed = 0;
  readonly #options: ReopenOptions;
  readonly #told = new Map<ConversationId, Told>();

  constructor(options: ReopenOptions) {
    this.#options = options;
  }

  /**
   * Tells it, once there is room. One that is active already needs no telling; one that was, lately, may have been left open as
   * its partition was lost, and the partition is back.
   */
  async add(conversation: ConversationId): Promise<void> {
    while (this.#told.size >= reopenInFlightMax) await this.#look();
    const { router, clock, signal } = this.#options;
    if (signal.aborted || !this.#isOurs(conversation) || router.peek("conversation", conversation) !== null) return;
    const wasRecent = router.recentlyActive("conversation", conversation);
    this.#told.set(conversation, { at: clock.monotonic(), wasRecent });
    const reopen: ConversationTell = { op: "reopen" };
    router.tell("conversation", conversation, reopen);
  }

  async settle(): Promise<void> {
    while (this.#told.size > 0) await this.#look();
  }

  async #look(): Promise<void> {
    const { clock, signal } = this.#options;
    await pause(clock, lookMs, signal);
    for (const [conversation, { at, wasRecent }] of this.#told) {
      const active = this.#seenActive(conversation, wasRecent);
      if (active) this.reopened += 1;
      else if (!this.#isOurs(conversation)) this.#told.delete(conversation);
      else if (signal.aborted || clock.monotonic() - at >= settleMsMax) this.failed += 1;
      else continue;
      this.#told.delete(conversation);
    }
  }

  #isOurs(conversation: ConversationId): boolean {
    return this.#options.partitions().includes(partitionOf("conversation", conversation));
  }

  #seenActive(conversation: ConversationId, wasRecent: boolean): boolean {
    const { router } = this.#options;
    if (router.peek("conversation", conversation) !== null) return true;
    return !wasRecent && router.recentlyActive("conversation", conversation);
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
