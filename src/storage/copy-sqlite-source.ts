// A database file as the source of a copy: one snapshot of it, or the whole file to itself.
// Owned by whoever opened it; it changes no row.
import { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { CopyError } from "./copy";
import type { TransferKind, TransferSource, TransferState } from "./copy";
import { SqliteRows } from "./copy-sqlite-rows";
import { readSchema } from "./migrations";
import { reasonOf, sqliteCode } from "./sqlite-errors";
import { sqliteMigrations } from "./sqlite-schema";

/** How a file is read. `alone`: no server has it open, nor can start on it meanwhile. `snapshot`: as it is at this moment. */
export type SqliteReading = "alone" | "snapshot";

/** Opens a file of this program's schema. Throws a {@link CopyError} that says the fix. */
export function openSqliteSource(file: string, reading: SqliteReading): TransferSource {
  if (!existsSync(file)) throw new CopyError("refused", `there is no data at ${file}; check the path`);
  const db = new Database(file, reading === "alone" ? { readwrite: true } : { readonly: true });
  try {
    if (reading === "alone") lock(db);
    else db.run("BEGIN");
    checkSchema(db);
    return new SqliteSource(file, db);
  } catch (error) {
    db.close();
    if (error instanceof CopyError) throw error;
    const busy = sqliteCode(error)?.startsWith("SQLITE_BUSY") ?? false;
    const says = busy ? `${file} is in use; stop its server first` : `${file} cannot be read: ${reasonOf(error)}`;
    throw new CopyError("refused", says, error);
  }
}

/** In this mode SQLite keeps the lock of a transaction that has ended; it fails while anybody else has the file open. */
function lock(db: Database): void {
  db.run("PRAGMA busy_timeout = 1000");
  db.run("PRAGMA locking_mode = EXCLUSIVE");
  db.run("BEGIN EXCLUSIVE");
  db.run("COMMIT");
}

function checkSchema(db: Database): void {
  const { schema } = readSchema(db);
  const known = sqliteMigrations.at(-1)?.schema ?? 0;
  if (schema === 0) throw new CopyError("refused", `${db.filename} is empty; there is nothing to copy`);
  if (schema === known) return;
  const other =
    schema < known ? "an older version; start this version on it once" : "a newer version; copy it with that";
  throw new CopyError("refused", `${db.filename} was written by ${other} (schema ${schema}, this one writes ${known})`);
}

class SqliteSource implements TransferSource {
  readonly name: string;
  readonly exact = true;
  readonly #db: Database;
  readonly #rows: SqliteRows;

  constructor(file: string, db: Database) {
    this.name = `sqlite:${file}`;
    this.#db = db;
    this.#rows = new SqliteRows(db);
  }

  async state(): Promise<TransferState> {
    return this.#rows.state();
  }

  async count(kind: TransferKind): Promise<number> {
    return this.#rows.count(kind);
  }

  pages: TransferSource["pages"] = (kind, after) => this.#rows.pages(kind, after);

  async close(): Promise<void> {
    this.#rows.close();
    this.#db.close(true);
  }
}
