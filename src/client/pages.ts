// Older messages and others' read marks, fetched for who looks at a conversation. Owned by the client.
import { limits } from "../protocol/limits";
import type { OperationName, Results } from "../protocol/operations";
import type { Conversation } from "./conversation";
import { ClientError } from "./errors";
import type { Events } from "./events";

/** What fetching pages needs of the client. */
export interface PagesSetup {
  readonly events: Events;
  isOnline(): boolean;
  ask<N extends Extract<OperationName, "history" | "readers">>(
    operation: N,
    args: readonly unknown[],
  ): Promise<Results[N]>;
}

/** Messages in a page. */
const pageSize = 50;
/** Pages without a message that are gone through at once. */
const emptyPagesMax = 20;

/** Fetches pages of messages and the read marks of others; never two pages of one conversation at once. */
export class Pages {
  readonly #setup: PagesSetup;
  readonly #loading = new Map<Conversation, Promise<void>>();
  /** Conversations whose read marks were asked for since the connection came up. */
  readonly #marked = new Set<Conversation>();

  constructor(setup: PagesSetup) {
    this.#setup = setup;
  }

  /** Loads what a screen needs that shows this conversation, if one does. */
  serve(conversation: Conversation): void {
    if (!conversation.state.isWatched || !conversation.isMember || !this.#setup.isOnline()) return;
    if (conversation.count === 0 && conversation.hasBefore) this.#quietly(this.before(conversation));
    if (this.#marked.has(conversation) || conversation.headSeq === 0) return;
    if (conversation.memberCount > limits.receiptMembersMax) return;
    this.#marked.add(conversation);
    this.#quietly(this.#marks(conversation));
  }

  /** The connection is gone: marks may have moved unseen. */
  end(): void {
    this.#marked.clear();
  }

  /** Loads the page before the oldest message held. One at a time for each conversation. */
  before(conversation: Conversation): Promise<void> {
    const present = this.#loading.get(conversation);
    if (present) return present;
    const loading = this.#load(conversation).finally(() => {
      this.#loading.delete(conversation);
      conversation.setLoading(false);
    });
    this.#loading.set(conversation, loading);
    return loading;
  }

  /** A page without a message is not the end: it goes on, within bounds. */
  async #load(conversation: Conversation): Promise<void> {
    if (conversation.lastSeq === null) throw new ClientError(this.#setup.isOnline() ? "no_access" : "offline");
    const { count, windowLife } = conversation;
    for (let page = 0; page < emptyPagesMax && conversation.hasBefore; page++) {
      conversation.setLoading(true);
      await this.#page(conversation);
      if (conversation.count !== count || conversation.windowLife !== windowLife) return;
    }
  }

  async #page(conversation: Conversation): Promise<void> {
    const { lastSeq, first, windowLife } = conversation;
    const args = [conversation.id, "before", first, pageSize, lastSeq];
    const page = await this.#setup.ask("history", args);
    if (page[1] && page[3] >= first) throw new ClientError("bad_answer", "unknown", "a page that does not go back");
    conversation.addPage(page, windowLife);
  }

  async #marks(conversation: Conversation): Promise<void> {
    const [marks] = await this.#setup.ask("readers", [conversation.id, 1, null, limits.receiptMembersMax]);
    conversation.ephemera.moveCursors(marks);
  }

  /** Nobody waits for it: what goes wrong is reported, unless it was to be expected. */
  #quietly(work: Promise<void>): void {
    const expected = new Set(["no_access", "not_supported"]);
    work.catch((error: unknown) => {
      if (!(error instanceof ClientError && expected.has(error.code))) this.#setup.events.report(error);
    });
  }
}
