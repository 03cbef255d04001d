// What the placement of one node in a cluster is told, and what it wants done: the words between PlacementNode and its runner.
// Types and times only; nothing here touches a network, a store or a clock.
import type { Epoch } from "../protocol/ids";
import type { KvWritten } from "./placement-kv";
import type { Incarnation } from "./placement-shares";

/**
 * What a member says of itself. `serving` takes partitions; `draining` gives all of them away and leaves; `ailing` has not
 * reached the store for a while and gives them to those who can, where there are any.
 */
export type MemberState = "serving" | "draining" | "ailing";

/** What a ping of another node came to: its answer, nobody listening on its subject, or nothing in time. */
export type PingOutcome = "answered" | "absent" | "silent";

/** What the watches of members and claims tell a node. */
export type PlacementNews =
  /** A lease as it was written; or it was deleted (never: expired), by its node or by one that found it dead. */
  | {
      readonly type: "memberSeen";
      readonly member: Incarnation;
      readonly state: MemberState;
      readonly revision: number;
    }
  | { readonly type: "memberGone"; readonly member: Incarnation }
  /** Every lease that stood when the watch began has been told. */
  | { readonly type: "membersCurrent" }
  /** The claims' watch begins, at first or afresh: what follows tells all claims there are, then what becomes of them. */
  | { readonly type: "claimsRestarted" }
  | ({ readonly type: "claimSeen"; readonly partition: number } & Claim)
  /** Every claim that stood when the watch began has been told. */
  | { readonly type: "claimsCurrent" };

/** What stands in a partition's claim; nobody's at revision 0 where there is none. */
export interface Claim {
  readonly owner: Incarnation | null;
  readonly revision: number;
}

/**
 * Everything else that may happen to a node. Answers to commands carry back what names the command; each is answered once,
 * within a bounded time, in any order.
 */
export type PlacementEvent =
  /** Time has passed: at least every {@link placementTimes.tickMs}, and soon after anything else while {@link PlacementNode.dirty}. */
  | { readonly type: "tick" }
  /** The connection to NATS; it begins as lost. */
  | { readonly type: "connected" | "disconnected" }
  /** The router found nobody listening for a partition. */
  | { readonly type: "unreachable"; readonly partition: number }
  /** An activation was fenced or could not begin. */
  | { readonly type: "suspected"; readonly partition: number }
  /** Give everything away and leave; once. */
  | { readonly type: "drain" }
  | { readonly type: "renewed"; readonly ok: boolean; readonly beganAt: number }
  | {
      readonly type: "claimAnswered";
      readonly partition: number;
      readonly attempt: number;
      readonly answer: KvWritten;
    }
  /** `epoch` null: the store could not say, or could not do it. */
  | {
      readonly type: "bumped";
      readonly partitions: readonly number[];
      readonly epoch: Epoch | null;
      readonly beganAt: number;
    }
  /** `lost`: those of the audited whose epoch is not the newest any more; null: the store could not say. */
  | {
      readonly type: "audited";
      readonly held: readonly Holding[];
      readonly lost: readonly number[] | null;
      readonly beganAt: number;
    }
  | { readonly type: "subscribed"; readonly partition: number; readonly epoch: Epoch; readonly ok: boolean }
  | { readonly type: "released"; readonly partition: number; readonly epoch: Epoch }
  | { readonly type: "pinged"; readonly member: Incarnation; readonly outcome: PingOutcome };

/** A partition, and the epoch under which it is held. */
export type Holding = readonly [partition: number, epoch: Epoch];

/** What a node wants done, in this order. Those that have an answer name the event that brings it. */
export type PlacementCommand =
  /** Write my lease. → `renewed` */
  | { readonly op: "renew"; readonly state: MemberState }
  /** Take my lease back: nothing is mine any more, and others need not wait for silence. */
  | { readonly op: "leave" }
  /** Delete another's lease if it still stands at `revision`: everybody hears at once that it is dead. Best effort. */
  | { readonly op: "expel"; readonly member: Incarnation; readonly revision: number }
  /** Write a claim if it still stands at `revision` (0: if there is none). → `claimAnswered` */
  | {
      readonly op: "claim";
      readonly partition: number;
      readonly owner: Incarnation | null;
      readonly revision: number;
      readonly attempt: number;
    }
  /** Take a fresh epoch in the store, fencing every older one. → `bumped` */
  | { readonly op: "bump"; readonly partitions: readonly number[] }
  /** Ask the store whether these epochs are the newest; also where there are none, to see whether it answers. → `audited` */
  | { readonly op: "audit"; readonly held: readonly Holding[] }
  /** Listen for the partition; activations may begin under this epoch. → `subscribed` */
  | { readonly op: "subscribe"; readonly partition: number; readonly epoch: Epoch }
  /** Reopen, throttled, what the predecessor left open. */
  | { readonly op: "reopen"; readonly partition: number; readonly epoch: Epoch }
  /** Drain the subscription, handle what has arrived, finish commits, end the activations. → `released` */
  | { readonly op: "release"; readonly partition: number; readonly epoch: Epoch }
  /** Stop listening and end the activations at once, without a word: another owns the partition. */
  | { readonly op: "drop"; readonly partition: number; readonly epoch: Epoch }
  /** Ask another node whether it is there, `afterMs` from now. → `pinged` */
  | { readonly op: "ping"; readonly member: Incarnation; readonly afterMs: number }
  /** The claims' watch seems to have lost something: begin it afresh. */
  | { readonly op: "rewatch" }
  /** The partition's claim names another owner than before: resend what is in flight to it. */
  | { readonly op: "moved"; readonly partition: number; readonly owner: Incarnation | null }
  /** A drain is complete: nothing is claimed by this node any more. */
  | { readonly op: "departed" };

/** Milliseconds of a node's own monotonic clock. Fixed for all nodes of a cluster: they judge each other by them. */
export const placementTimes = {
  /** Longest pause between two looks at the time. */
  tickMs: 100,
  /** A lease is renewed this often, sooner after a failure or when what it says changes. */
  renewMs: 1000,
  renewRetryMs: 250,
  /** A lease's life in the bucket. */
  ttlMs: 3000,
  /** A member that missed a renewal is pinged, this often. */
  missedMs: 1300,
  pingMs: 500,
  /** Between the two pings that must both find nobody. */
  pingAgainMs: 100,
  /** A silent member is suspected after 1.25 times its lease's life. */
  suspectMs: 3750,
  /** Only who has kept its own lease for 1.5 times its life judges others. */
  judgeMs: 4500,
  /** A pause of this node, between two looks, after which nothing it knew is current. */
  pauseMs: 1500,
  /** How often epochs are audited, and at the soonest when one is suspected. */
  auditMs: 250,
  auditAgainMs: 50,
  /** A reply without a stored row of its own leaves only if the last audit began less than this ago. */
  auditFreshMs: 1000,
  /** Before partitions move to even out loads, or are claimed that nobody ever owned: members and loads stand this long. */
  settleMs: 1000,
  /** A release that takes longer is ended: the store fences what it leaves. */
  releaseMs: 1000,
  /** Without an answer of the store for this long a member calls itself ailing; twice that, and it gives its partitions away. */
  ailingMs: 2000,
  /** However restless the members are, what nobody owns is claimed after this long. */
  restlessMs: 5000,
  /** Before a claim, a subscription or an epoch that was not granted is tried again. */
  retryMs: 200,
  /** A suspected member that never came back is forgotten. */
  forgetMs: 60_000,
} as const;

/** How much one node does at once. */
export const placementLimits = {
  /** Claims in flight. */
  claims: 64,
  /** Partitions being released, to even out loads and to leave. */
  handOffs: 8,
  drains: 16,
  /** Conflicts in a row at a revision the watch still shows, before the watch is doubted. */
  conflicts: 5,
} as const;
