// Takes the file's one write lock in turns with other processes. Used by whatever begins a writing transaction.
// SQLite's own time-out starves one of several processes: its pauses grow, so whoever waited longest looks most rarely.
import type { Database } from "bun:sqlite";
import { sqliteCode } from "./sqlite-errors";

/** Between two looks at a taken lock, milliseconds: drawn anew each time, so that nobody has a place in the queue. */
const pauseMinMs = 0.2;
const pauseMaxMs = 1;

/** Waited for in vain; each thread has one. */
const neverChanged = new Int32Array(new SharedArrayBuffer(4));

/**
 * Begins a writing transaction, trying again for `waitMs` while another connection writes; each try waits as long as the
 * connection's `busy_timeout` says, 0 for turns that are fair. Throws SQLite's error. Blocks the thread.
 *
 * @returns whether another one was writing
 */
export function beginImmediate(db: Database, waitMs: number): boolean {
  const deadline = performance.now() + waitMs;
  for (let hadToWait = false; ; hadToWait = true) {
    try {
      db.run("BEGIN IMMEDIATE");
      return hadToWait;
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) throw error;
      pause(pauseMinMs + Math.random() * (pauseMaxMs - pauseMinMs));
    }
  }
}

/** Whether another connection holds a lock that was needed. */
export function isBusy(error: unknown): boolean {
  return sqliteCode(error)?.startsWith("SQLITE_BUSY") ?? false;
}

/** Blocks the thread for a while, fractions of a millisecond too. */
export function pause(ms: number): void {
  Atomics.wait(neverChanged, 0, 0, ms);
}
