// Brings a database file to the schema this program knows, or says why it cannot. One transaction: a crash leaves old or new.
import type { Database } from "bun:sqlite";
import { failpoint } from "../lib/failpoints";
import { StartupError } from "./sqlite-errors";

/** One step. `schema` rises by one each; `minCompatible` is the oldest schema whose program may still open the result. */
export interface Migration {
  readonly schema: number;
  readonly minCompatible: number;
  /** Runs inside the transaction. */
  up(db: Database): void;
}

/** What a file says about itself; schema 0 is an empty file. */
export interface SchemaState {
  readonly schema: number;
  readonly minCompatible: number;
}

/** Reads the recorded schema. Throws a {@link StartupError} for a database that is not Parley's. */
export function readSchema(db: Database): SchemaState {
  const tables = db.query("SELECT name FROM sqlite_schema WHERE type = 'table'").values().flat();
  if (tables.length === 0) return { schema: 0, minCompatible: 0 };
  if (!tables.includes("meta")) {
    throw new StartupError(
      `${db.filename} is a SQLite database of another program; choose another data folder for this server`,
    );
  }
  const read = db.query("SELECT value FROM meta WHERE key = ?");
  const value = (key: string) => Number((read.get(key) as { value: unknown } | null)?.value ?? 0);
  return { schema: value("schema"), minCompatible: value("minCompatible") };
}

/**
 * Applies what is missing and records `{schema, minCompatible}`, in one immediate transaction. A newer file that allows this
 * program's schema is left as it is; one that does not is refused with a {@link StartupError} that says the fix.
 */
export function migrate(db: Database, migrations: readonly Migration[]): SchemaState {
  const known = migrations.at(-1)?.schema ?? 0;
  db.run("BEGIN IMMEDIATE");
  try {
    const state = readSchema(db);
    if (state.schema > known && state.minCompatible > known) {
      throw new StartupError(
        `${db.filename} was written by a newer version (schema ${state.schema}, needs ${state.minCompatible}; this ` +
          `version knows ${known}); start the newer version again, or restore a backup made before the upgrade`,
      );
    }
    const missing = migrations.filter(({ schema }) => schema > state.schema);
    if (missing.length > 0) apply(db, missing);
    db.run("COMMIT");
    return missing.length > 0 ? readSchema(db) : state;
  } finally {
    if (db.inTransaction) db.run("ROLLBACK");
  }
}

function apply(db: Database, missing: readonly Migration[]): void {
  db.run("CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID");
  const set = db.prepare("INSERT INTO meta(key, value) VALUES(?, ?) ON CONFLICT DO UPDATE SET value = excluded.value");
  for (const migration of missing) {
    migration.up(db);
    failpoint("migrate.middle");
    set.run("schema", migration.schema);
    set.run("minCompatible", migration.minCompatible);
  }
}
