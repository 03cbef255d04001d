// Online backup: a consistent copy beside its final name, verified, synced, then renamed: a crash leaves none or a whole one.
import { statSync } from "node:fs";
import type { Clock } from "../lib/clock";
import { AppError } from "../lib/errors";
import { partialName } from "./sqlite-copy";
import { WorkerLink } from "./sqlite-link";

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
  const { link } = await WorkerLink.start("copier", { file: from, sharing: null });
  const total = sizeOf(from) + sizeOf(`${from}-wal`);
  const tell = () => onProgress(Math.min(sizeOf(partialName(to)), total), total);
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

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
