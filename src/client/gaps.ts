// Closes gaps: fetches the entries between a conversation's position and what is known to exist. Owned by the client.
import type { Results } from "../protocol/operations";
import { limits } from "../protocol/limits";
import { Backoff } from "./backoff";
import type { ClientClock } from "./clock";
import type { Conversation } from "./conversation";
import { toClientError } from "./errors";
import type { Events } from "./events";

/** What closing gaps needs of the client. */
export interface GapsSetup {
  readonly clock: ClientClock;
  readonly random: () => number;
  readonly events: Events;
  readonly resumeEntriesMax: number;
  isOnline(): boolean;
  entries(args: readonly unknown[]): Promise<Results["entries"]>;
  /** Too much is missing: its row is asked for anew, and delivery starts at the head that it tells. */
  refresh(conversation: Conversation): Promise<void>;
}

/** An acknowledged message whose entry has not come by then is fetched. */
const ackedMs = 2_000;

/** Fetches what is missing, one page at a time for each conversation, with back-off where nothing is gained. */
export class Gaps {
  readonly #setup: GapsSetup;
  readonly #busy = new Set<Conversation>();
  /** Tries that failed and wait for the next one. */
  readonly #waiting = new Map<Conversation, () => void>();
  /** Of conversations whose last try failed. */
  readonly #backoffs = new Map<Conversation, Backoff>();
  /** Acknowledged messages whose entries should come by themselves. */
  readonly #expected = new Map<Conversation, () => void>();

  constructor(setup: GapsSetup) {
    this.#setup = setup;
  }

  /** Closes the gap of a conversation, if it has one. */
  close(conversation: Conversation): void {
    if (conversation.missing === 0 || this.#busy.has(conversation) || this.#waiting.has(conversation)) return;
    if (!this.#setup.isOnline()) return;
    this.#busy.add(conversation);
    void this.#fetch(conversation);
  }

  /** Its entries should come by themselves; if they do not, they are fetched. */
  expect(conversation: Conversation): void {
    if (conversation.missing > 0 && !this.#busy.has(conversation)) this.#later(this.#expected, conversation, ackedMs);
  }

  /** The connection is gone: sync will tell what is missing. */
  end(): void {
    for (const timers of [this.#waiting, this.#expected]) {
      for (const cancel of timers.values()) cancel();
      timers.clear();
    }
    this.#backoffs.clear();
  }

  async #fetch(conversation: Conversation): Promise<void> {
    const backoff = this.#backoffs.get(conversation) ?? new Backoff(this.#setup.random, 200, 10_000);
    let wait: number | null = null;
    try {
      while (wait === null && conversation.missing > 0) {
        const progress = await this.#page(conversation);
        if (progress) backoff.reset();
        else wait = backoff.next(200);
      }
    } catch (thrown) {
      const error = toClientError(thrown);
      if (error.code === "no_access") conversation.leave();
      else if (this.#setup.isOnline()) {
        this.#setup.events.report(error);
        wait = backoff.next(error.retryAfterMs ?? 1_000);
      }
    }
    this.#busy.delete(conversation);
    this.#backoffs.delete(conversation);
    if (wait === null || !this.#setup.isOnline()) return;
    this.#backoffs.set(conversation, backoff);
    this.#later(this.#waiting, conversation, wait);
  }

  /** Answers whether anything was gained. */
  async #page(conversation: Conversation): Promise<boolean> {
    const before = conversation.lastSeq ?? 0;
    if (conversation.missing > this.#setup.resumeEntriesMax) {
      await this.#setup.refresh(conversation);
    } else {
      const [entries, head, floor] = await this.#setup.entries([conversation.id, before + 1, limits.pageMax]);
      conversation.raiseFloor(floor);
      conversation.note(head);
      conversation.offer(entries, "fetched");
    }
    return (conversation.lastSeq ?? 0) > before;
  }

  #later(timers: Map<Conversation, () => void>, conversation: Conversation, ms: number): void {
    if (timers.has(conversation)) return;
    const cancel = this.#setup.clock.after(ms, () => {
      timers.delete(conversation);
      this.close(conversation);
    });
    timers.set(conversation, cancel);
  }
}
