// Opens connections to the database file with the settings the guarantees rest on: WAL, and synchronous FULL for writers (G1).
import { Database } from "bun:sqlite";
import { isControlOn } from "../lib/failpoints";
import { reasonOf, StartupError } from "./sqlite-errors";
import { isBusy } from "./sqlite-lock";
import type { Sharing } from "./sqlite-sharing";

/** How long a statement other than a commit's BEGIN waits for another process, milliseconds. */
const busyTimeoutMs = 2000;
/** How often opening is tried while another process opens the same file. */
const openAttempts = 20;
/** As {@link openAttempts} where several processes share it: one of them may be folding in a long log that a crash left. */
const sharedAttempts = 1000;
const writerCacheKib = 64 * 1024;
/** Each commit of another process empties the cache: more would only stay unused. */
const sharedCacheKib = 16 * 1024;
const readerCacheKib = 8 * 1024;

/** The one writing connection: WAL, every commit synced. Throws a {@link StartupError} that says the fix. */
export function openForWriting(file: string, sharing: Sharing | null = null): Database {
  return opened(file, sharing ? sharedAttempts : openAttempts, () => {
    const db = new Database(file, { create: true, readwrite: true });
    return configured(db, () => {
      // The timeout first: switching to WAL races with another process that opens the file.
      db.run(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
      switchToLog(db);
      db.run(`PRAGMA synchronous = ${isControlOn("negative.synchronousOff") ? "OFF" : "FULL"}`);
      // Checkpoints are made by a thread of their own (sqlite-checkpoints.ts), so that no commit waits for one.
      db.run("PRAGMA wal_autocheckpoint = 0");
      db.run(`PRAGMA cache_size = -${sharing ? sharedCacheKib : writerCacheKib}`);
    });
  });
}

/** A reading connection; it never waits for the writer and never blocks it. It may copy the database elsewhere. */
export function openForReading(file: string): Database {
  return opened(file, openAttempts, () => {
    const db = new Database(file, { readonly: true });
    return configured(db, () => {
      db.run(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
      db.run(`PRAGMA cache_size = -${readerCacheKib}`);
      db.query("SELECT 1 FROM sqlite_schema").get();
    });
  });
}

/** Throws as if the file were locked where SQLite leaves the mode as it was without a word: another process is switching it. */
function switchToLog(db: Database): void {
  const mode = (): unknown => db.query("PRAGMA journal_mode").values()[0]?.[0];
  if (mode() === "wal") return;
  db.run("PRAGMA journal_mode = WAL");
  if (mode() !== "wal") throw Object.assign(new Error("database is locked"), { code: "SQLITE_BUSY" });
}

function configured(db: Database, configure: () => void): Database {
  try {
    configure();
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function opened(file: string, attempts: number, open: () => Database): Database {
  for (let attempt = 1; ; attempt++) {
    try {
      return open();
    } catch (error) {
      if (!isBusy(error) || attempt >= attempts) {
        throw new StartupError(`cannot open ${file}: ${reasonOf(error)}`, { cause: error });
      }
      Bun.sleepSync(5 + Math.random() * 20);
    }
  }
}
