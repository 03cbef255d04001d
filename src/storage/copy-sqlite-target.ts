// A new database file as the target of a copy. It grows under another name, so no server can start on it, and takes its own
// name once it is whole and durable. Each page and the position behind it are one transaction: a crash loses at most a page.
import { Database } from "bun:sqlite";
import type { Statement } from "bun:sqlite";
import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { failpoint } from "../lib/failpoints";
import { partitionOf } from "../lib/hash";
import { CopyError, keyOf, transferKinds } from "./copy";
import type {
  Begun,
  Cell,
  CopyEnd,
  CopyPosition,
  Settled,
  SettlingTarget,
  TransferKind,
  TransferPage,
  TransferRow,
  TransferState,
} from "./copy";
import { checkWhole, createSideTables, dropSideTables, noteCarried, noteHeads, settleRows } from "./copy-settle";
import { noHeadYet, SqliteRows, sqlColumns } from "./copy-sqlite-rows";
import { migrate, readSchema } from "./migrations";
import { syncFile, verify } from "./sqlite-copy";
import { reasonOf, sqliteCode } from "./sqlite-errors";
import { sqliteMigrations } from "./sqlite-schema";

/** What is written, and how. */
export interface SqliteTargetOptions {
  /** The file to make; its folder exists. */
  readonly file: string;
  /** Whether an unfinished copy that stands there is gone on with; else it is begun anew. */
  readonly resumable: boolean;
}

/** The row `copy` of the table `meta`: what this file is a copy of, and how far it has come. */
interface Marker {
  readonly state: "unfinished" | "done";
  readonly from: TransferState;
  readonly position: CopyPosition;
  /** The epoch counter at the end: where it is another one now, a server has used the copy. */
  readonly epoch?: number;
}

const firstPosition: CopyPosition = { kind: "users", after: null };

/** A target; nothing is opened or changed before {@link SettlingTarget.begin}. */
export function createSqliteTarget(options: SqliteTargetOptions): SettlingTarget {
  return new SqliteTarget(options);
}

class SqliteTarget implements SettlingTarget {
  readonly name: string;
  readonly #file: string;
  readonly #partial: string;
  readonly #resumable: boolean;
  #opened: Opened | null = null;

  constructor({ file, resumable }: SqliteTargetOptions) {
    this.name = `sqlite:${file}`;
    this.#file = file;
    this.#partial = `${file}.${resumable ? "copying" : "partial"}`;
    this.#resumable = resumable;
  }

  async begin(from: TransferState): Promise<Begun> {
    if (existsSync(this.#file)) return finishedBefore(this.#file, from);
    if (!this.#resumable) drop(this.#partial);
    const opened = openPartial(this.#partial);
    this.#opened = opened;
    const marker = opened.marker();
    if (marker === null) {
      opened.mark({ state: "unfinished", from, position: firstPosition });
      return { state: "empty" };
    }
    if (!sameState(marker.from, from)) {
      throw new CopyError(
        "refused",
        `${this.#partial} is an unfinished copy of something else, or its source was used since; remove it and copy again`,
      );
    }
    if (marker.state === "unfinished") return { state: "resumed", position: marker.position };
    this.#seal();
    return { state: "done" };
  }

  async write(kind: TransferKind, page: TransferPage): Promise<void> {
    this.#db.write(kind, page);
    failpoint("copy.page");
  }

  async finishKind(kind: TransferKind): Promise<void> {
    const next = transferKinds[transferKinds.indexOf(kind) + 1];
    if (next) this.#db.move({ kind: next, after: null });
  }

  noteHeads(rows: readonly TransferRow[]): void {
    this.#db.inTransaction((db) => noteHeads(db, rows));
  }

  async finish(end: CopyEnd): Promise<void> {
    this.#finish(end, () => {});
  }

  async settleAndFinish(end: CopyEnd, online: boolean): Promise<Settled> {
    return this.#finish(end, (db, from) => settleRows(db, online, from.epoch));
  }

  /** In one transaction: what a comparison sees is either what was copied, or done. */
  #finish<T>({ generation, epoch, featureLevel }: CopyEnd, settle: (db: Database, from: TransferState) => T): T {
    const opened = this.#db;
    const from = opened.marker()?.from;
    if (!from) throw new CopyError("failed", `${this.#partial} lost what it is a copy of; remove it and copy again`);
    const settled = opened.inTransaction((db) => {
      const done = settle(db, from);
      checkWhole(db, this.name);
      using set = db.prepare("INSERT INTO meta VALUES(?, ?) ON CONFLICT DO UPDATE SET value = excluded.value");
      set.run("generation", generation);
      set.run("epochCounter", epoch);
      set.run("featureLevel", featureLevel);
      dropSideTables(db);
      opened.mark({ state: "done", from, position: { kind: "entries", after: null }, epoch });
      failpoint("copy.settled");
      return done;
    });
    failpoint("copy.done");
    this.#seal();
    return settled;
  }

  async count(kind: TransferKind): Promise<number> {
    return this.#db.rows.count(kind);
  }

  pages(kind: TransferKind, after: TransferRow | null): AsyncIterable<TransferPage> {
    return this.#db.rows.pages(kind, after);
  }

  async close(): Promise<void> {
    this.#opened?.close();
    this.#opened = null;
    if (!this.#resumable) drop(this.#partial);
  }

  get #db(): Opened {
    if (!this.#opened) throw new Error("the target is not open");
    return this.#opened;
  }

  /** Folds the log in, checks and syncs the file, and gives it its name. */
  #seal(): void {
    this.#db.db.run("PRAGMA journal_mode = DELETE");
    this.#db.close();
    this.#opened = null;
    verify(this.#partial);
    syncFile(this.#partial);
    renameSync(this.#partial, this.#file);
    syncFile(dirname(this.#file));
  }
}

/** The open file: its statements, and its marker. Not thread-safe. */
class Opened {
  readonly db: Database;
  readonly rows: SqliteRows;
  readonly #inserts = new Map<string, Statement>();
  readonly #findConversation: Statement;
  readonly #addConversation: Statement;
  readonly #mark: Statement;
  #last: readonly [conversation: Cell, cid: number] = [null, 0];

  constructor(db: Database) {
    this.db = db;
    this.rows = new SqliteRows(db);
    this.#findConversation = db.prepare("SELECT cid FROM heads WHERE conversation = ?");
    this.#addConversation = db.prepare(
      `INSERT INTO heads(conversation, partition, type, seq, ordinal, time, member_count, last_message, last_message_seq,
        open_epoch, fed_through, totals_through) VALUES(?, ${noHeadYet}, '', 0, 0, 0, 0, x'', 0, 0, 0, 0)`,
    );
    this.#mark = db.prepare("INSERT INTO meta VALUES('copy', ?) ON CONFLICT DO UPDATE SET value = excluded.value");
  }

  marker(): Marker | null {
    return markerIn(this.db);
  }

  mark(marker: Marker): void {
    this.#mark.run(JSON.stringify(marker));
  }

  move(position: CopyPosition): void {
    const marker = this.marker();
    if (marker) this.mark({ ...marker, position });
  }

  inTransaction<T>(work: (db: Database) => T): T {
    this.db.run("BEGIN IMMEDIATE");
    try {
      const done = work(this.db);
      this.db.run("COMMIT");
      return done;
    } finally {
      if (this.db.inTransaction) this.db.run("ROLLBACK");
    }
  }

  write(kind: TransferKind, { rows, carried }: TransferPage): void {
    const last = rows.at(-1);
    if (!last) return;
    this.inTransaction((db) => {
      for (const row of rows) this.#put(kind, row);
      if (carried) noteCarried(db, carried);
      this.move({ kind, after: keyOf(kind, last) });
    });
  }

  /** Statements first: a connection that has one left keeps its locks after it was closed. */
  close(): void {
    for (const statement of [this.#findConversation, this.#addConversation, this.#mark]) statement.finalize();
    for (const statement of this.#inserts.values()) statement.finalize();
    this.rows.close();
    this.db.close(true);
  }

  #put(kind: TransferKind, row: TransferRow): void {
    if (kind === "participants") return this.#putParticipant(row);
    if (kind === "heads") return this.#putHead(row);
    if (kind === "entries") return this.#insert("entries", [this.#cidOf(row[0]), ...row.slice(1)]);
    this.#insert(kind, row);
  }

  #putParticipant([conversation = null, user = null, ...row]: TransferRow): void {
    const cid = this.#cidOf(conversation);
    const [member, cursor] = [row.slice(0, 6), row.slice(6)];
    if (member[5] !== null) this.#insert("members", [cid, user, ...member]);
    if (cursor[0] !== null) this.#insert("cursors", [cid, user, ...cursor]);
  }

  #putHead(row: TransferRow): void {
    const cid = this.#cidOf(row[0]);
    const columns = sqlColumns("heads").slice(1);
    const sets = ["partition", ...columns].map((name) => `${name} = ?`).join(", ");
    const update = this.#prepared("heads", `UPDATE heads SET ${sets} WHERE cid = ?`);
    // No bytes stand for no message, NULL for those of the entry itself: settling sees to the latter.
    const values = row
      .slice(1)
      .map((cell, at) => (columns[at] === "last_message" ? (cell ?? new Uint8Array(0)) : cell));
    update.run(partitionOf("conversation", row[0] as string), ...values, cid);
  }

  /** The local number of a conversation; one that has no head yet gets an empty one. */
  #cidOf(conversation: Cell | undefined): number {
    const name = conversation as string;
    if (this.#last[0] === name) return this.#last[1];
    const found = this.#findConversation.get(name) as { cid: number } | null;
    const cid = found?.cid ?? Number(this.#addConversation.run(name).lastInsertRowid);
    this.#last = [name, cid];
    return cid;
  }

  #insert(table: string, row: TransferRow): void {
    this.#prepared(table, `INSERT INTO ${table} VALUES(${row.map(() => "?").join(", ")})`).run(...row);
  }

  #prepared(name: string, sql: string): Statement {
    const known = this.#inserts.get(name);
    if (known) return known;
    const statement = this.db.prepare(sql);
    this.#inserts.set(name, statement);
    return statement;
  }
}

/** Opens or creates the growing file, for this process alone. Throws a {@link CopyError} that says the fix. */
function openPartial(file: string): Opened {
  let db: Database | null = null;
  try {
    db = new Database(file, { create: true, readwrite: true });
    db.run("PRAGMA busy_timeout = 1000");
    db.run("PRAGMA locking_mode = EXCLUSIVE");
    db.run("PRAGMA journal_mode = WAL");
    // The file is synced as a whole before it gets its name; a loss of power before that loses the latest pages at most.
    db.run("PRAGMA synchronous = NORMAL");
    migrate(db, sqliteMigrations);
    createSideTables(db);
    return new Opened(db);
  } catch (error) {
    db?.close();
    const busy = sqliteCode(error)?.startsWith("SQLITE_BUSY") ?? false;
    const says = busy ? `${file} is being written by another copy` : `${file} cannot be written: ${reasonOf(error)}`;
    throw new CopyError("refused", says, error);
  }
}

/** A file of that name: fine where it is this very copy, finished, and no server has used it. */
function finishedBefore(file: string, from: TransferState): Begun {
  const marker = finishedMarker(file);
  if (marker && sameState(marker.from, from)) return { state: "done" };
  throw new CopyError("refused", `${file} exists; choose another name, or remove it first`);
}

function finishedMarker(file: string): Marker | null {
  let db: Database | null = null;
  try {
    db = new Database(file, { readonly: true });
    if (readSchema(db).schema === 0) return null;
    const marker = markerIn(db);
    const counter = db.query("SELECT value FROM meta WHERE key = 'epochCounter'").get() as { value: number } | null;
    return marker?.state === "done" && marker.epoch === counter?.value ? marker : null;
  } catch {
    return null; // whatever it is, it is not ours to touch
  } finally {
    db?.close();
  }
}

function markerIn(db: Database): Marker | null {
  const row = db.query("SELECT value FROM meta WHERE key = 'copy'").get() as { value: string } | null;
  return row && (JSON.parse(row.value) as Marker);
}

function sameState(a: TransferState, b: TransferState): boolean {
  return a.store === b.store && a.generation === b.generation && a.epoch === b.epoch;
}

function drop(file: string): void {
  for (const suffix of ["", "-wal", "-shm", "-journal"]) rmSync(file + suffix, { force: true });
}
