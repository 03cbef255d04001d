// Makes the rows of a copied file exact where they were read while they lagged, or while a server wrote on: the log is the truth
// about a conversation, the feed about a person. Owned by copy-sqlite-target.ts; every function runs on its one connection.
import type { Database } from "bun:sqlite";
import { decode, encode } from "../protocol/codec";
import { entryKinds, memberChanges } from "../protocol/entry";
import type { ConversationBody, EntryTuple, MembersBody, Role } from "../protocol/entry";
import { partitionOf } from "../lib/hash";
import { CopyError, transferColumns } from "./copy";
import type { CarriedRows, Cell, Settled, TransferRow } from "./copy";
import { noHeadYet } from "./copy-sqlite-rows";

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

/** See {@link SettlingTarget.settle}. @param epoch an epoch of the source: what heads left open say */
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
  readonly conversation: string;
  readonly type: string;
  readonly openEpoch: number;
  /** Every membership entry up to here was in the feeds before they were read. */
  readonly fedThrough: number;
}

const openHeads = `SELECT cid, conversation, type, open_epoch AS openEpoch, fed_through AS fedThrough FROM heads WHERE open_epoch <> 0`;
/** Open at either time, or not the same at both: what was read in between may be of any moment between them. */
const movedHeads = `
  SELECT h.cid, h.conversation, h.type, h.open_epoch AS openEpoch, min(h.fed_through, coalesce(b.fed_through, 0)) AS fedThrough
  FROM heads h LEFT JOIN copy_heads b ON b.conversation = h.conversation
  WHERE h.open_epoch <> 0 OR b.open_epoch IS NOT 0 OR b.seq IS NOT h.seq OR b.fed_through IS NOT h.fed_through
    OR b.totals_through IS NOT h.totals_through`;

/** Applies what feeds carry to those whose rows are behind; answers how many people that were. */
function settlePeople(db: Database): number {
  using page = db.prepare(
    "SELECT user, user_seq, carried FROM copy_carried WHERE (user, user_seq) > (?, ?) ORDER BY user, user_seq LIMIT 500",
  );
  const put = (table: string, row: TransferRow): void => {
    db.run(`INSERT OR REPLACE INTO ${table} VALUES(${row.map(() => "?").join(", ")})`, [...row]);
  };
  using dropDevice = db.prepare("DELETE FROM devices WHERE user = ? AND device = ?");
  const people = new Set<string>();
  for (let after: [string, number] = ["", 0]; ; ) {
    const found = page.all(...after) as { user: string; user_seq: number; carried: Uint8Array }[];
    for (const { user, user_seq, carried } of found) {
      const { user: row, memberships, devices, devicesDropped } = decode(carried) as CarriedRows;
      for (const membership of memberships) put("memberships", membership);
      for (const device of devices) put("devices", device);
      for (const device of devicesDropped) dropDevice.run(user, device);
      put("users", row);
      people.add(user);
      after = [user, user_seq];
    }
    if (found.length < 500) return people.size;
  }
}

/** Computes head, members and totals from the whole log, and leaves the conversation open: its next owner tells and counts on. */
function settleConversation(db: Database, head: LaggingHead, epoch: number): void {
  const folded = new Fold();
  using entries = db.prepare(
    "SELECT seq, ordinal, kind, counts, sender, bytes FROM entries WHERE cid = ? ORDER BY seq",
  );
  for (const row of entries.iterate(head.cid)) folded.add(row as LogRow);
  if (folded.seq === 0) return dropConversation(db, head.cid);
  const { seq, ordinal, time, name, picture, fields, lastMessage, lastMessageSeq, type } = folded;
  using update = db.prepare(
    `UPDATE heads SET partition = ?, type = ?, seq = ?, ordinal = ?, time = ?, name = ?, picture = ?, fields = ?, member_count = ?,
      last_message = ?, last_message_seq = ?, open_epoch = ?, fed_through = ?, totals_through = ? WHERE cid = ?`,
  );
  update.run(
    ...[
      partitionOf("conversation", head.conversation),
      head.type || type,
      seq,
      ordinal,
      time,
      name,
      picture,
      fields,
      folded.present,
    ],
    ...[lastMessage ?? new Uint8Array(0), lastMessageSeq, head.openEpoch || epoch, head.fedThrough, seq, head.cid],
  );
  using setMember = db.prepare("INSERT OR REPLACE INTO members VALUES(?, ?, ?, ?, ?, ?, ?, ?)");
  for (const [user, { role, join, floor, changedSeq }] of folded.members) {
    setMember.run(head.cid, user, role, ...join, floor, changedSeq);
  }
  using setTotal = db.prepare(
    "INSERT INTO cursors VALUES(?, ?, 0, 0, 0, ?) ON CONFLICT(cid, user) DO UPDATE SET total = excluded.total",
  );
  for (const [user, total] of folded.sent) setTotal.run(head.cid, user, total);
}

/** A conversation of which nothing but its beginning was announced: it does not exist. */
function dropConversation(db: Database, cid: number): void {
  for (const table of ["heads", "members", "cursors"]) db.run(`DELETE FROM ${table} WHERE cid = ?`, [cid]);
}

interface LogRow {
  readonly seq: number;
  readonly ordinal: number;
  readonly kind: number;
  readonly counts: number;
  readonly sender: string;
  readonly bytes: Uint8Array;
}

interface FoldedMember {
  readonly role: Role | null;
  readonly join: readonly [seq: number, ordinal: number, own: number];
  readonly floor: number;
  readonly changedSeq: number;
}

/** What a whole log comes to. In memory: one row for each person it ever named. */
class Fold {
  type = "";
  seq = 0;
  ordinal = 0;
  time = 0;
  name: string | null = null;
  picture: string | null = null;
  fields: Uint8Array | null = null;
  lastMessage: Uint8Array | null = null;
  lastMessageSeq = 0;
  readonly members = new Map<string, FoldedMember>();
  /** Counted entries by sender. */
  readonly sent = new Map<string, number>();

  get present(): number {
    let count = 0;
    for (const { role } of this.members.values()) if (role !== null) count++;
    return count;
  }

  add(row: LogRow): void {
    const { seq, ordinal, kind, counts, sender, bytes } = row;
    if (seq !== this.seq + 1) throw new CopyError("failed", `a log has no entry ${this.seq + 1}, but one at ${seq}`);
    const [, , , , time, , , , , body] = decode(bytes) as EntryTuple;
    this.seq = seq;
    this.ordinal = ordinal;
    this.time = time;
    if (counts === 1) this.sent.set(sender, (this.sent.get(sender) ?? 0) + 1);
    if (kind === entryKinds.members) this.#addMembers(seq, ordinal, body as MembersBody);
    else if (kind === entryKinds.conversation) this.#addSet(body as ConversationBody);
    else if (kind === entryKinds.message) [this.lastMessage, this.lastMessageSeq] = [bytes, seq];
  }

  #addMembers(seq: number, ordinal: number, body: MembersBody): void {
    for (const [change, user, role, floor] of body) {
      const before = this.members.get(user);
      if (change === memberChanges.added) {
        const join = [seq, ordinal, this.sent.get(user) ?? 0] as const;
        this.members.set(user, { role, join, floor: floor ?? 1, changedSeq: seq });
      } else if (change !== memberChanges.role) {
        this.members.set(user, { role: null, join: [0, 0, 0], floor: 0, changedSeq: seq });
      } else if (before) this.members.set(user, { ...before, role, changedSeq: seq });
    }
  }

  #addSet([type, set]: ConversationBody): void {
    if (type !== null) this.type = type;
    if (set.name !== undefined) this.name = set.name;
    if (set.picture !== undefined) this.picture = set.picture;
    if (set.fields !== undefined) this.fields = set.fields === null ? null : encode(set.fields);
  }
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
