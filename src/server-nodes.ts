// What this server tells an operator of itself as a node of a cluster. Owned by server.ts.
import { hostname } from "node:os";
import { systemClock } from "./lib/clock";
import { partitionCount } from "./lib/hash";
import { RecentMax } from "./lib/recent-max";
import type { RunningActors } from "./server-actors";
import type { ClusterParts } from "./server-cluster";
import { ClusterNodes } from "./transport/cluster-nodes";
import type { NodeCalls, NodeReport } from "./transport/cluster-nodes";
import type { Readiness } from "./transport/http";

/** How long a lag is remembered at least, milliseconds. */
const lagWindowMs = 5_000;

/** The lag of this process' event loop, for {@link openDirectory} and the metrics. */
export function recentLag(): RecentMax {
  return new RecentMax(lagWindowMs, () => systemClock.monotonic());
}

/** What is reported, and who is asked. */
export interface DirectoryParts {
  readonly cluster: ClusterParts;
  readonly calls: NodeCalls;
  readonly actors: RunningActors;
  /** As the operator calls it; null: by the name of the machine. */
  readonly name: string | null;
  readonly version: string;
  readonly adminUrl: string | null;
  readonly state: () => string;
  readonly readiness: () => Readiness;
  readonly sessions: () => number;
  readonly connections: () => number;
  readonly lag: RecentMax;
  readonly giveUp: () => Promise<void>;
}

/** The nodes of the cluster that this one is in. Begins to answer the others. */
export function openDirectory(parts: DirectoryParts): ClusterNodes {
  const { cluster, calls, actors, giveUp } = parts;
  const startedAt = systemClock.monotonic();
  return new ClusterNodes({
    self: cluster.self,
    calls,
    owners: () => partitionsOf((partition) => actors.node?.ownerOf(partition) ?? null),
    report: () => reportOf(parts, startedAt),
    giveUp,
  });
}

function reportOf(parts: DirectoryParts, startedAt: number): NodeReport {
  const { cluster, actors, name, version, adminUrl, lag } = parts;
  const { kinds, asksWaiting } = actors.stats();
  const host = hostname();
  const owned = partitionsOf((partition) => [partition, actors.node?.epochOf(partition) ?? null] as const);
  return {
    ...{ name: name ?? host, host, version, adminUrl },
    uptimeSeconds: Math.floor((systemClock.monotonic() - startedAt) / 1000),
    state: parts.state(),
    ...parts.readiness(),
    featureLevel: cluster.levels.inForce,
    natsConnected: cluster.bus.connected,
    sessions: parts.sessions(),
    connections: parts.connections(),
    actors: Object.values(kinds).reduce((sum, { active }) => sum + active, 0),
    asksWaiting,
    lagMs: Math.round(lag.max),
    owned: owned.flatMap(([partition, epoch]) => (epoch === null ? [] : [[partition, epoch] as [number, number]])),
  };
}

function partitionsOf<T>(of: (partition: number) => T): readonly T[] {
  return Array.from({ length: partitionCount }, (_, partition) => of(partition));
}
