// Reads what a signing-in person needs in one pass: memberships joined with heads, members and cursors (G5, G9).
import type { Database } from "bun:sqlite";
import type { ConversationId, UserId } from "../protocol/ids";
import {
  type CountValues,
  countOf,
  cursorOf,
  cursorSelect,
  cursorWidth,
  headOf,
  headSelect,
  headWidth,
  memberOf,
  memberSelect,
  memberWidth,
  membershipOf,
  membershipSelect,
  membershipWidth,
  type UserValues,
  userOf,
  userSelect,
} from "./sqlite-rows";
import type { SyncCount, SyncPage, SyncRow } from "./store";
import { syncRowOf } from "./sync-row";

/** A row as it crosses from the reading thread: counters flat, the wire's row encoded. */
type SyncRowValues = readonly [
  ...counts: CountValues,
  markedUnread: boolean,
  headSeq: number,
  floor: number,
  row: Uint8Array | null,
];

/** What crosses from the reading thread for a page: the person, rows, whether more follow, the counters of the others. */
export type SyncValues = readonly [
  user: UserValues | null,
  rows: readonly SyncRowValues[],
  more: boolean,
  counts: readonly CountValues[],
];

const selectPage = `SELECT ${membershipSelect}, ${headSelect}, ${memberSelect}, ${cursorSelect} FROM memberships m
  LEFT JOIN heads h ON h.conversation = m.conversation
  LEFT JOIN members b ON b.cid = h.cid AND b.user = m.user
  LEFT JOIN cursors c ON c.cid = h.cid AND c.user = m.user
  WHERE m.user = ? AND m.conversation > ? AND m.role IS NOT NULL ORDER BY m.conversation LIMIT ?`;

const selectCounts = `SELECT m.conversation, m.muted, m.join_seq, m.join_ordinal, m.join_own, h.open_epoch, h.ordinal,
  h.totals_through, c.seq, c.ordinal, c.own, c.total
  FROM memberships m LEFT JOIN heads h ON h.conversation = m.conversation
  LEFT JOIN cursors c ON c.cid = h.cid AND c.user = m.user
  WHERE m.user = ? AND m.role IS NOT NULL ORDER BY m.conversation`;

/** `readSync` of the port on an open connection; the caller holds the snapshot. */
export function readSyncValues(
  db: Database,
  user: UserId,
  after: ConversationId | null,
  limit: number,
  withCounts: boolean,
): SyncValues {
  const person = db.query(`SELECT ${userSelect} FROM users WHERE user = ?`).values(user)[0] as UserValues | undefined;
  const found = db.query(selectPage).values(user, after ?? "", limit + 1);
  const more = found.length > limit;
  const rows = found.slice(0, limit).map((values) => packRow(joinedRowOf(values)));
  // A page that holds everything needs no counters beside it.
  const counts = withCounts && (more || after !== null) ? otherCounts(db, user, rows) : [];
  return [person ?? null, rows, more, counts];
}

/** The page as the port has it; on the main thread. */
export function syncPageOf([user, rows, more, counts]: SyncValues): SyncPage {
  return { user: user && userOf(user), rows: rows.map(unpackRow), more, counts: counts.map(countOf) };
}

function otherCounts(db: Database, user: UserId, rows: readonly SyncRowValues[]): readonly CountValues[] {
  const shown = new Set(rows.map(([conversation]) => conversation));
  const all = db.query(selectCounts).values(user) as unknown as CountValues[];
  return all.filter(([conversation]) => !shown.has(conversation));
}

/** A joined row, cut where its tables meet; a table whose key is null had no row. */
function joinedRowOf(values: readonly unknown[]): SyncRow {
  let at = membershipWidth;
  const part = <V, R>(width: number, of: (values: V) => R): R | null => {
    const cut = values.slice(at, at + width);
    at += width;
    return cut[0] === null ? null : of(cut as V);
  };
  const membership = membershipOf(values as never);
  const head = part(headWidth, headOf);
  const member = part(memberWidth, memberOf);
  return syncRowOf({ membership, head, member, cursor: part(cursorWidth, cursorOf) });
}

function packRow({ markedUnread, headSeq, floor, row, ...count }: SyncRow): SyncRowValues {
  return [...packCount(count), markedUnread, headSeq, floor, row];
}

function packCount({
  conversation,
  muted,
  open,
  headOrdinal,
  totalsThrough,
  myTotal,
  cursor,
  join,
}: SyncCount): CountValues {
  return [
    conversation,
    muted ? 1 : 0,
    join.seq,
    join.ordinal,
    join.own,
    open ? 1 : 0,
    headOrdinal,
    totalsThrough,
    cursor.seq,
    cursor.ordinal,
    cursor.own,
    myTotal,
  ];
}

function unpackRow(values: SyncRowValues): SyncRow {
  const [markedUnread, headSeq, floor, row] = [values[12], values[13], values[14], values[15]];
  return { ...countOf(values as unknown as CountValues), markedUnread, headSeq, floor, row };
}
