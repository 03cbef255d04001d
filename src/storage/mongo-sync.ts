// Sync from MongoDB: the person, memberships, heads, participants, one command each and in this order (G5, G9). No snapshot is taken.
// A participant may be newer than the head read before it, never older; one that shows it makes the row `open`, so that its owner
// is asked: a row answered as closed is exact, whatever was opened, written and closed between two of the commands.
import type { ClientSession, MongoClient } from "mongodb";
import type { ConversationId, UserId } from "../protocol/ids";
import type { Mark } from "../protocol/unread";
import { find } from "./mongo-find";
import { syncQueries } from "./mongo-queries";
import {
  type Collections,
  cursorOf,
  type HeadDoc,
  headOf,
  memberOf,
  type ParticipantDoc,
  userOf,
} from "./mongo-schema";
import type { MembershipDoc } from "./mongo-schema";
import type { SyncCount, SyncPage, SyncRow } from "./store";
import { syncRowOf } from "./sync-row";

/** What counters need of a head. */
type CountHead = Pick<HeadDoc, "_id" | "type" | "open" | "seq" | "ordinal" | "totalsThrough">;
/** What sync needs of a membership. */
type Listed = Pick<MembershipDoc, "conversation" | "row">;

const nowhere: Mark = { seq: 0, ordinal: 0, own: 0 };

/**
 * `readSync` of the port: four commands, and a fifth where counters are wanted of conversations that are not on the page. They
 * share a causally consistent session, so that none is answered by a server that is behind the one before.
 */
export async function readSyncFrom(
  collections: Collections,
  client: MongoClient,
  user: UserId,
  after: ConversationId | null,
  limit: number,
  withCounts: boolean,
): Promise<SyncPage> {
  const session = client.startSession({ causalConsistency: true });
  try {
    return await new SyncRead(collections, session, user).page(after, limit, withCounts);
  } finally {
    await session.endSession();
  }
}

/** One person's reads in one session. */
class SyncRead {
  readonly #collections: Collections;
  readonly #session: ClientSession;
  readonly #user: UserId;

  constructor(collections: Collections, session: ClientSession, user: UserId) {
    this.#collections = collections;
    this.#session = session;
    this.#user = user;
  }

  async page(after: ConversationId | null, limit: number, withCounts: boolean): Promise<SyncPage> {
    // Before the memberships: they may then tell more than `userSeq`, which the feed repeats, and never less.
    const [person] = await find(this.#collections, syncQueries.user, { _id: this.#user }, this.#bounds(1));
    if (!person) return { user: null, rows: [], more: false, counts: [] };
    const listed = await this.#memberships(after, withCounts ? null : limit + 1);
    const from = after === null ? 0 : listed.findIndex(({ conversation }) => conversation > after);
    const page = from === -1 ? [] : listed.slice(from, from + limit);
    const others = withCounts ? listed.filter((_, at) => at < from || at >= from + page.length || from === -1) : [];
    const more = from !== -1 && listed.length > from + limit;
    const heads = await this.#heads(page);
    const otherHeads = await this.#otherHeads(others);
    // After the heads; see the head of this file.
    const participants = await this.#participants([...page, ...others]);
    return {
      user: userOf(person),
      rows: page.map((one) => rowOf(one, heads.get(one.conversation), participants.get(one.conversation))),
      more,
      counts: others.map((one) => countOf(one, otherHeads.get(one.conversation), participants.get(one.conversation))),
    };
  }

  /** Present memberships by conversation; `limit` null: all of them. */
  #memberships(after: ConversationId | null, limit: number | null): Promise<Listed[]> {
    const beyond = limit !== null && after !== null ? { conversation: { $gt: after } } : {};
    const filter = { user: this.#user, ...beyond, "row.role": { $ne: null } };
    return find(this.#collections, syncQueries.memberships, filter, this.#bounds(limit));
  }

  async #heads(page: readonly Listed[]): Promise<ReadonlyMap<ConversationId, HeadDoc>> {
    if (page.length === 0) return new Map();
    const filter = { _id: { $in: page.map(({ conversation }) => conversation) } };
    const docs = await find(this.#collections, syncQueries.heads, filter, this.#bounds(null));
    return new Map(docs.map((doc) => [doc._id, doc]));
  }

  async #otherHeads(others: readonly Listed[]): Promise<ReadonlyMap<ConversationId, CountHead>> {
    if (others.length === 0) return new Map();
    const filter = { _id: { $in: others.map(({ conversation }) => conversation) } };
    const docs = await find(this.#collections, syncQueries.counts, filter, this.#bounds(null));
    return new Map(docs.map((doc) => [doc._id, doc]));
  }

  async #participants(listed: readonly Listed[]): Promise<ReadonlyMap<ConversationId, ParticipantDoc>> {
    if (listed.length === 0) return new Map();
    const conversations = listed.map(({ conversation }) => conversation);
    const filter = { conversation: { $in: conversations }, user: this.#user };
    const docs = await find(this.#collections, syncQueries.participants, filter, this.#bounds(null));
    return new Map(docs.map((doc) => [doc.conversation, doc]));
  }

  /** Without a limit everything comes with the first reply, up to 16 MiB. */
  #bounds(limit: number | null) {
    return limit === null ? { batch: 20_000, session: this.#session } : { limit, session: this.#session };
  }
}

function rowOf(listed: Listed, stored: HeadDoc | undefined, participant: ParticipantDoc | undefined): SyncRow {
  const { conversation, row } = listed;
  const { peer, muted, markedUnread } = row;
  const head = stored && stored.type !== "" ? { ...headOf(stored), totalsThrough: through(stored, participant) } : null;
  const joined = syncRowOf({
    membership: { conversation, peer, muted, markedUnread },
    head,
    member: participant ? memberOf(participant) : null,
    cursor: participant ? cursorOf(participant) : null,
  });
  return { ...joined, open: isOpen(stored, participant) };
}

function countOf(listed: Listed, stored: CountHead | undefined, participant: ParticipantDoc | undefined): SyncCount {
  const { seq, ordinal, own, total } = (participant && cursorOf(participant)) ?? { ...nowhere, total: 0 };
  const exists = stored !== undefined && stored.type !== "";
  return {
    conversation: listed.conversation,
    muted: listed.row.muted,
    open: isOpen(stored, participant),
    headOrdinal: exists ? stored.ordinal : 0,
    myTotal: total,
    totalsThrough: exists ? through(stored, participant) : 0,
    cursor: { seq, ordinal, own },
    join: participant?.member?.join ?? nowhere,
  };
}

/** How far the person's total is exact: it may have been stored a moment before the head that tells of it. */
function through(head: CountHead, participant: ParticipantDoc | undefined): number {
  return Math.max(head.totalsThrough, participant?.total?.through ?? 0);
}

/** Whether only the owner can speak for it: it is open, or was, after its head was read. */
function isOpen(head: CountHead | undefined, participant: ParticipantDoc | undefined): boolean {
  if (!head) return false;
  if (head.open) return true;
  const { member, mark, total } = participant ?? {};
  const newest = Math.max(member?.changedSeq ?? 0, mark?.seq ?? 0);
  return newest > head.seq || (total?.through ?? 0) > head.totalsThrough;
}
