// Conversations whose activation ended because nobody knew what the store held: perhaps entries are durable that no socket has
// seen. Each is activated again until it has published what it missed (the crash table's "after the commit, before fan-out").
import type { Clock } from "../lib/clock";
import type { ConversationId, Seq } from "../protocol/ids";

const retryMs = 500;

export class LostActivations {
  readonly #clock: Clock;
  readonly #reopen: (conversation: ConversationId) => void;
  /** The last seq that was published, by conversation. */
  readonly #published = new Map<ConversationId, Seq>();

  constructor(clock: Clock, reopen: (conversation: ConversationId) => void) {
    this.#clock = clock;
    this.#reopen = reopen;
  }

  /** Notes an activation that ends, and has the next one started, again and again until it took over. */
  lost(conversation: ConversationId, published: Seq): void {
    if (this.#published.has(conversation)) return;
    this.#published.set(conversation, published);
    this.#start(conversation);
  }

  /** The last published seq where entries behind it may be unpublished, once; null otherwise. */
  take(conversation: ConversationId): Seq | null {
    const published = this.#published.get(conversation) ?? null;
    this.#published.delete(conversation);
    return published;
  }

  #start(conversation: ConversationId): void {
    if (!this.#published.has(conversation)) return;
    this.#reopen(conversation);
    this.#clock.after(retryMs, () => this.#start(conversation));
  }
}
