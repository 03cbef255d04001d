// Rows: one conversation as its member sees it, from the store where it is closed and from its owner where it is open.
// Owned by the composition, used by sessions and the hub; keeps G5 and G12: an open row's numbers are never taken from the store.
import { AppError, toAppError } from "../lib/errors";
import type { ConversationId, UserId, UserSeq } from "../protocol/ids";
import type { MarkTuple, RowTuple, SettingsTuple } from "../protocol/operations";
import { unreadOf } from "../protocol/unread";
import type { Mark } from "../protocol/unread";
import type { Store, SyncRow } from "../storage/store";
import type { Router } from "./actor";
import type { InterestView, Looks } from "./interest";
import type { ConversationPeek, RowPart, UserAsk } from "./messages";
import type { Peeked, Standing } from "./standing";

const recent: Standing = { state: "recent" };
const quiet: Standing = { state: "quiet" };

/** How often an owner is asked again because the conversation went on before the answer could be used. */
const settleTries = 4;

/** Asks owners and looks at them. One for all sessions of a server; keeps no state. */
export class RowSource {
  readonly #router: Router;
  readonly #store: Store;
  readonly #interest: InterestView | null;
  /** What holds on this node alone: looked at afresh each time, and received without being asked for. */
  readonly #here: Looks = {
    standing: (conversation, user) => this.standing(conversation, user),
    holds: (conversation, user, part) => this.holds(conversation, user, part),
    shows: () => undefined,
  };

  /** @param interest in what lives on other nodes; null: there are none */
  constructor(router: Router, store: Store, interest: InterestView | null = null) {
    this.#router = router;
    this.#store = store;
    this.#interest = interest;
  }

  /** Looks at conversations whose rows are about to be read or asked for, so that what happens from here on is heard of. */
  look(user: UserId, conversations: readonly ConversationId[], timeoutMs: number): Looks | Promise<Looks> {
    return this.#interest?.look(user, conversations, timeoutMs) ?? this.#here;
  }

  /** As {@link RowSource.look}, at a page of a person's conversations, or at all from beyond `after` (`limit` null). */
  lookAhead(
    user: UserId,
    after: ConversationId | null,
    limit: number | null,
    timeoutMs: number,
  ): Looks | Promise<Looks> {
    const interest = this.#interest;
    if (interest === null) return this.#here;
    return interest.conversationsOf(user).then((all) => {
      const from = after === null ? all : all.filter((conversation) => conversation > after);
      return interest.look(user, limit === null ? from : from.slice(0, limit), timeoutMs);
    });
  }

  /** In a cluster: the person's owner knows that they are here, so that nothing of their feed is missed. Null: nobody else need know. */
  arrive(user: UserId, timeoutMs: number): Promise<void> | null {
    return this.#interest?.arrive(user, timeoutMs) ?? null;
  }

  /** The person's feed was read up to here, after {@link RowSource.arrive}. */
  feedAt(user: UserId, userSeq: UserSeq): void {
    this.#interest?.feedAt(user, userSeq);
  }

  standing(conversation: ConversationId, user: UserId): Standing {
    const actor = this.#router.peek("conversation", conversation) as Partial<ConversationPeek> | null;
    if (actor?.peek) return { state: "active", seen: actor.peek(user) };
    return this.#router.recentlyActive("conversation", conversation) ? recent : quiet;
  }

  /** The owner's answer. Null: not a member. Rejects with an AppError where the owner does not answer in time. */
  async ask(conversation: ConversationId, user: UserId, timeoutMs: number): Promise<RowPart | null> {
    try {
      return (await this.#router.ask("conversation", conversation, { op: "row", user }, timeoutMs)) as RowPart;
    } catch (error) {
      const known = toAppError(error);
      if (known.code === "no_access") return null;
      throw known;
    }
  }

  /** Whether an owner's answer still holds: nothing was committed since. */
  holds(conversation: ConversationId, user: UserId, part: RowPart): boolean {
    const standing = this.standing(conversation, user);
    if (standing.state === "active") return standing.seen !== null && standing.seen.head[0] === part.head[0];
    return standing.state === "quiet";
  }

  /**
   * The person's settings of one conversation as their owner has them when it answers: nothing that their sessions were told
   * before is newer. Rejects with an AppError where the owner does not answer in time.
   */
  async settingsNow(user: UserId, conversation: ConversationId, timeoutMs: number): Promise<SettingsTuple> {
    const ask: UserAsk = { op: "settingsOf", conversation };
    return (await this.#router.ask("user", user, ask, timeoutMs)) as SettingsTuple;
  }

  /**
   * A row, and its settings, that hold at the moment `use` is called with them, so that whoever subscribes in `use` misses
   * nothing and nobody who was removed is subscribed. Null: not a member. Rejects with a retryable AppError where the owner does not answer,
   * or where the conversation never stood still.
   */
  async settled<T>(
    conversation: ConversationId,
    user: UserId,
    timeoutMs: number,
    use: (part: RowPart | null, settings: SettingsTuple) => T,
  ): Promise<T> {
    for (let tries = 0; tries < settleTries; tries++) {
      const ahead = this.look(user, [conversation], timeoutMs);
      const looks = ahead instanceof Promise ? await ahead : ahead;
      if (ahead !== looks && looks.standing(conversation, user, 0, null).state === "away") break;
      const part = await this.ask(conversation, user, timeoutMs);
      if (part === null) return use(null, noSettings);
      const settings = await this.settingsNow(user, conversation, timeoutMs);
      if (!looks.holds(conversation, user, part)) continue;
      looks.shows(conversation, part.head[0]);
      return use(part, settings);
    }
    throw new AppError("store_unavailable", "the conversation is too busy, or too far away, to be read");
  }

  /** The person's settings of conversations, as their stored feed has them: older by what is on its way. */
  async settings(user: UserId, conversations: readonly ConversationId[]): Promise<Map<ConversationId, SettingsTuple>> {
    if (conversations.length === 0) return new Map();
    const rows = await this.#store.readMemberships(user, conversations);
    return new Map(rows.map((row) => [row.conversation, [row.muted, row.markedUnread] as const]));
  }
}

/** What a member's settings are until they set any. */
export const noSettings: SettingsTuple = [false, false];

/** Everything of a row together. */
export function toRow(conversation: ConversationId, part: RowPart, settings: SettingsTuple): RowTuple {
  const { info, membership, head, cursor, myTotal } = part;
  return [conversation, info, membership, settings, head, cursor, myTotal, unreadOfPart(part)];
}

/** Unread of one row, by the one function that server and client share. */
export function unreadOfPart({ membership, head, cursor, myTotal }: RowPart): number {
  return unreadOf({ headOrdinal: head[1], myTotal, cursor: toMark(cursor), join: toMark(membership[1]) });
}

/** An active conversation's row: its own word, and the stored cursor. Null where the two do not fit together. */
export function peekedPart({ totalsThrough, cursor, myTotal }: SyncRow, seen: Peeked): RowPart | null {
  if (totalsThrough !== seen.totalsThrough) return null;
  const { info, membership, head } = seen;
  return { info, membership, head, cursor: toTuple(cursor), myTotal: myTotal + seen.sentSince };
}

function toTuple({ seq, ordinal, own }: Mark): MarkTuple {
  return [seq, ordinal, own];
}

function toMark([seq, ordinal, own]: MarkTuple): Mark {
  return { seq, ordinal, own };
}
