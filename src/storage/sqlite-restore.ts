// Restore: a verified copy of a backup takes the place of the data, under a new generation and with epochs carried upward.
// The server is stopped meanwhile. A crash at any moment leaves the target as it was, or whole and new.
import { Database } from "bun:sqlite";
import {
  createReadStream,
  createWriteStream,
  existsSync,
  linkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import { failpoint } from "../lib/failpoints";
import { syncFile, verify } from "./sqlite-copy";
import { readSchema } from "./migrations";
import { reasonOf, StartupError } from "./sqlite-errors";
import { sqliteMigrations } from "./sqlite-schema";

/** What to restore, and where. */
export interface RestoreOptions {
  /** A file that `backup` wrote. It is only read. */
  readonly from: string;
  /** The database file to make; its folder exists. */
  readonly to: string;
  /** Whether a database that stands there may be replaced. It is kept beside as `<to>.replaced`. */
  readonly force?: boolean;
  /** Bytes copied, of how many. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** What a restore brought. */
export interface Restored {
  readonly generation: string;
  readonly conversations: number;
  readonly bytes: number;
}

/**
 * Epochs taken after the backup was made are not in it; a jump past any number that can have been minted since keeps a
 * forgotten server of the old data fenced.
 */
export const epochLeap = 1_000_000;

/** Restores a backup. Rejects with a {@link StartupError} that says the fix; the target then is as it was. */
export async function restoreSqlite(options: RestoreOptions): Promise<Restored> {
  const { from, to, force = false } = options;
  const replaces = existsSync(to);
  if (!existsSync(from)) throw new StartupError(`there is no backup at ${from}; check the path`);
  if (replaces && !force) {
    throw new StartupError(
      `${to} exists; stop its server and restore with --force to replace it, or choose another folder`,
    );
  }
  if (replaces && realpathSync(from) === realpathSync(to)) {
    throw new StartupError(`${from} is the data itself; name a backup of it`);
  }
  const copy = `${to}.restoring`;
  drop(copy);
  try {
    await copyFile(options, copy);
    check(copy, from);
    const restored = renew(copy, replaces ? retire(to) : 0);
    syncFile(copy);
    if (replaces) keepReplaced(to);
    else setAside(to, `${to}.left`);
    failpoint("restore.middle");
    renameSync(copy, to);
    syncFile(dirname(to));
    return restored;
  } catch (error) {
    drop(copy);
    throw error;
  }
}

function drop(file: string): void {
  for (const suffix of ["", "-wal", "-shm", "-journal"]) rmSync(file + suffix, { force: true });
}

async function copyFile({ from, onProgress }: RestoreOptions, copy: string): Promise<void> {
  const total = statSync(from).size;
  let done = 0;
  const source = createReadStream(from, { highWaterMark: 1024 * 1024 });
  source.on("data", (chunk) => {
    done += chunk.length;
    onProgress?.(done, total);
  });
  await pipeline(source, createWriteStream(copy, { flags: "wx" }));
}

/** Throws a {@link StartupError} where the copy is damaged, empty, or of a newer version. */
function check(copy: string, from: string): void {
  try {
    verify(copy);
  } catch (error) {
    throw new StartupError(`${from} cannot be restored: ${reasonOf(error)}; choose another backup`, { cause: error });
  }
  using db = new Database(copy, { readwrite: true });
  const { schema, minCompatible } = readSchema(db);
  const known = sqliteMigrations.at(-1)?.schema ?? 0;
  if (schema === 0) throw new StartupError(`${from} is empty; choose another backup`);
  if (schema > known && minCompatible > known) {
    throw new StartupError(`${from} was made by a newer version (schema ${schema}); restore it with that version`);
  }
}

/** Gives the copy a generation of its own and epochs above every one that was ever taken. */
function renew(copy: string, oldEpoch: number): Restored {
  using db = new Database(copy, { readwrite: true });
  db.run("PRAGMA journal_mode = DELETE");
  db.run("PRAGMA synchronous = FULL");
  const generation = crypto.randomUUID();
  db.transaction(() => {
    db.query("UPDATE meta SET value = ? WHERE key = 'generation'").run(generation);
    db.query("UPDATE meta SET value = max(value, ?) + ? WHERE key = 'epochCounter'").run(oldEpoch, epochLeap);
    db.run("DELETE FROM partitions");
  })();
  const { n } = db.query("SELECT count(*) AS n FROM heads").get() as { n: number };
  return { generation, conversations: n, bytes: statSync(copy).size };
}

/**
 * Makes sure that no server uses the old database and that its log is folded into its one file, so that it can be moved
 * aside whole. Answers its epoch counter, 0 where it is too damaged to say.
 */
function retire(file: string): number {
  const db = new Database(file, { readwrite: true });
  try {
    db.run("PRAGMA busy_timeout = 1000");
    const row = db.query("SELECT value FROM meta WHERE key = 'epochCounter'").get() as { value: number } | null;
    // Leaving WAL needs the file to itself: this fails while any server has it open.
    db.run("PRAGMA journal_mode = DELETE");
    return row?.value ?? 0;
  } catch (error) {
    const reason = reasonOf(error);
    if (reason.includes("locked")) throw new StartupError(`${file} is in use; stop its server first`, { cause: error });
    return 0;
  } finally {
    db.close();
  }
}

/**
 * A second name for the old file, so that one rename puts the new one in its place: there is no moment without a database.
 * A log that could not be folded in goes first: the new file must never meet it.
 */
function keepReplaced(file: string): void {
  const kept = `${file}.replaced`;
  drop(kept);
  setAside(file, kept);
  linkSync(file, kept);
}

/** Moves what a crash left beside the data: SQLite would play it into whatever file stands there next. */
function setAside(file: string, kept: string): void {
  for (const suffix of ["-wal", "-shm", "-journal"]) {
    if (existsSync(file + suffix)) renameSync(file + suffix, kept + suffix);
  }
}
