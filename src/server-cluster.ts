// What makes a server a node of a cluster: its name for this life, its connection, and whom its partitions' life concerns.
// Owned by server.ts; here the NATS driver is named.
import { randomBytes } from "node:crypto";
import type { ClusterNodeOptions } from "./actors/cluster-node";

/** What the actors of a node need of its cluster. */
export type ClusterParts = Pick<
  ClusterNodeOptions,
  "self" | "bus" | "claims" | "members" | "levels" | "listener" | "meter"
>;

/** A name that no other process ever had: 64 random bits. */
export function newIncarnation(): string {
  return randomBytes(8).toString("base64url");
}
