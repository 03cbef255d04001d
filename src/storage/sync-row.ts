// A membership joined with its conversation, as sync wants it: the wire's row encoded where the data lies, counters beside it.
// Shared by the drivers, so that a row is the same whoever stores it (G5, G9).
import { Encoded, encode } from "../protocol/codec";
import type { EntryTuple, Role } from "../protocol/entry";
import type { Seq, UserId } from "../protocol/ids";
import type { HeadTuple, InfoTuple, MarkTuple, RowTuple } from "../protocol/operations";
import { unreadOf } from "../protocol/unread";
import type { Mark } from "../protocol/unread";
import type { CursorRow, HeadRow, MemberRow, MembershipRow, SyncRow } from "./store";

const nowhere: Mark = { seq: 0, ordinal: 0, own: 0 };

/** What the tables hold of one person in one conversation. Null: no such row. */
export interface Joined {
  readonly membership: Pick<MembershipRow, "conversation" | "peer" | "muted" | "markedUnread">;
  readonly head: Omit<HeadRow, "conversation" | "fedThrough"> | null;
  /** As stored with the log: exact in SQLite, exact elsewhere while closed. */
  readonly member: Pick<MemberRow, "role" | "join" | "floor"> | null;
  readonly cursor: Omit<CursorRow, "user"> | null;
}

/** The row of {@link Joined}; `row` is null where the conversation is gone or knows no such member. */
export function syncRowOf({ membership, head, member, cursor }: Joined): SyncRow {
  const { conversation, muted, markedUnread } = membership;
  const present = head !== null && member !== null && member.role !== null;
  const read = cursor === null ? nowhere : { seq: cursor.seq, ordinal: cursor.ordinal, own: cursor.own };
  const join = member?.join ?? nowhere;
  const floor = member?.floor ?? 0;
  const myTotal = cursor?.total ?? 0;
  const headOrdinal = head?.ordinal ?? 0;
  const row: RowTuple | null = present
    ? [
        conversation,
        infoOf(head, membership.peer),
        [member.role as Role, tupleOf(join), floor],
        [muted, markedUnread],
        headOf(head, floor),
        tupleOf(read),
        myTotal,
        unreadOf({ headOrdinal, myTotal, cursor: read, join }),
      ]
    : null;
  return {
    conversation,
    muted,
    markedUnread,
    open: head !== null && head.openEpoch !== 0,
    headSeq: head?.seq ?? 0,
    headOrdinal,
    totalsThrough: head?.totalsThrough ?? 0,
    myTotal,
    cursor: read,
    join,
    floor,
    row: row && encode(row),
  };
}

function infoOf(head: NonNullable<Joined["head"]>, peer: UserId | null): InfoTuple {
  const fields = head.fields && (new Encoded(head.fields) as unknown as InfoTuple[3]);
  return [head.type, head.name, head.picture, fields, head.memberCount, peer];
}

function headOf(head: NonNullable<Joined["head"]>, floor: Seq): HeadTuple {
  const shown = head.lastMessage !== null && head.lastMessageSeq >= floor;
  const last = shown ? (new Encoded(head.lastMessage as Uint8Array) as unknown as EntryTuple) : null;
  return [head.seq, head.ordinal, head.time, last];
}

function tupleOf({ seq, ordinal, own }: Mark): MarkTuple {
  return [seq, ordinal, own];
}
