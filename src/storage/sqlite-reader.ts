// The reading connection: every read of the port, each over one snapshot. Lives in a worker thread (sqlite-worker.ts),
// so reads go on whatever becomes of writes.
import type { Database } from "bun:sqlite";
import { failpoint, isControlOn } from "../lib/failpoints";
import { partitionCount } from "../lib/hash";
import type { ClientId, ConversationId, Epoch, Seq, UserId, UserSeq } from "../protocol/ids";
import type { FeedTuple } from "../protocol/operations";
import { unpackData } from "./sqlite-packing";
import {
  cursorOf,
  type DeviceColumns,
  deviceOf,
  type EntryColumns,
  entryOf,
  entrySelect,
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
import { readSyncPage } from "./sqlite-sync";
import type { CursorRow, EntryRow, FoundEntry, Range, RangeRequest, Store } from "./store";

/** The reads of the port, by name. */
export type ReadName =
  | "audit"
  | "openConversation"
  | "readRanges"
  | "findClientIds"
  | "readMembers"
  | "readCursors"
  | "countOwn"
  | "countBySender"
  | "readReaders"
  | "countReaders"
  | "listOpen"
  | "listAdvanced"
  | "openFeed"
  | "readMemberships"
  | "readFeed"
  | "unknownUsers"
  | "readSync";

type Reads = { readonly [N in ReadName]: (...args: Parameters<Store[N]>) => Awaited<ReturnType<Store[N]>> };

/** Not thread-safe: one connection's. Its methods are the reads of the port; call them through {@link Reader.read}. */
export class Reader implements Reads {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Runs one read over one snapshot of the data. Throws SQLite's error where it cannot. */
  read(name: ReadName, args: readonly unknown[]): unknown {
    failpoint("read.before");
    this.#db.run("BEGIN");
    try {
      return (this[name] as (...args: readonly unknown[]) => unknown)(...args);
    } finally {
      if (this.#db.inTransaction) this.#db.run("COMMIT");
    }
  }

  audit(partition: number, epoch: Epoch): boolean {
    const row = this.#one<{ epoch: Epoch }>("SELECT epoch FROM partitions WHERE partition = ?", partition);
    return row?.epoch === epoch;
  }

  /** The epoch is not needed here: every commit checks it, and a claim has fenced the older ones already. */
  openConversation(conversation: ConversationId, _epoch: Epoch, tail: number) {
    const row = this.#one<HeadColumns>(`SELECT ${headSelect} FROM heads h WHERE conversation = ?`, conversation);
    if (!row) return null;
    const present = "SELECT * FROM members WHERE cid = ? AND role IS NOT NULL";
    const last = `SELECT ${entrySelect} FROM entries WHERE cid = ? AND seq > ? ORDER BY seq`;
    return {
      head: headOf(row),
      members: this.#all<MemberColumns>(present, row.cid).map(memberOf),
      tail: this.#all<EntryColumns>(last, row.cid, row.seq - tail).map(entryOf),
    };
  }

  readRanges(requests: readonly RangeRequest[], bytesTotal: number): readonly Range[] {
    let left = bytesTotal;
    let answered = false;
    return requests.map((request) => {
      const range = this.#range(request, Math.min(request.bytesMax, left), !answered);
      answered ||= range.entries.length > 0;
      for (const { bytes } of range.entries) left -= bytes.length;
      return range;
    });
  }

  findClientIds(conversation: ConversationId, ids: readonly (readonly [UserId, ClientId])[]): readonly FoundEntry[] {
    const cid = this.#cid(conversation);
    if (cid === null || isControlOn("negative.noUniqueIndex")) return [];
    const find = this.#db.query("SELECT seq, kind, bytes FROM entries WHERE cid = ? AND client_id = ? AND sender = ?");
    return ids.flatMap(([sender, clientId]) => {
      const row = find.get(cid, clientId, sender) as Omit<FoundEntry, "sender" | "clientId"> | null;
      return row ? { sender, clientId, ...row } : [];
    });
  }

  readMembers(conversation: ConversationId, users: readonly UserId[]) {
    const find = "SELECT * FROM members WHERE cid = ? AND user = ?";
    return this.#each<MemberColumns>(find, this.#cid(conversation), users).map(memberOf);
  }

  readCursors(conversation: ConversationId, users: readonly UserId[]) {
    const find = "SELECT * FROM cursors WHERE cid = ? AND user = ?";
    return this.#each<CursorRow>(find, this.#cid(conversation), users).map(cursorOf);
  }

  countOwn(conversation: ConversationId, sender: UserId, after: Seq, through: Seq): number {
    const count = `SELECT count(*) AS n FROM entries
      WHERE cid = ? AND seq > ? AND seq <= ? AND counts = 1 AND sender = ?`;
    return this.#one<{ n: number }>(count, this.#cid(conversation), after, through, sender)?.n ?? 0;
  }

  countBySender(conversation: ConversationId, after: Seq) {
    const count = `SELECT sender AS user, count(*) AS count FROM entries WHERE cid = ? AND seq > ? AND counts = 1
      GROUP BY sender ORDER BY sender`;
    return this.#all<{ user: UserId; count: number }>(count, this.#cid(conversation), after);
  }

  readReaders(conversation: ConversationId, seq: Seq, after: UserId | null, limit: number) {
    const read = "SELECT user, seq FROM cursors WHERE cid = ? AND user > ? AND seq >= ? ORDER BY user LIMIT ?";
    return this.#all<{ user: UserId; seq: Seq }>(read, this.#cid(conversation), after ?? "", seq, limit);
  }

  countReaders(conversation: ConversationId, seq: Seq, except: UserId): number {
    const count = "SELECT count(*) AS n FROM cursors WHERE cid = ? AND seq >= ? AND user <> ?";
    return this.#one<{ n: number }>(count, this.#cid(conversation), seq, except)?.n ?? 0;
  }

  listOpen(partitions: readonly number[], after: ConversationId | null, limit: number): readonly ConversationId[] {
    const wanted = new Set(partitions);
    if (wanted.size === 0) return [];
    const list = wanted.size < partitionCount ? ` AND partition IN (${[...wanted].map(Number).join()})` : "";
    const open = `SELECT conversation FROM heads WHERE open_epoch <> 0 AND conversation > ?${list}
      ORDER BY conversation LIMIT ?`;
    // Prepared for this one call: the text differs with the partitions.
    using statement = this.#db.prepare(open);
    return (statement.all(after ?? "", limit) as { conversation: ConversationId }[]).map((row) => row.conversation);
  }

  listAdvanced(after: ConversationId | null, limit: number) {
    const list = "SELECT conversation, seq FROM heads WHERE conversation > ? ORDER BY conversation LIMIT ?";
    return this.#all<{ conversation: ConversationId; seq: Seq }>(list, after ?? "", limit);
  }

  openFeed(user: UserId, _epoch: Epoch) {
    const row = this.#one<UserColumns>("SELECT * FROM users WHERE user = ?", user);
    if (!row) return null;
    const devices = this.#all<DeviceColumns>("SELECT * FROM devices WHERE user = ?", user).map(deviceOf);
    return { user: userOf(row), devices };
  }

  readMemberships(user: UserId, conversations: readonly ConversationId[]) {
    const find = "SELECT * FROM memberships WHERE user = ? AND conversation = ?";
    return this.#each<MembershipColumns>(find, user, conversations).map(membershipOf);
  }

  readFeed(user: UserId, after: UserSeq, limit: number) {
    const read = "SELECT * FROM feed WHERE user = ? AND user_seq > ? ORDER BY user_seq LIMIT ?";
    const changes = this.#all<FeedColumns>(read, user, after, limit).map(
      (row): FeedTuple => [row.user_seq, row.kind, row.subject, unpackData(row.data)],
    );
    const person = this.#one<UserColumns>("SELECT * FROM users WHERE user = ?", user);
    return { changes, user: person && userOf(person) };
  }

  unknownUsers(users: readonly UserId[]): readonly UserId[] {
    const known = this.#db.query("SELECT 1 FROM users WHERE user = ? AND deleted_at IS NULL");
    return users.filter((user) => known.get(user) === null);
  }

  readSync(user: UserId, after: ConversationId | null, limit: number, withCounts: boolean) {
    return readSyncPage(this.#db, user, after, limit, withCounts);
  }

  #range(request: RangeRequest, bytesMax: number, oneAnyway: boolean): Range {
    const { conversation, limit, kind } = request;
    const log = this.#one<LogEnd>("SELECT cid, seq FROM heads WHERE conversation = ?", conversation);
    const span = log && spanOf(request, log.seq);
    if (!log || !span) return { entries: [], scannedTo: 0 };
    const { first, last, step } = span;
    const select = `SELECT ${entrySelect} FROM entries WHERE cid = ? AND seq BETWEEN ? AND ?
      ${kind === undefined ? "" : "AND kind = ?"} ORDER BY seq ${step > 0 ? "ASC" : "DESC"} LIMIT ?`;
    const bounds = [log.cid, Math.min(first, last), Math.max(first, last)];
    const rest = kind === undefined ? [limit] : [kind, limit];
    const entries: EntryRow[] = [];
    let left = bytesMax;
    for (const row of this.#db.query(select).iterate(...bounds, ...rest) as Iterable<EntryColumns>) {
      left -= row.bytes.length;
      const fits = left >= 0 || (oneAnyway && entries.length === 0);
      if (!fits) return { entries, scannedTo: row.seq === first ? 0 : row.seq - step };
      entries.push(entryOf(row));
    }
    const full = entries.length === limit;
    return { entries, scannedTo: full ? (entries.at(-1)?.seq ?? 0) : last };
  }

  #cid(conversation: ConversationId): number | null {
    return this.#one<{ cid: number }>("SELECT cid FROM heads WHERE conversation = ?", conversation)?.cid ?? null;
  }

  #one<R>(sql: string, ...args: (string | number | null)[]): R | null {
    return this.#db.query(sql).get(...args) as R | null;
  }

  #all<R>(sql: string, ...args: (string | number | null)[]): R[] {
    return this.#db.query(sql).all(...args) as R[];
  }

  /** One look-up for each key, in their order. */
  #each<R>(sql: string, owner: string | number | null, keys: readonly string[]): R[] {
    if (owner === null) return [];
    const find = this.#db.query(sql);
    return keys.flatMap((key) => (find.get(owner, key) as R | null) ?? []);
  }
}

interface LogEnd {
  readonly cid: number;
  readonly seq: Seq;
}

interface FeedColumns {
  readonly user_seq: UserSeq;
  readonly kind: FeedTuple[1];
  readonly subject: string;
  readonly data: Uint8Array;
}

/** The seqs that a request looks at: seqs are gapless, so a bound on entries is a bound on seqs. Null: none. */
function spanOf({ from, direction, scanMax, limit }: RangeRequest, headSeq: Seq) {
  const up = direction === "up";
  const first = up ? Math.max(from, 1) : Math.min(from, headSeq);
  if (limit < 1 || scanMax < 1 || first < 1 || first > headSeq) return null;
  const last = up ? Math.min(headSeq, first + scanMax - 1) : Math.max(1, first - scanMax + 1);
  return { first, last, step: up ? 1 : -1 };
}
