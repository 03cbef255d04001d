// Why a node does not join its cluster, in words for an operator.

/** This node cannot join; the message says why, and the fix. It never holds a password. */
export class ClusterRefusal extends Error {
  override readonly name = "ClusterRefusal";
}
