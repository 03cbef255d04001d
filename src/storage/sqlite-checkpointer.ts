// Folds the write-ahead log of a shared file into it, in the one process that has the right to; lives in a worker thread.
// Readers and writers of all processes go on meanwhile; so that the log can begin anew, writers stand still for a moment.
import type { Database } from "bun:sqlite";
import { failpoint } from "../lib/failpoints";
import { CheckpointRight, logBytesOf, restartBytesOf } from "./sqlite-sharing";
import type { Sharing } from "./sqlite-sharing";

/** What one round came to. */
export interface CheckpointRound {
  /** Whether this process is the one that checkpoints. */
  readonly mine: boolean;
  /** Bytes copied, about. */
  readonly copied: number;
}

/** A page in the log with its header, bytes, where pages have SQLite's default size. */
const frameBytes = 4096 + 24;
/** The log is made to begin anew from this part of {@link restartBytesOf} on: before writers have to make room. */
const restartPart = 0.75;
/** Not while more than this is left to copy, bytes: then somebody reads an old state, and writers would wait for nothing. */
const leftMax = 8 * 1024 ** 2;
/** How long writers may stand still for it, milliseconds: the wait for the lock, and for those who still read the log. */
const restartWaitMs = 50;

/** Not thread-safe: one connection's. */
export class Checkpointer {
  readonly #db: Database;
  readonly #file: string;
  readonly #restartBytes: number;
  readonly #right: CheckpointRight;
  #copiedFrames = 0;
  /** How far a round had come that could not make the log begin anew: until it is another number, the next one could not either. */
  #stuckAt = -1;

  /** @param db a writing connection of its own to `file` */
  constructor(db: Database, file: string, sharing: Sharing) {
    this.#db = db;
    this.#file = file;
    this.#restartBytes = restartBytesOf(sharing);
    this.#right = new CheckpointRight(file);
    db.run(`PRAGMA busy_timeout = ${restartWaitMs}`);
  }

  /** Copies what can be copied, where that is this process's to do. Throws SQLite's error where the disk fails. */
  round(): CheckpointRound {
    if (!this.#right.take()) return { mine: false, copied: 0 };
    failpoint("checkpoint.before");
    const { log, done } = this.#checkpoint("PASSIVE");
    const before = done < this.#copiedFrames ? 0 : this.#copiedFrames;
    this.#copiedFrames = done;
    const long = log * frameBytes >= this.#restartBytes * restartPart;
    if (long && (log - done) * frameBytes <= leftMax && done !== this.#stuckAt) this.#restart();
    return { mine: true, copied: (done - before) * frameBytes };
  }

  /** Lets another process take over. */
  close(): void {
    this.#right.close();
    this.#db.close();
  }

  /** A log that is longer than it should be is cut off here: its writers may be waiting for just that. */
  #restart(): void {
    const cut = logBytesOf(this.#file) > this.#restartBytes;
    const { busy, done } = this.#checkpoint(cut ? "TRUNCATE" : "RESTART");
    this.#stuckAt = busy ? done : -1;
  }

  /** Frames in the log, and those of them that are in the file. */
  #checkpoint(mode: "PASSIVE" | "RESTART" | "TRUNCATE"): { busy: boolean; log: number; done: number } {
    const rows = this.#db.query(`PRAGMA wal_checkpoint(${mode})`).values();
    const [busy, log, done] = rows[0] as [busy: number, log: number, done: number];
    return { busy: busy !== 0, log: Math.max(0, log), done: Math.max(0, done) };
  }
}
