// Online backup: a consistent copy beside its final name, verified, synced, then renamed: a crash leaves none or a whole one.
import { Database } from "bun:sqlite";
import { closeSync, fsyncSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "../lib/clock";
import { AppError } from "../lib/errors";
import { WorkerLink } from "./sqlite-link";
import { openForReading } from "./sqlite-open";

/** How often progress is told, milliseconds. */
const progressEveryMs = 200;

/**
 * Copies the database `from` to the new file `to` while it is in use, in a thread of its own. Rejects with an AppError that
 * says the fix; the target then is as it was.
 */
export async function backUp(
  from: string,
  to: string,
  clock: Clock,
  onProgress: (done: number, total: number) => void,
): Promise<void> {
  const { link } = await WorkerLink.start("copier", from);
  const total = sizeOf(from) + sizeOf(`${from}-wal`);
  const tell = () => onProgress(Math.min(sizeOf(temporary(to)), total), total);
  let cancel = clock.after(progressEveryMs, function again() {
    tell();
    cancel = clock.after(progressEveryMs, again);
  });
  try {
    await link.ask("copy", to);
    onProgress(total, total);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AppError("internal", `the backup to ${to} failed: ${reason}`, { cause: error });
  } finally {
    cancel();
    link.terminate();
  }
}

/** In the copier's thread: `VACUUM INTO` reads one snapshot, so commits go on and the copy is of one moment. */
export function copyConsistently(from: string, to: string): void {
  const copy = temporary(to);
  rmSync(copy, { force: true });
  const db = openForReading(from);
  try {
    db.prepare("VACUUM INTO ?").run(copy);
  } finally {
    db.close();
  }
  verify(copy);
  syncFile(copy);
  renameSync(copy, to);
  syncFile(dirname(to));
}

/** Throws where SQLite's own check finds the file damaged. */
export function verify(file: string): void {
  const db = new Database(file, { readonly: true });
  try {
    const found = db.query("PRAGMA integrity_check(3)").values().flat();
    if (found.length !== 1 || found[0] !== "ok") throw new Error(`${file} is damaged: ${found.join("; ")}`);
  } finally {
    db.close();
  }
}

/** Makes a file's content, or a folder's names, durable. Never for a database that this process has open. */
export function syncFile(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function temporary(to: string): string {
  return `${to}.partial`;
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
