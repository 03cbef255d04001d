// What makes a server a node of a cluster: its name for this life, its connection, its features, and whom its partitions concern.
// Owned by server.ts; here the NATS driver is named.
import { randomBytes } from "node:crypto";
import type { PartitionListener } from "./actors/cluster-inbox";
import { leaseOf } from "./actors/cluster-placement";
import type { ClusterNode, ClusterNodeOptions } from "./actors/cluster-node";
import { FeatureLevel, releaseLevel } from "./actors/feature-level";
import type { Incarnation } from "./actors/placement-shares";
import { systemClock } from "./lib/clock";
import { partitionCount } from "./lib/hash";
import type { ClusterFigures } from "./lib/cluster-metrics";
import type { Log } from "./lib/log";
import type { Metrics } from "./lib/metrics";
import type { Config } from "./lib/settings";
import type { Store } from "./storage/store";
import type { NodeCalls } from "./transport/cluster-nodes";
import { openNats } from "./transport/nats";
import type { NatsNode } from "./transport/nats";
import { joinCluster, thisHost } from "./transport/nats-cluster-note";
import type { ClusterNote } from "./transport/cluster-note";

/** What the actors of a node need of its cluster. */
export type ClusterParts = Pick<
  ClusterNodeOptions,
  "self" | "bus" | "claims" | "members" | "levels" | "listener" | "meter"
> & {
  readonly nats: NatsNode;
  readonly levels: FeatureLevel;
  /** What nodes ask each other beside asks of actors. */
  readonly links: NodeCalls | null;
};

/** What a node joins with. */
export interface JoinOptions {
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly store: Store;
  /** Opens the connection, instead of the driver. */
  readonly openNats?: ((config: Config) => Promise<NatsNode>) | undefined;
  /** The data relies on more than this release knows: the server should leave. */
  readonly onOutdated: (inForce: number) => void;
  /** Another deployment took this cluster's place while this node was not heard: the server should leave. */
  readonly onForeign: (says: string) => void;
}

/** Connects, and finds out whether this node may serve. Rejects with a sentence for the operator where it may not. */
export async function joinAsNode(options: JoinOptions, opening: AsyncDisposableStack): Promise<ClusterParts> {
  const { config, log, metrics, store, onOutdated } = options;
  const self: Incarnation = newIncarnation();
  const nats = await (options.openNats?.(config) ?? openNats({ settings: config, clock: systemClock, log }));
  opening.defer(() => nats.close());
  await joinCluster({
    claims: nats.claims,
    members: nats.members,
    clock: systemClock,
    self,
    // Not serving yet, but seen: whoever raises the level of features reckons with it.
    lease: leaseOf("draining", releaseLevel),
    note: await noteOf(config, store),
    onForeign: options.onForeign,
  });
  const levels = await FeatureLevel.open({ store, clock: systemClock, level: releaseLevel, onOutdated });
  opening.defer(() => levels.close());
  const { bus, claims, members } = nats;
  return { self, nats, bus, claims, members, levels, links: null, listener: nobody, meter: metrics };
}

const nobody: PartitionListener = { owned: () => undefined, lost: () => undefined, nodeGone: () => undefined };
/** What all nodes of a cluster have in common; a file is shared on one host alone. */
async function noteOf({ store: setting }: Config, { generation }: Store): Promise<ClusterNote> {
  const isFile = !setting.startsWith("mongodb");
  const host = isFile ? await thisHost() : null;
  return { partitions: partitionCount, storeKind: isFile ? "sqlite" : "mongodb", generation, host };
}

/** What is shown of a node's part in its cluster. */
export function clusterFigures({ nats, levels }: ClusterParts, node: ClusterNode): ClusterFigures {
  const { connections, bytesWaiting, refused } = nats.stats();
  const { members, unowned, phases } = node.stats().placement;
  const ofNats = {
    natsConnected: nats.bus.connected,
    natsConnections: connections,
    natsBytesWaiting: bytesWaiting,
    natsRefused: refused,
  };
  return { ...ofNats, members, unowned, phases, featureLevel: levels.inForce };
}

/** A name that no other process ever had: 64 random bits. */
function newIncarnation(): Incarnation {
  return randomBytes(8).toString("base64url");
}
