// Reads what a signing-in person needs in one pass: memberships joined with heads, members and cursors (G5, G9).
import type { Database } from "bun:sqlite";
import type { ConversationId, UserId } from "../protocol/ids";
import {
  cursorOf,
  type HeadColumns,
  headOf,
  headSelect,
  type MemberColumns,
  type MembershipColumns,
  memberOf,
  membershipOf,
  type UserColumns,
  userOf,
} from "./sqlite-rows";
import type { CursorRow, SyncCount, SyncPage, SyncRow } from "./store";

interface CountColumns {
  readonly conversation: ConversationId;
  readonly muted: number;
  readonly join_seq: number;
  readonly join_ordinal: number;
  readonly join_own: number;
  readonly open_epoch: number | null;
  readonly head_ordinal: number | null;
  readonly totals_through: number | null;
  readonly seq: number | null;
  readonly ordinal: number | null;
  readonly own: number | null;
  readonly total: number | null;
}

const selectPage = `SELECT * FROM memberships WHERE user = ? AND conversation > ? AND role IS NOT NULL
  ORDER BY conversation LIMIT ?`;

const selectCounts = `SELECT m.conversation, m.muted, m.join_seq, m.join_ordinal, m.join_own, h.open_epoch,
  h.ordinal AS head_ordinal, h.totals_through, c.seq, c.ordinal, c.own, c.total
  FROM memberships m LEFT JOIN heads h ON h.conversation = m.conversation
  LEFT JOIN cursors c ON c.cid = h.cid AND c.user = m.user
  WHERE m.user = ? AND m.role IS NOT NULL ORDER BY m.conversation`;

/** `readSync` of the port on an open connection; the caller holds the snapshot. */
export function readSyncPage(
  db: Database,
  user: UserId,
  after: ConversationId | null,
  limit: number,
  withCounts: boolean,
): SyncPage {
  const person = db.query("SELECT * FROM users WHERE user = ?").get(user) as UserColumns | null;
  const found = db.query(selectPage).all(user, after ?? "", limit + 1) as MembershipColumns[];
  return {
    user: person && userOf(person),
    rows: found.slice(0, limit).map((row) => joined(db, user, row)),
    more: found.length > limit,
    counts: withCounts ? (db.query(selectCounts).all(user) as CountColumns[]).map(countOf) : [],
  };
}

function joined(db: Database, user: UserId, row: MembershipColumns): SyncRow {
  const membership = membershipOf(row);
  const findHead = db.query(`SELECT ${headSelect} FROM heads h WHERE conversation = ?`);
  const head = findHead.get(row.conversation) as HeadColumns | null;
  if (!head) return { membership, head: null, member: null, cursor: null };
  const findMember = db.query("SELECT * FROM members WHERE cid = ? AND user = ?");
  const findCursor = db.query("SELECT * FROM cursors WHERE cid = ? AND user = ?");
  const member = findMember.get(head.cid, user) as MemberColumns | null;
  const cursor = findCursor.get(head.cid, user) as CursorRow | null;
  return { membership, head: headOf(head), member: member && memberOf(member), cursor: cursor && cursorOf(cursor) };
}

function countOf(row: CountColumns): SyncCount {
  return {
    conversation: row.conversation,
    muted: row.muted === 1,
    open: (row.open_epoch ?? 0) !== 0,
    headOrdinal: row.head_ordinal ?? 0,
    myTotal: row.total ?? 0,
    totalsThrough: row.totals_through ?? 0,
    cursor: { seq: row.seq ?? 0, ordinal: row.ordinal ?? 0, own: row.own ?? 0 },
    join: { seq: row.join_seq, ordinal: row.join_ordinal, own: row.join_own },
  };
}
