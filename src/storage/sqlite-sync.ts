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
import type { SyncPage, SyncRow } from "./store";

/** What crosses from the reading thread for a page: the person, joined rows, whether more follow, the counters. */
export type SyncValues = readonly [
  user: UserValues | null,
  rows: readonly (readonly unknown[])[],
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
  const rows = db.query(selectPage).values(user, after ?? "", limit + 1);
  const counts = withCounts ? (db.query(selectCounts).values(user) as unknown as CountValues[]) : [];
  return [person ?? null, rows.slice(0, limit), rows.length > limit, counts];
}

/** The page as the port has it; on the main thread. */
export function syncPageOf([user, rows, more, counts]: SyncValues): SyncPage {
  return { user: user && userOf(user), rows: rows.map(syncRowOf), more, counts: counts.map(countOf) };
}

/** A joined row, cut where its tables meet; a table whose key is null had no row. */
function syncRowOf(values: readonly unknown[]): SyncRow {
  let at = membershipWidth;
  const part = <V, R>(width: number, of: (values: V) => R): R | null => {
    const cut = values.slice(at, at + width);
    at += width;
    return cut[0] === null ? null : of(cut as V);
  };
  const membership = membershipOf(values as never);
  const head = part(headWidth, headOf);
  const member = part(memberWidth, memberOf);
  return { membership, head, member, cursor: part(cursorWidth, cursorOf) };
}
