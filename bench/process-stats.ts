// CPU time and memory of a process, from /proc.
import { readFileSync } from "node:fs";
import type { Target } from "./plan";

const ticksPerSecond = 100;

/** CPU seconds used so far, user and system, all threads. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** CPU seconds used so far by all nodes of a target. */
export function cpuSecondsOf({ nodes, pid }: Target): number {
  return nodes ? nodes.reduce((sum, node) => sum + cpuSeconds(node.pid), 0) : cpuSeconds(pid);
}

/** Resident memory in KB. */
export function residentKb(pid: number): number {
  const found = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(found?.[1] ?? 0);
}
