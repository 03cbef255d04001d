// Makes the rows of a copied file exact where they were read while they lagged, or while a server wrote on: the log is the truth
// about a conversation, the feed about a person. Owned by copy-sqlite-target.ts; every function runs on its one connection.
import type { Database } from "bun:sqlite";
import { decode, encode } from "../protocol/codec";
import type { ConversationId } from "../protocol/ids";
import { partitionOf } from "../lib/hash";
import { CopyError, transferColumns } from "./copy";
import type { CarriedRows, Cell, Settled, TransferRow } from "./copy";
import { noHeadYet } from "./copy-sqlite-rows";
import { LogFold } from "./log-fold";
import { blankHead } from "./mongo-heads";
import type { EntryRow, HeadRow } from "./store";

/** Heads as they were at the beginning, and rows that feeds carry: both only while a copy is made. */
export function createSideTables(db: Database): void {
  db.run(`CREATE TABLE IF NOT EXISTS copy_heads(conversation TEXT PRIMARY KEY, seq INTEGER NOT NULL,
    open_epoch INTEGER NOT NULL, fed_through INTEGER NOT NULL, totals_through INTEGER NOT NULL) WITHOUT ROWID`);
  db.run(`CREATE TABLE IF NOT EXISTS copy_carried(user TEXT NOT NULL, user_seq INTEGER NOT NULL, carried BLOB NOT NULL,
    PRIMARY KEY(user, user_seq)) WITHOUT ROWID`);
}

/** Ends what {@link createSideTables} began. */
export function dropSideTables(db: Database): void {
  db.run("DROP TABLE IF EXISTS copy_heads");
  db.run("DROP TABLE IF EXISTS copy_carried");
}

/** Keeps heads as they are before anything else is read. */
export function noteHeads(db: Database, rows: readonly TransferRow[]): void {
  using note = db.prepare("INSERT OR REPLACE INTO copy_heads VALUES(?, ?, ?, ?, ?)");
  const columns = ["conversation", "seq", "openEpoch", "fedThrough", "totalsThrough"] as const;
  const places = columns.map((name) => transferColumns.heads.indexOf(name));
  for (const row of rows) note.run(...places.map((at) => row[at] ?? null));
}

/** Keeps what feed rows carry for people whose own rows are behind them. */
export function noteCarried(db: Database, carried: readonly CarriedRows[]): void {
  using find = db.prepare("SELECT user_seq FROM users WHERE user = ?");
  using note = db.prepare("INSERT OR REPLACE INTO copy_carried VALUES(?, ?, ?)");
  for (const each of carried) {
    const [user = null, userSeq = null] = each.user;
    const known = find.get(user) as { user_seq: number } | null;
    if ((known?.user_seq ?? 0) < Number(userSeq)) note.run(user, userSeq, encode(each));
  }
}

/** See {@link SettlingTarget.settleAndFinish}. @param epoch an epoch of the source: what heads left open say */
export function settleRows(db: Database, online: boolean, epoch: number): Settled {
  const people = settlePeople(db);
  const found = db.query(online ? movedHeads : openHeads).all() as LaggingHead[];
  for (const head of found) settleConversation(db, head, Math.max(epoch, 1));
  // Written after the head of a closed conversation was read: not of this moment.
  if (online)
    db.run(`DELETE FROM entries WHERE rowid IN
    (SELECT e.rowid FROM heads h JOIN entries e ON e.cid = h.cid AND e.seq > h.seq)`);
  db.run(`UPDATE heads SET last_message = NULL WHERE EXISTS
    (SELECT 1 FROM entries e WHERE e.cid = heads.cid AND e.seq = last_message_seq AND e.bytes = last_message)`);
  return { reopened: found.length, people };
}

interface LaggingHead {
  readonly cid: number;
  readonly conversation: ConversationId;
  readonly openEpoch: number;
  /** Every membership entry up to here was in the feeds before they were read. */
  readonly fedThrough: number;
}

const openHeads = `SELECT cid, conversation, open_epoch AS openEpoch, fed_through AS fedThrough FROM heads WHERE open_epoch <> 0`;
/** Open at either time, or not the same at both: what was read in between may be of any moment between them. */
const movedHeads = `
  SELECT h.cid, h.conversation, h.open_epoch AS openEpoch, min(h.fed_through, coalesce(b.fed_through, 0)) AS fedThrough
  FROM heads h LEFT JOIN copy_heads b ON b.conversation = h.conversation
  WHERE h.open_epoch <> 0 OR b.open_epoch IS NOT 0 OR b.seq IS NOT h.seq OR b.fed_through IS NOT h.fed_through
    OR b.totals_through IS NOT h.totals_through`;

/** Feed rows looked at at once. */
const carriedAtOnce = 500;

/** Applies what feeds carry to those whose rows are behind; answers how many people that were. */
function settlePeople(db: Database): number {
  using page = db.prepare(
    "SELECT user, user_seq, carried FROM copy_carried WHERE (user, user_seq) > (?, ?) ORDER BY user, user_seq LIMIT ?",
  );
  const put = (table: string, row: TransferRow): void => {
    db.run(`INSERT OR REPLACE INTO ${table} VALUES(${row.map(() => "?").join(", ")})`, [...row]);
  };
  using dropDevice = db.prepare("DELETE FROM devices WHERE user = ? AND device = ?");
  const people = new Set<string>();
  for (let after: [string, number] = ["", 0]; ; ) {
    const found = page.all(...after, carriedAtOnce) as { user: string; user_seq: number; carried: Uint8Array }[];
    for (const { user, user_seq, carried } of found) {
      const { user: row, memberships, devices, devicesDropped } = decode(carried) as CarriedRows;
      for (const membership of memberships) put("memberships", membership);
      for (const device of devices) put("devices", device);
      for (const device of devicesDropped) dropDevice.run(user, device);
      put("users", row);
      people.add(user);
      after = [user, user_seq];
    }
    if (found.length < carriedAtOnce) break;
  }
  // The last change of a feed may be a fence, which carries nothing.
  db.run(`UPDATE users SET user_seq = (SELECT max(f.user_seq) FROM feed f WHERE f.user = users.user)
    WHERE user_seq < (SELECT max(f.user_seq) FROM feed f WHERE f.user = users.user)`);
  return people.size;
}

/** Computes head, members and totals from the whole log, and leaves the conversation open: its next owner tells and counts on. */
function settleConversation(db: Database, lagging: LaggingHead, epoch: number): void {
  const { head, members, totals } = foldedLog(db, lagging).result(new Map());
  if (head.seq === 0) return dropConversation(db, lagging.cid);
  const columns = { ...rowOf(head), open_epoch: lagging.openEpoch || epoch, fed_through: lagging.fedThrough };
  const sets = Object.keys(columns).map((name) => `${name} = ?`);
  db.run(`UPDATE heads SET ${sets.join(", ")} WHERE cid = ?`, [...Object.values(columns), lagging.cid]);
  using setMember = db.prepare("INSERT OR REPLACE INTO members VALUES(?, ?, ?, ?, ?, ?, ?, ?)");
  for (const { user, role, join, floor, changedSeq } of members) {
    setMember.run(lagging.cid, user, role, join.seq, join.ordinal, join.own, floor, changedSeq);
  }
  using setTotal = db.prepare(
    "INSERT INTO cursors VALUES(?, ?, 0, 0, 0, ?) ON CONFLICT(cid, user) DO UPDATE SET total = excluded.total",
  );
  for (const { user, total } of totals) setTotal.run(lagging.cid, user, total);
}

function foldedLog(db: Database, { cid, conversation }: LaggingHead): LogFold {
  const fold = new LogFold(blankHead(conversation, 0));
  using entries = db.prepare(
    "SELECT seq, ordinal, kind, counts, sender, bytes FROM entries WHERE cid = ? ORDER BY seq",
  );
  for (const row of entries.iterate(cid)) {
    const entry = row as LogRow;
    if (entry.seq !== fold.next) {
      throw new CopyError("failed", `the log of ${conversation} has no entry ${fold.next}, but one at ${entry.seq}`);
    }
    fold.add({ ...entry, counts: entry.counts === 1 });
  }
  return fold;
}

function rowOf(head: HeadRow): Readonly<Record<string, Cell>> {
  const { conversation, type, seq, ordinal, time, name, picture, fields, memberCount, totalsThrough } = head;
  return {
    ...{ partition: partitionOf("conversation", conversation), type, seq, ordinal, time, name, picture, fields },
    ...{ member_count: memberCount, totals_through: totalsThrough },
    ...{ last_message: head.lastMessage ?? new Uint8Array(0), last_message_seq: head.lastMessageSeq },
  };
}

type LogRow = Omit<EntryRow, "counts" | "clientId"> & { readonly counts: number };

/** A conversation of which nothing but its beginning was announced: it does not exist. */
function dropConversation(db: Database, cid: number): void {
  for (const table of ["heads", "members", "cursors"]) db.run(`DELETE FROM ${table} WHERE cid = ?`, [cid]);
}

/** What must hold in any data set, and says nothing of a server that is stopped or not; each query finds what breaks it. */
const rules: readonly (readonly [says: string, sql: string])[] = [
  [
    "a log has a gap, or its head is not its end",
    `SELECT h.conversation FROM heads h WHERE h.seq <> (SELECT count(*) FROM entries e WHERE e.cid = h.cid)
      OR h.seq <> (SELECT coalesce(max(seq), 0) FROM entries e WHERE e.cid = h.cid)
      OR h.seq > 0 AND 1 <> (SELECT min(seq) FROM entries e WHERE e.cid = h.cid)`,
  ],
  ["a conversation has no head", `SELECT conversation FROM heads WHERE partition = ${noHeadYet}`],
  [
    "a read mark stands past the head",
    "SELECT h.conversation FROM cursors c JOIN heads h ON h.cid = c.cid WHERE c.seq > h.seq",
  ],
  [
    "a feed has a gap, or its person's row is not its end",
    `SELECT f.user FROM feed f LEFT JOIN users u ON u.user = f.user GROUP BY f.user
      HAVING max(f.user_seq) IS NOT u.user_seq OR count(*) <> max(f.user_seq) - min(f.user_seq) + 1`,
  ],
];

/** Throws a {@link CopyError} where the file breaks a rule that every data set keeps. */
export function checkWhole(db: Database, name: string): void {
  for (const [says, sql] of rules) {
    const found = db.query(`${sql} LIMIT 1`).values()[0] as readonly Cell[] | undefined;
    if (found) throw new CopyError("failed", `${name} would not be whole: ${says} (${String(found[0])}); copy again`);
  }
}
