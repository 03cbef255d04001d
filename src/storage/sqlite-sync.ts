// Reads what a signing-in person needs in one pass: memberships joined with heads, members and cursors (G5, G9).
// The columns are few and cut by position: a sign-in storm is bound by this read.
import type { Database } from "bun:sqlite";
import type { Role } from "../protocol/entry";
import type { ConversationId, UserId } from "../protocol/ids";
import { type CountValues, countOf, lastMessageSelect, type UserValues, userOf, userSelect } from "./sqlite-rows";
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

const joins = `FROM memberships m
  LEFT JOIN heads h ON h.conversation = m.conversation
  LEFT JOIN members b ON b.cid = h.cid AND b.user = m.user
  LEFT JOIN cursors c ON c.cid = h.cid AND c.user = m.user
  WHERE m.user = ? AND m.role IS NOT NULL`;

const selectPage = `SELECT m.conversation, m.peer, m.muted, m.marked_unread,
  h.type, h.seq, h.ordinal, h.time, h.name, h.picture, h.fields, h.member_count, ${lastMessageSelect}, h.last_message_seq,
  h.open_epoch, h.totals_through,
  b.role, b.join_seq, b.join_ordinal, b.join_own, b.floor, c.seq, c.ordinal, c.own, c.total
  ${joins} AND m.conversation > ? ORDER BY m.conversation LIMIT ?`;

/** A row of {@link selectPage}; everything of a table is null where it has no row. */
type PageValues = readonly [
  conversation: ConversationId,
  peer: UserId | null,
  muted: number,
  markedUnread: number,
  type: string | null,
  seq: number,
  ordinal: number,
  time: number,
  name: string | null,
  picture: string | null,
  fields: Uint8Array | null,
  memberCount: number,
  lastMessage: Uint8Array | null,
  lastMessageSeq: number,
  openEpoch: number,
  totalsThrough: number,
  role: Role | null,
  joinSeq: number | null,
  joinOrdinal: number,
  joinOwn: number,
  floor: number,
  cursorSeq: number | null,
  cursorOrdinal: number,
  cursorOwn: number,
  total: number,
];

const selectCounts = `SELECT m.conversation, m.muted, b.join_seq, b.join_ordinal, b.join_own, h.open_epoch, h.ordinal,
  h.totals_through, c.seq, c.ordinal, c.own, c.total ${joins} ORDER BY m.conversation`;

/** `readSync` of the port on an open connection; the caller holds the snapshot. */
export function readSyncValues(
  db: Database,
  user: UserId,
  after: ConversationId | null,
  limit: number,
  withCounts: boolean,
): SyncValues {
  const person = db.query(`SELECT ${userSelect} FROM users WHERE user = ?`).values(user)[0] as UserValues | undefined;
  const found = db.query(selectPage).values(user, after ?? "", limit + 1) as unknown as PageValues[];
  const more = found.length > limit;
  const rows = (more ? found.slice(0, limit) : found).map((values) => packRow(pageRowOf(values)));
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

function pageRowOf(values: PageValues): SyncRow {
  const [conversation, peer, muted, markedUnread, type, seq, ordinal, time, name, picture, fields] = values;
  const [memberCount, last, lastMessageSeq, openEpoch, totalsThrough] = [
    values[11], values[12], values[13], values[14], values[15],
  ]; // biome-ignore format: one line
  // No bytes stand for no message; see ConversationWriter.
  const lastMessage = last && last.length > 0 ? last : null;
  const head = type === null ? null : {
    type, seq, ordinal, time, name, picture, fields, memberCount, lastMessage, lastMessageSeq, openEpoch, totalsThrough,
  }; // biome-ignore format: one line
  const joinSeq = values[17];
  const join = joinSeq === null ? null : { seq: joinSeq, ordinal: values[18], own: values[19] };
  const cursorSeq = values[21];
  return syncRowOf({
    membership: { conversation, peer, muted: muted === 1, markedUnread: markedUnread === 1 },
    head,
    member: join && { role: values[16], join, floor: values[20] },
    cursor: cursorSeq === null ? null : { seq: cursorSeq, ordinal: values[22], own: values[23], total: values[24] },
  });
}

function packRow(row: SyncRow): SyncRowValues {
  const { conversation, muted, join, open, headOrdinal, totalsThrough, cursor, myTotal } = row;
  return [
    conversation, muted ? 1 : 0, join.seq, join.ordinal, join.own, open ? 1 : 0, headOrdinal, totalsThrough,
    cursor.seq, cursor.ordinal, cursor.own, myTotal, row.markedUnread, row.headSeq, row.floor, row.row,
  ]; // biome-ignore format: as CountValues, and what follows
}

function unpackRow(values: SyncRowValues): SyncRow {
  const count: SyncCount = countOf(values as unknown as CountValues);
  return { ...count, markedUnread: values[12], headSeq: values[13], floor: values[14], row: values[15] };
}
