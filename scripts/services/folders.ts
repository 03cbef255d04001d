// Temporary folders of servers: data that goes with its server, and logs that stay for a day.
// Each new folder first removes what processes that died left behind, so that nothing piles up.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ServiceName } from "./catalog";

/** Followed by the pid of the owner. */
const dataPrefix = "parley-service-";
const logPrefix = "parley-test-logs-";
const abandonedAfterMs = 600_000;
const logsKeptMs = 86_400_000;

/** A new, empty data folder of this process; whoever asked for it removes it. */
export function dataFolder(name: ServiceName): string {
  sweep(dataPrefix, (rest, ageMs) => ageMs > abandonedAfterMs && !isAlive(Number(rest.split("-")[0])));
  return mkdtempSync(join(tmpdir(), `${dataPrefix}${process.pid}-${name}-`));
}

/** The folder for logs: the one in `PARLEY_TEST_LOGS`, or a new one that the next run after a day removes. */
export function logFolder(): string {
  const given = process.env["PARLEY_TEST_LOGS"];
  if (given) {
    mkdirSync(given, { recursive: true });
    return given;
  }
  sweep(logPrefix, (_rest, ageMs) => ageMs > logsKeptMs);
  return mkdtempSync(join(tmpdir(), logPrefix));
}

function sweep(prefix: string, isOver: (rest: string, ageMs: number) => boolean): void {
  for (const entry of readdirSync(tmpdir())) {
    const path = join(tmpdir(), entry);
    const found = entry.startsWith(prefix) ? statSync(path, { throwIfNoEntry: false }) : undefined;
    if (found === undefined || !isOver(entry.slice(prefix.length), Date.now() - found.mtimeMs)) continue;
    rmSync(path, { recursive: true, force: true });
  }
}

/** By pid; the age of a folder stands for owners whose pid is another container's. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, as somebody else's.
    return !(error instanceof Error && "code" in error && error.code === "ESRCH");
  }
}
