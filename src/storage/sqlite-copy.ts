// Makes a consistent, verified and durable copy of a database file: the work of a backup's thread, and parts of a restore.
import { Database } from "bun:sqlite";
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { openForReading } from "./sqlite-open";

/** In the copier's thread: `VACUUM INTO` reads one snapshot, so commits go on and the copy is of one moment. */
export function copyConsistently(from: string, to: string): void {
  const copy = partialName(to);
  if (existsSync(to)) throw new Error(`${to} exists; choose another name, or remove it first`);
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

/** Where a copy grows before it has its name. */
export function partialName(to: string): string {
  return `${to}.partial`;
}
