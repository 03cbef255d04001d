// What a database file needs that several processes of one host have open: a local disk, a bounded log, one that checkpoints.
// Owned by SqliteStore where it is opened `shared`; a process alone uses none of it (docs/decisions/0014-shared-sqlite.md).
import { Database } from "bun:sqlite";
import { statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { StartupError } from "./sqlite-errors";
import { isBusy, pause } from "./sqlite-lock";

/** How a file is used that other processes have open too. Plain data: it goes to the store's threads. */
export interface Sharing {
  /** Writes are refused, to be tried again, while the write-ahead log is longer than this, bytes. */
  readonly logBytesMax: number;
}

/** {@link Sharing.logBytesMax} where nothing else is said. */
export const logBytesMax = 2 * 1024 ** 3;
/** The log begins anew at about this length, bytes. */
export const logBytesRestart = 64 * 1024 ** 2;
/** Writers pause this long before each commit while the log is longer than it should be, up to the other one at its limit, milliseconds. */
const pauseFirstMs = 2;
const pauseLastMs = 50;

/** At which length the log of a shared file begins anew; writers make room for that while it is longer. */
export function restartBytesOf({ logBytesMax: max }: Sharing): number {
  return Math.min(logBytesRestart, max / 4);
}

/** File systems on which locks or shared memory do not hold between machines, by the magic number that Linux tells. */
const networkTypes: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB2"],
  [0x01021997, "9p"],
  [0x5346414f, "AFS"],
  [0x00c36400, "Ceph"],
  [0x0bd00bd0, "Lustre"],
]);

/** What kind of network a file system of this type is on; null: none that is known. */
export function networkOf(type: number): string | null {
  return networkTypes.get(type >>> 0) ?? null;
}

/** Throws a {@link StartupError} that says the fix where `file` lies on another machine's disk. */
export function refuseNetworkFile(file: string, typeOf: (folder: string) => number = typeOfLinux): void {
  const network = networkOf(typeOf(dirname(file)));
  if (network === null) return;
  throw new StartupError(
    `${file} is on a ${network} file system, whose locks do not keep several nodes apart; move it to a disk of this ` +
      "machine, or use MongoDB for nodes on several machines",
  );
}

function typeOfLinux(folder: string): number {
  return process.platform === "linux" ? statfsSync(folder).type : 0;
}

/** Releases of SQLite that mended the reset of the log, by their second number; every later one has it too. */
const mended: ReadonlyMap<number, number> = new Map([
  [44, 6],
  [50, 7],
  [51, 3],
]);

/**
 * Throws a {@link StartupError} that says the fix where this SQLite may damage a file that several connections write and
 * checkpoint (its "WAL-reset bug"). Bun on Linux brings a newer one; on macOS it takes the system's.
 */
export function refuseOldLibrary(version: string): void {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number);
  if (major > 3 || minor > 51 || patch >= (mended.get(minor) ?? Number.POSITIVE_INFINITY)) return;
  throw new StartupError(
    `SQLite ${version} may damage a file that several nodes share; run them with a Bun whose SQLite is 3.51.3 or newer`,
  );
}

/** The length of the write-ahead log beside a database file, bytes; 0 where there is none. Looks at the folder alone. */
export function logBytesOf(file: string): number {
  return statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0;
}

/** Keeps the log of a shared file within its limit, on the writing thread of each process. */
export class LogLimit {
  readonly #file: string;
  readonly #max: number;
  readonly #restart: number;

  constructor(file: string, sharing: Sharing) {
    this.#file = file;
    this.#max = sharing.logBytesMax;
    this.#restart = restartBytesOf(sharing);
  }

  /**
   * Called before each commit, without the lock. Blocks for a moment while the log is longer than it should be: the process that
   * checkpoints needs the lock for a moment too. Answers why nothing may be written, or null.
   */
  refusal(): string | null {
    const size = logBytesOf(this.#file);
    if (size <= this.#restart) return null;
    if (size > this.#max) {
      return (
        `the write-ahead log has grown to ${(size / 1e6).toFixed(0)} MB: a backup, an export or a node that hangs reads ` +
        "an old state of the file; end it, and the log is folded in"
      );
    }
    pause(pauseFirstMs + (pauseLastMs - pauseFirstMs) * (size / this.#max));
    return null;
  }
}

/**
 * The right to checkpoint, which one process has at a time: a lock on a file of its own beside the database, let go of when the
 * process ends, however it ends.
 */
export class CheckpointRight {
  readonly #file: string;
  #held: Database | null = null;

  /** @param file the database */
  constructor(file: string) {
    this.#file = `${file}-checkpointer`;
  }

  /** Whether this process has it, or gets it now. Throws SQLite's error where the file cannot be made. */
  take(): boolean {
    if (this.#held) return true;
    const db = new Database(this.#file, { create: true, readwrite: true });
    try {
      db.run("PRAGMA busy_timeout = 0");
      db.run("BEGIN EXCLUSIVE");
      this.#held = db;
      return true;
    } catch (error) {
      db.close();
      if (isBusy(error)) return false;
      throw error;
    }
  }

  /** Lets another process have it. Idempotent. */
  close(): void {
    if (this.#held?.inTransaction) this.#held.run("ROLLBACK");
    this.#held?.close();
    this.#held = null;
  }
}
