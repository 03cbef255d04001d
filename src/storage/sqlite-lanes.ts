// Which reads share a way to the reading thread: one that may take long never makes others of its batch wait for it (G11).
// Used by sqlite-reads.ts. The thread takes batches in the order handed over, so a read waits for one long one at most.
import type { ReadName } from "./sqlite-reader";
import type { RangeRequest } from "./store";

/** The lanes: `short` reads travel together, `long` ones alone. */
export type LaneName = "short" | "long";

/** Reads handed over together at most, and hand-overs under way at once: what waits meanwhile becomes the next one. */
export const lanes: Readonly<Record<LaneName, { readonly batchMax: number; readonly batchesMax: number }>> = {
  short: { batchMax: 32, batchesMax: 2 },
  long: { batchMax: 1, batchesMax: 1 },
};

/** Entries that a short read may look at. */
const shortScanMax = 1000;

/** Those whose cost grows with a log, a crowd of readers or the number of conversations. */
const alwaysLong: ReadonlySet<ReadName> = new Set<ReadName>([
  "countBySender",
  "readReaders",
  "countReaders",
  "listOpen",
  "listAdvanced",
]);

/** The lane of one read. What is not known to be long before it ran ends its batch when it was: see `Reader.readAll`. */
export function laneOf(name: ReadName, args: readonly unknown[]): LaneName {
  if (alwaysLong.has(name)) return "long";
  return entriesLookedAt(name, args) > shortScanMax ? "long" : "short";
}

function entriesLookedAt(name: ReadName, args: readonly unknown[]): number {
  if (name === "countOwn") return (args[3] as number) - (args[2] as number);
  if (name !== "readRanges") return 0;
  let looked = 0;
  for (const { kind, limit, scanMax } of args[0] as readonly RangeRequest[])
    looked += kind === undefined ? Math.min(limit, scanMax) : scanMax;
  return looked;
}
