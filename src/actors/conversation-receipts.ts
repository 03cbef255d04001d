// What others learn of a conversation's readers, and signals such as typing. Ephemeral, coalesced and bounded by
// `receiptMembersMax`; in larger conversations the author of the last message gets a count, at most once a second.
import type { Cancel } from "../lib/clock";
import { encodePush } from "../protocol/codec";
import type { ConversationId, Seq, UserId } from "../protocol/ids";
import { limits } from "../protocol/limits";
import type { Store } from "../storage/store";
import type { PlacedContext } from "./actor";
import { entryOf } from "./conversation-reads";
import type { ConversationState } from "./conversation-state";
import type { Gateway } from "./gateway";

const coalesceMs = 20;
const countEveryMs = 1000;

/** Told to itself by the actor when the coalesced receipts are due. */
export const flushReceipts = { op: "flushReceipts" } as const;
/** Told to itself by the actor when the author's count is due. */
export const countReaders = { op: "countReaders" } as const;

/** See the head of this file. What is not delivered is lost: cursors are the truth, and are asked for. */
export class ConversationReceipts {
  readonly #store: Store;
  readonly #gateway: Gateway;
  readonly #ctx: PlacedContext;
  readonly #conversation: ConversationId;
  readonly #state: ConversationState;
  readonly #moved = new Map<UserId, Seq>();
  #cancelFlush: Cancel | null = null;
  #cancelCount: Cancel | null = null;

  constructor(
    deps: { readonly store: Store; readonly gateway: Gateway },
    ctx: PlacedContext,
    conversation: ConversationId,
    state: ConversationState,
  ) {
    this.#store = deps.store;
    this.#gateway = deps.gateway;
    this.#ctx = ctx;
    this.#conversation = conversation;
    this.#state = state;
  }

  get isIdle(): boolean {
    return this.#cancelFlush === null && this.#cancelCount === null;
  }

  /** Whether receipts and signals are pushed to everybody. */
  get isSmall(): boolean {
    return this.#state.committed.memberCount <= limits.receiptMembersMax;
  }

  moved(user: UserId, seq: Seq): void {
    if (!this.isSmall) {
      this.#cancelCount ??= this.#ctx.tellSelf(countEveryMs, countReaders);
      return;
    }
    this.#moved.set(user, seq);
    this.#cancelFlush ??= this.#ctx.tellSelf(coalesceMs, flushReceipts);
  }

  flush(): void {
    this.#cancelFlush = null;
    const marks = [...this.#moved];
    this.#moved.clear();
    if (marks.length > 0) this.#gateway.publish(this.#conversation, encodePush("receipts", this.#conversation, marks));
  }

  /** Counts who has read the last message and tells its author. A store that cannot answer costs this count only. */
  async count(): Promise<void> {
    this.#cancelCount = null;
    const { lastMessage, lastMessageSeq } = this.#state.committed;
    if (!lastMessage) return;
    const author = entryOf({ bytes: lastMessage })[5];
    const readers = await this.#store.countReaders(this.#conversation, lastMessageSeq, author).catch(() => null);
    if (readers !== null && this.#state.members.has(author))
      this.#gateway.toUser(
        author,
        encodePush("readCount", this.#conversation, lastMessageSeq, readers),
        this.#conversation,
      );
  }

  end(): void {
    this.#cancelFlush?.();
    this.#cancelCount?.();
  }
}
