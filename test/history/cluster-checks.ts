// What must hold of a cluster as a whole once everything is healed: I9, and epochs of a partition that never go back (I8).
// Pure; part of checker.ts.
import type { HistoryEvent, Owners } from "./events";

/** @param at seconds: what happened before it is what a reader wants to see */
export type ReportCluster = (name: "I8" | "I9", says: string, at: number) => void;

/** Looks at every event that is about no conversation. */
export function checkCluster(events: readonly HistoryEvent[], report: ReportCluster): void {
  const epochs = new Map<number, number>();
  for (const event of events) {
    switch (event.e) {
      case "settled": {
        const { what, ms, limitMs, t } = event;
        if (ms === null) report("I9", `${what} did not succeed within ${limitMs} ms of healing`, t);
        else if (ms > limitMs) report("I9", `${what} took ${ms} ms after healing, ${limitMs} are allowed`, t);
        break;
      }
      case "memory": {
        const { node, mib, limitMib, t } = event;
        if (mib > limitMib) report("I9", `${node} took ${mib} MiB of memory, ${limitMib} are allowed`, t);
        break;
      }
      case "handoff":
        if (event.lost > 0) report("I9", `${event.node} left ${event.lost} requests unanswered as it drained`, event.t);
        break;
      case "owners":
        checkOwners(event, epochs, report);
        break;
      default:
    }
  }
}

function checkOwners({ owned, partitions, t }: Owners, epochs: Map<number, number>, report: ReportCluster): void {
  const ownersOf = new Map<number, string[]>();
  for (const [node, owns] of owned) {
    for (const [partition, epoch] of owns) {
      ownersOf.set(partition, [...(ownersOf.get(partition) ?? []), node]);
      const before = epochs.get(partition) ?? 0;
      if (epoch < before) report("I8", `partition ${partition} is at epoch ${epoch} after epoch ${before}`, t);
      epochs.set(partition, Math.max(before, epoch));
    }
  }
  for (let partition = 0; partition < partitions; partition++) {
    const owners = ownersOf.get(partition) ?? [];
    if (owners.length === 0) report("I9", `nobody answers for partition ${partition}`, t);
    if (owners.length > 1) report("I9", `${owners.join(" and ")} answer for partition ${partition}`, t);
  }
}
