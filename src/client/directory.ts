// All conversations that this client knows, and what is derived from them together: the list and the totals.
// Owned by the client.
import type { ConversationId } from "../protocol/ids";
import { Conversation } from "./conversation";
import type { ConversationWorld } from "./conversation-world";
import { Derived } from "./observable";
import type { ConversationRow, Totals } from "./types";

/** Conversations of which something was pushed before their row came; past it such pushes are dropped, and fetched later. */
const strangersMax = 200;

/** Conversations by id. They are made once and stay, so that a view of one holds for the client's life. */
export class Directory {
  readonly list: Derived<readonly ConversationRow[]>;
  readonly totals: Derived<Totals>;
  readonly #world: ConversationWorld;
  readonly #all = new Map<ConversationId, Conversation>();
  readonly #strangers = new Set<ConversationId>();
  /** The server's sums, while not all rows are here. */
  #told: Totals | null = null;

  constructor(world: Omit<ConversationWorld, "rowChanged">) {
    this.#world = { ...world, rowChanged: () => this.#changed() };
    this.list = new Derived(world.ticker, () => this.#rows().sort(byActivity));
    this.totals = new Derived(world.ticker, () => this.#told ?? sumOf(this.#rows()));
  }

  /** The conversation of this id; made where it is not there. */
  get(id: ConversationId): Conversation {
    this.#strangers.delete(id);
    return this.#find(id);
  }

  find(id: ConversationId): Conversation | null {
    return this.#all.get(id) ?? null;
  }

  /** For a push: also of a conversation whose row has yet to come, as long as these are few. */
  forPush(id: ConversationId): Conversation | null {
    const present = this.#all.get(id);
    if (present) return present;
    if (this.#strangers.size >= strangersMax) return null;
    this.#strangers.add(id);
    return this.#find(id);
  }

  /** Conversations of mine. */
  members(): readonly Conversation[] {
    return [...this.#all.values()].filter(({ isMember }) => isMember);
  }

  watched(): readonly Conversation[] {
    return [...this.#all.values()].filter(({ state }) => state.isWatched);
  }

  /** Shows the server's sums until all rows are here (null). */
  tell(totals: Totals | null): void {
    this.#told = totals;
    this.totals.invalidate();
  }

  /** The connection is gone. */
  disconnect(): void {
    for (const conversation of this.#all.values()) conversation.disconnect();
  }

  /** Another generation, another person: nothing that is known holds. */
  reset(): void {
    this.#strangers.clear();
    for (const conversation of this.#all.values()) conversation.reset();
  }

  #find(id: ConversationId): Conversation {
    const present = this.#all.get(id);
    if (present) return present;
    const conversation = new Conversation(id, this.#world);
    this.#all.set(id, conversation);
    return conversation;
  }

  #rows(): ConversationRow[] {
    const rows: ConversationRow[] = [];
    for (const { row } of this.#all.values()) if (row) rows.push(row);
    return rows;
  }

  #changed(): void {
    this.list.invalidate();
    this.totals.invalidate();
  }
}

function byActivity(a: ConversationRow, b: ConversationRow): number {
  return b.activityAt - a.activityAt || (a.id < b.id ? -1 : 1);
}

function sumOf(rows: readonly ConversationRow[]): Totals {
  let unread = 0;
  let mutedUnread = 0;
  for (const row of rows) {
    if (row.muted) mutedUnread += row.unread;
    else unread += row.unread;
  }
  return { unread, mutedUnread };
}
