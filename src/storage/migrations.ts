// Brings a database file to the schema this program knows, or says why it cannot. One transaction: a crash leaves old or new.
import type { Database } from "bun:sqlite";
import { failpoint } from "../lib/failpoints";
import { StartupError } from "./sqlite-errors";
import { beginImmediate } from "./sqlite-lock";

/**
 * What a step says of itself. `schema` rises by one each; `minCompatible` is the oldest schema whose program may still open
 * the result. Servers of two adjacent releases run side by side, so a step expands: `minCompatible` stays within what the
 * older one knows. One that cannot waits until the level of features in force is `afterLevel`, which no server of a release
 * that could not live with it supports; it is then made at the next start, and until then its program does without.
 */
export interface Step {
  readonly schema: number;
  readonly minCompatible: number;
  readonly afterLevel?: number;
}

/** One step of a file. */
export interface Migration extends Step {
  /** Runs inside the transaction. */
  up(db: Database): void;
}

/** What a file says about itself; schema 0 is an empty file. */
export interface SchemaState {
  readonly schema: number;
  readonly minCompatible: number;
}

/** The steps to make now, in order: those that are missing, up to the first that has to wait. On an empty database: all. */
export function dueSteps<S extends Step>(steps: readonly S[], schema: number, featureLevel: number): readonly S[] {
  const missing = steps.filter((step) => step.schema > schema);
  if (schema === 0) return missing;
  const first = missing.findIndex(({ afterLevel = 0 }) => featureLevel < afterLevel);
  return first < 0 ? missing : missing.slice(0, first);
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
 * Applies what is missing and due ({@link dueSteps}), and records `{schema, minCompatible}`, in one immediate transaction. A newer file that allows this
 * program's schema is left as it is; one that does not is refused with a {@link StartupError} that says the fix.
 * @param waitMs how long to wait while another process does so, beyond the connection's own time-out
 */
export function migrate(db: Database, migrations: readonly Migration[], waitMs = 0): SchemaState {
  const known = migrations.at(-1)?.schema ?? 0;
  beginImmediate(db, waitMs);
  try {
    const state = readSchema(db);
    if (state.schema > known && state.minCompatible > known) {
      throw new StartupError(
        `${db.filename} was written by a newer version (schema ${state.schema}, needs ${state.minCompatible}; this ` +
          `version knows ${known}); start the newer version again, or restore a backup made before the upgrade`,
      );
    }
    const due = dueSteps(migrations, state.schema, state.schema === 0 ? 0 : readLevel(db));
    if (due.length > 0) apply(db, due);
    db.run("COMMIT");
    return due.length > 0 ? readSchema(db) : state;
  } finally {
    if (db.inTransaction) db.run("ROLLBACK");
  }
}

function readLevel(db: Database): number {
  const row = db.query("SELECT value FROM meta WHERE key = 'featureLevel'").get() as { value: unknown } | null;
  return Number(row?.value ?? 0);
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
