// The reading connection: every read of the port, each over one snapshot. Lives in a worker thread (sqlite-worker.ts),
// so reads go on whatever becomes of writes. Answers tuples; sqlite-answers.ts makes the port's rows of them.
import type { Database } from "bun:sqlite";
import { failpoint, isControlOn } from "../lib/failpoints";
import { partitionCount } from "../lib/hash";
import type { ClientId, ConversationId, Epoch, Seq, UserId, UserSeq } from "../protocol/ids";
import {
  type ChangeValues,
  changeSelect,
  type CursorValues,
  cursorSelect,
  type DeviceValues,
  deviceSelect,
  type EntryValues,
  entrySelect,
  type FoundValues,
  type HeadValues,
  headSelect,
  type MembershipValues,
  type MemberValues,
  memberSelect,
  membershipSelect,
  type UserValues,
  userSelect,
} from "./sqlite-rows";
import { reasonOf } from "./sqlite-errors";
import { readSyncValues, type SyncValues } from "./sqlite-sync";
import type { RangeRequest, Store } from "./store";

/** What each read answers across threads. */
export interface ReadValues {
  audit: boolean;
  auditAll: readonly number[];
  openConversation: readonly [HeadValues, readonly MemberValues[], readonly EntryValues[]] | null;
  readRanges: readonly RangeValues[];
  findClientIds: readonly FoundValues[];
  readMembers: readonly MemberValues[];
  readCursors: readonly CursorValues[];
  countOwn: number;
  countBySender: readonly (readonly [UserId, number])[];
  readReaders: readonly (readonly [UserId, Seq])[];
  countReaders: number;
  listOpen: readonly ConversationId[];
  listAdvanced: readonly (readonly [ConversationId, Seq])[];
  readHeads: readonly (readonly [ConversationId, Seq, open: number])[];
  openFeed: readonly [UserValues, readonly DeviceValues[]] | null;
  readMemberships: readonly MembershipValues[];
  readFeed: readonly [readonly ChangeValues[], UserValues | null];
  unknownUsers: readonly UserId[];
  fullUsers: readonly UserId[];
  conversationsOf: readonly ConversationId[];
  readSync: SyncValues;
  featureLevel: number;
}

/** The reads of the port, by name. */
export type ReadName = keyof ReadValues;

/** Why a read failed, or null and what it read. */
export type ReadAnswer = readonly [failure: string | null, values: unknown];

/** The last seq looked at, and the entries. */
export type RangeValues = readonly [scannedTo: Seq, entries: readonly EntryValues[]];

type Reads = { readonly [N in ReadName]: (...args: Parameters<Store[N]>) => ReadValues[N] };
type Bound = string | number | null;

/** Reads of one hand-over are answered together after this long at the latest, milliseconds, or once the slow one is done. */
const batchMs = 10;
/** Entries fetched at once for a range: what lies past its bound in bytes is read for nothing. */
const rangeChunk = 32;

/** Not thread-safe: one connection's. Its methods are the reads of the port; call them through {@link Reader.read}. */
export class Reader implements Reads {
  readonly #db: Database;
  readonly #cutMs: number;

  /** @param cutMs how long ranges are read for until an answer leaves with those so far, milliseconds */
  constructor(db: Database, cutMs = Number.POSITIVE_INFINITY) {
    this.#db = db;
    this.#cutMs = cutMs;
  }

  /** Runs reads one after the other; one that fails harms no other. Stops after one that took long: answers are fewer then. */
  readAll(asked: readonly (readonly [name: ReadName, args: readonly unknown[]])[]): readonly ReadAnswer[] {
    const answered: ReadAnswer[] = [];
    const until = performance.now() + batchMs;
    for (const [name, args] of asked) {
      answered.push(this.#answer(name, args));
      if (performance.now() > until) break;
    }
    return answered;
  }

  #answer(name: ReadName, args: readonly unknown[]): ReadAnswer {
    try {
      return [null, this.read(name, args)];
    } catch (error) {
      return [reasonOf(error), null];
    }
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
    return this.#one<[Epoch]>("SELECT epoch FROM partitions WHERE partition = ?", partition)?.[0] === epoch;
  }

  auditAll(held: readonly (readonly [partition: number, epoch: Epoch])[]): readonly number[] {
    const newest = new Map(this.#all<[number, Epoch]>("SELECT partition, epoch FROM partitions"));
    return held.filter(([partition, epoch]) => newest.get(partition) !== epoch).map(([partition]) => partition);
  }

  /** The epoch is not needed here: every commit checks it, and a claim has fenced the older ones already. */
  openConversation(conversation: ConversationId, _epoch: Epoch, tail: number): ReadValues["openConversation"] {
    const cid = this.#cid(conversation);
    const head = this.#one<HeadValues>(`SELECT ${headSelect} FROM heads h WHERE h.conversation = ?`, conversation);
    if (!head) return null;
    const present = `SELECT ${memberSelect} FROM members b WHERE cid = ? AND role IS NOT NULL`;
    const last = `SELECT ${entrySelect} FROM entries WHERE cid = ? AND seq > ? ORDER BY seq`;
    return [head, this.#all<MemberValues>(present, cid), this.#all<EntryValues>(last, cid, head[2] - tail)];
  }

  readRanges(requests: readonly RangeRequest[], bytesTotal: number): readonly RangeValues[] {
    let left = bytesTotal;
    let answered = false;
    const until = performance.now() + this.#cutMs;
    return requests.map((request, at) => {
      if (at > 0 && performance.now() > until) return [0, []];
      const range = this.#range(request, Math.min(request.bytesMax, left), !answered, until);
      answered ||= range[1].length > 0;
      for (const entry of range[1]) left -= entry[6].length;
      return range;
    });
  }

  findClientIds(conversation: ConversationId, ids: readonly (readonly [UserId, ClientId])[]): readonly FoundValues[] {
    const cid = this.#cid(conversation);
    if (cid === null || isControlOn("negative.noUniqueIndex")) return [];
    const find = `SELECT sender, client_id, seq, kind, bytes FROM entries
      WHERE cid = ? AND client_id = ? AND sender = ?`;
    return ids.flatMap(([sender, clientId]) => this.#all<FoundValues>(find, cid, clientId, sender));
  }

  readMembers(conversation: ConversationId, users: readonly UserId[]): readonly MemberValues[] {
    const find = `SELECT ${memberSelect} FROM members b WHERE cid = ? AND user = ?`;
    return this.#each<MemberValues>(find, this.#cid(conversation), users);
  }

  readCursors(conversation: ConversationId, users: readonly UserId[]): readonly CursorValues[] {
    const find = `SELECT ${cursorSelect} FROM cursors c WHERE cid = ? AND user = ?`;
    return this.#each<CursorValues>(find, this.#cid(conversation), users);
  }

  countOwn(conversation: ConversationId, sender: UserId, after: Seq, through: Seq): number {
    const count = "SELECT count(*) FROM entries WHERE cid = ? AND seq > ? AND seq <= ? AND counts = 1 AND sender = ?";
    return this.#one<[number]>(count, this.#cid(conversation), after, through, sender)?.[0] ?? 0;
  }

  countBySender(
    conversation: ConversationId,
    after: Seq,
    through = Number.MAX_SAFE_INTEGER,
  ): ReadValues["countBySender"] {
    const count = `SELECT sender, count(*) FROM entries WHERE cid = ? AND seq > ? AND seq <= ? AND counts = 1
      GROUP BY sender ORDER BY sender`;
    return this.#all(count, this.#cid(conversation), after, through);
  }

  readReaders(conversation: ConversationId, seq: Seq, after: UserId | null, limit: number): ReadValues["readReaders"] {
    const read = "SELECT user, seq FROM cursors WHERE cid = ? AND user > ? AND seq >= ? ORDER BY user LIMIT ?";
    return this.#all(read, this.#cid(conversation), after ?? "", seq, limit);
  }

  countReaders(conversation: ConversationId, seq: Seq, except: UserId): number {
    const count = "SELECT count(*) FROM cursors WHERE cid = ? AND seq >= ? AND user <> ?";
    return this.#one<[number]>(count, this.#cid(conversation), seq, except)?.[0] ?? 0;
  }

  listOpen(partitions: readonly number[], after: ConversationId | null, limit: number): readonly ConversationId[] {
    const wanted = new Set(partitions);
    if (wanted.size === 0) return [];
    const list = wanted.size < partitionCount ? `AND partition IN (${[...wanted].map(Number).join()})` : "";
    // Prepared for this one call: the text differs with the partitions.
    using statement = this.#db.prepare(
      `SELECT conversation FROM heads WHERE open_epoch <> 0 AND conversation > ? ${list} ORDER BY conversation LIMIT ?`,
    );
    return statement.values(after ?? "", limit).flat() as ConversationId[];
  }

  listAdvanced(after: ConversationId | null, limit: number): ReadValues["listAdvanced"] {
    const list = "SELECT conversation, seq FROM heads WHERE conversation > ? ORDER BY conversation LIMIT ?";
    return this.#all(list, after ?? "", limit);
  }

  readHeads(conversations: readonly ConversationId[]): ReadValues["readHeads"] {
    const find = this.#db.query("SELECT conversation, seq, open_epoch <> 0 FROM heads WHERE conversation = ?");
    return conversations.flatMap((each) => find.values(each)) as unknown as ReadValues["readHeads"];
  }

  openFeed(user: UserId, _epoch: Epoch): ReadValues["openFeed"] {
    const person = this.#person(user);
    const devices = `SELECT ${deviceSelect} FROM devices WHERE user = ?`;
    return person && [person, this.#all<DeviceValues>(devices, user)];
  }

  readMemberships(user: UserId, conversations: readonly ConversationId[]): readonly MembershipValues[] {
    const find = `SELECT ${membershipSelect} FROM memberships m WHERE user = ? AND conversation = ?`;
    return this.#each<MembershipValues>(find, user, conversations);
  }

  readFeed(user: UserId, after: UserSeq, limit: number): ReadValues["readFeed"] {
    const read = `SELECT ${changeSelect} FROM feed WHERE user = ? AND user_seq > ? ORDER BY user_seq LIMIT ?`;
    return [this.#all<ChangeValues>(read, user, after, limit), this.#person(user)];
  }

  unknownUsers(users: readonly UserId[]): readonly UserId[] {
    const known = this.#db.query("SELECT 1 FROM users WHERE user = ? AND deleted_at IS NULL");
    return users.filter((user) => known.get(user) === null);
  }

  fullUsers(users: readonly UserId[], max: number): readonly UserId[] {
    const last = this.#db.query("SELECT 1 FROM memberships WHERE user = ? AND role IS NOT NULL LIMIT 1 OFFSET ?");
    return users.filter((user) => last.get(user, max - 1) !== null);
  }

  conversationsOf(user: UserId): readonly ConversationId[] {
    const list = "SELECT conversation FROM memberships WHERE user = ? AND role IS NOT NULL ORDER BY conversation";
    return this.#all<[ConversationId]>(list, user).map(([conversation]) => conversation);
  }

  featureLevel(): number {
    return this.#one<[number]>("SELECT value FROM meta WHERE key = 'featureLevel'")?.[0] ?? 0;
  }

  readSync(user: UserId, after: ConversationId | null, limit: number, withCounts: boolean): SyncValues {
    return readSyncValues(this.#db, user, after, limit, withCounts);
  }

  #range(request: RangeRequest, bytesMax: number, oneAnyway: boolean, until: number): RangeValues {
    const { conversation, limit, kind } = request;
    const log = this.#one<[cid: number, seq: Seq]>("SELECT cid, seq FROM heads WHERE conversation = ?", conversation);
    const span = log && spanOf(request, log[1]);
    if (!log || !span) return [0, []];
    const { last, step } = span;
    const select = this.#db.query(
      `SELECT ${entrySelect} FROM entries WHERE cid = ? AND seq BETWEEN ? AND ?
        ${kind === undefined ? "" : "AND kind = ?"} ORDER BY seq ${step > 0 ? "ASC" : "DESC"} LIMIT ?`,
    );
    const entries: EntryValues[] = [];
    let left = bytesMax;
    for (let next = span.first; entries.length < limit && (last - next) * step >= 0; ) {
      const asked = Math.min(rangeChunk, limit - entries.length);
      const bounds = [log[0], Math.min(next, last), Math.max(next, last), ...(kind === undefined ? [] : [kind]), asked];
      const rows = select.values(...bounds) as unknown as EntryValues[];
      for (const row of rows) {
        left -= row[6].length;
        const fits = left >= 0 || (oneAnyway && entries.length === 0);
        if (!fits) return [row[0] === span.first ? 0 : row[0] - step, entries];
        entries.push(row);
      }
      if (rows.length < asked) return [last, entries];
      next = (rows.at(-1)?.[0] ?? last) + step;
      if (performance.now() > until) break;
    }
    return [entries.at(-1)?.[0] ?? last, entries];
  }

  #person(user: UserId): UserValues | null {
    return this.#one<UserValues>(`SELECT ${userSelect} FROM users WHERE user = ?`, user);
  }

  #cid(conversation: ConversationId): number | null {
    return this.#one<[number]>("SELECT cid FROM heads WHERE conversation = ?", conversation)?.[0] ?? null;
  }

  #one<V extends readonly unknown[]>(sql: string, ...bounds: Bound[]): V | null {
    return this.#all<V>(sql, ...bounds)[0] ?? null;
  }

  #all<V extends readonly unknown[]>(sql: string, ...bounds: Bound[]): readonly V[] {
    return this.#db.query(sql).values(...bounds) as unknown as V[];
  }

  /** One look-up for each key, in their order. */
  #each<V extends readonly unknown[]>(sql: string, owner: string | number | null, keys: readonly string[]): V[] {
    if (owner === null) return [];
    const find = this.#db.query(sql);
    return keys.flatMap((key) => find.values(owner, key) as unknown as V[]);
  }
}

/** The seqs that a request looks at: seqs are gapless, so a bound on entries is a bound on seqs. Null: none. */
function spanOf({ from, direction, scanMax, limit }: RangeRequest, headSeq: Seq) {
  const up = direction === "up";
  const first = up ? Math.max(from, 1) : Math.min(from, headSeq);
  if (limit < 1 || scanMax < 1 || first < 1 || first > headSeq) return null;
  const last = up ? Math.min(headSeq, first + scanMax - 1) : Math.max(1, first - scanMax + 1);
  return { first, last, step: up ? 1 : -1 };
}
