// Heads of conversations that were not active when their owner was asked: the store's where they are closed, else the owner's
// once it has opened them again. Owned by the registrar; asks on until each is known, a bounded number at a time.
import type { Clock } from "../lib/clock";
import type { ConversationId, Seq } from "../protocol/ids";
import type { EntriesHere } from "./interest-entries";
import type { InterestStore } from "./interest";
import type { InterestTable } from "./interest-table";

/** Heads in one read. */
const readMax = 1_000;
/** Between two rounds over those that are still open, milliseconds. */
const roundMs = 1_000;

/** What it is made of. */
export interface InterestHeadsOptions {
  readonly clock: Clock;
  readonly store: Pick<InterestStore, "readHeads">;
  readonly table: InterestTable;
  readonly entries: EntriesHere;
  /** Heads of those that are active at their owners now. Never rejects. */
  readonly look: (conversations: readonly ConversationId[]) => Promise<ReadonlyMap<ConversationId, Seq>>;
}

/** See the head of this file. Holds ids of conversations that are in the table. */
export class InterestHeads {
  readonly #options: InterestHeadsOptions;
  /** Not read since they were asked for. */
  #fresh = new Set<ConversationId>();
  /** Read, and open then: their owner knows more. */
  readonly #open = new Set<ConversationId>();
  #reading = false;
  #roundWaits = false;
  #stopped = false;

  constructor(options: InterestHeadsOptions) {
    this.#options = options;
  }

  /** Learns the heads of conversations that were just looked at and are not active. */
  read(conversations: readonly ConversationId[]): void {
    for (const conversation of conversations) this.#fresh.add(conversation);
    if (!this.#reading && !this.#stopped) void this.#readFresh();
  }

  /** Asks nothing any more. Idempotent. */
  stop(): void {
    this.#stopped = true;
    this.#fresh.clear();
    this.#open.clear();
  }

  async #readFresh(): Promise<void> {
    this.#reading = true;
    while (this.#fresh.size > 0) {
      const fresh = [...this.#fresh];
      this.#fresh = new Set();
      await this.#readAll(fresh);
    }
    this.#reading = false;
    if (this.#open.size === 0 || this.#roundWaits) return;
    this.#roundWaits = true;
    this.#options.clock.after(roundMs, () => {
      this.#roundWaits = false;
      void this.#lookAgain();
    });
  }

  async #lookAgain(): Promise<void> {
    const { table, look, entries } = this.#options;
    const open = [...this.#open].filter((conversation) => table.conversation(conversation) !== undefined);
    this.#open.clear();
    if (this.#stopped || open.length === 0) return;
    const heads = await look(open);
    for (const [conversation, head] of heads) entries.headKnown(conversation, head);
    this.read(open.filter((conversation) => !heads.has(conversation)));
  }

  async #readAll(conversations: readonly ConversationId[]): Promise<void> {
    const { store, entries } = this.#options;
    for (let at = 0; at < conversations.length && !this.#stopped; at += readMax) {
      const some = conversations.slice(at, at + readMax);
      const heads = await store.readHeads(some).catch(() => null);
      if (heads === null) for (const conversation of some) this.#open.add(conversation);
      for (const { conversation, seq, open } of heads ?? []) {
        // Of an open one it is a beginning.
        entries.headKnown(conversation, seq);
        if (open) this.#open.add(conversation);
      }
    }
  }
}
