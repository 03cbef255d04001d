// One build or installation at a time on this machine, across processes: builds want both cores and the linker's memory.
// The lock is SQLite's on a file in the cache, so the system gives it back when its holder dies in any way.
import { Database } from "bun:sqlite";
import { join } from "node:path";
import { say } from "./catalog";

const lookAgainMs = 250;

/** Runs `work` while no other process runs another under the same folder; waits for as long as that takes, and says so. */
export async function alone<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const lock = new Database(join(folder, "build.lock"), { create: true });
  try {
    lock.exec("PRAGMA busy_timeout = 0");
    if (!taken(lock)) {
      say("another build is under way; waiting for it ...");
      while (!taken(lock)) await Bun.sleep(lookAgainMs);
    }
    return await work();
  } finally {
    lock.close();
  }
}

function taken(lock: Database): boolean {
  try {
    lock.exec("BEGIN EXCLUSIVE");
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "SQLITE_BUSY") return false;
    throw error;
  }
}
