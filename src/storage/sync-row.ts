// A membership joined with its conversation, as sync wants it: the wire's row encoded where the data lies, counters beside it.
// Shared by the drivers, so that a row is the same whoever stores it (G5, G9).
import { Encoded, encode } from "../protocol/codec";
import type { EntryTuple } from "../protocol/entry";
import type { HeadTuple, InfoTuple, MarkTuple, RowTuple } from "../protocol/operations";
import { unreadOf } from "../protocol/unread";
import type { Mark } from "../protocol/unread";
import type { CursorRow, HeadRow, MemberRow, MembershipRow, SyncRow } from "./store";

const nowhere: Mark = { seq: 0, ordinal: 0, own: 0 };

/** What the tables hold of one person in one conversation. Null: no such row. */
export interface Joined {
  readonly membership: MembershipRow;
  readonly head: HeadRow | null;
  /** As stored with the log: exact in SQLite, exact elsewhere while closed. */
  readonly member: MemberRow | null;
  readonly cursor: CursorRow | null;
}

/** The row of {@link Joined}; `row` is null where the conversation is gone or knows no such member. */
export function syncRowOf({ membership, head, member, cursor }: Joined): SyncRow {
  const { conversation, muted, markedUnread } = membership;
  const counters = {
    conversation,
    muted,
    open: head !== null && head.openEpoch !== 0,
    headOrdinal: head?.ordinal ?? 0,
    totalsThrough: head?.totalsThrough ?? 0,
    myTotal: cursor?.total ?? 0,
    cursor: markOf(cursor ?? nowhere),
    join: membership.join,
  };
  const floor = member?.floor ?? membership.floor;
  const headSeq = head?.seq ?? 0;
  if (head === null || member === null || member.role === null)
    return { ...counters, markedUnread, headSeq, floor, row: null };
  const row: RowTuple = [
    conversation,
    infoOf(head, membership),
    [member.role, tupleOf(member.join), floor],
    [muted, markedUnread],
    headOf(head, floor),
    tupleOf(counters.cursor),
    counters.myTotal,
    unreadOf({ ...counters, join: member.join }),
  ];
  return { ...counters, markedUnread, headSeq, floor, row: encode(row) };
}

function infoOf(head: HeadRow, { peer }: MembershipRow): InfoTuple {
  const fields = head.fields && (new Encoded(head.fields) as unknown as InfoTuple[3]);
  return [head.type, head.name, head.picture, fields, head.memberCount, peer];
}

function headOf(head: HeadRow, floor: number): HeadTuple {
  const shown = head.lastMessage !== null && head.lastMessageSeq >= floor;
  const last = shown ? (new Encoded(head.lastMessage as Uint8Array) as unknown as EntryTuple) : null;
  return [head.seq, head.ordinal, head.time, last];
}

function markOf({ seq, ordinal, own }: Mark): Mark {
  return { seq, ordinal, own };
}

function tupleOf({ seq, ordinal, own }: Mark): MarkTuple {
  return [seq, ordinal, own];
}
