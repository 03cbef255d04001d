// Which sessions of which node receive what: the ports between links, interest, the sessions here and the store. Types only.
// Alone, a node needs none of this; in a cluster cluster-gateway.ts puts them together.
import type { ConversationId, Epoch, Seq, UserId, UserSeq } from "../protocol/ids";
import type { FeedTuple } from "../protocol/operations";
import type { Store } from "../storage/store";
import type { PlacedActor } from "./actor";
import type { RowPart } from "./messages";
import type { Incarnation } from "./placement-shares";
import type { Standing } from "./standing";

/** The sessions of this node: the hub. Nothing throws. */
export interface SessionsHere {
  publish(conversation: ConversationId, frame: Uint8Array): void;
  toUser(user: UserId, frame: Uint8Array): void;
  /** These people's sessions receive nothing that is published to this conversation after the call. */
  dropInterest(conversation: ConversationId, users: readonly UserId[]): void;
  feedChanged(user: UserId, changes: readonly FeedTuple[]): void;
  signedOut(user: UserId, device: string | null): void;
  /** How many sessions receive the conversation, in any form. */
  interestedIn(conversation: ConversationId): number;
  /** Whether the person has a session here, opened or about to be. */
  isHere(user: UserId): boolean;
  /** Ends sessions that receive one of these; they resume by seq, spread over `withinMs`. */
  endReceivers(conversations: ReadonlySet<ConversationId>, withinMs: number): void;
  /** Ends the sessions of one device, or all: whoever may still sign in does, within about `withinMs`. */
  endDevice(user: UserId, device: string | null, withinMs: number): void;
  /** What has no number may have been missed: sessions sync again, spread over the answered time, milliseconds. */
  doubted(): number;
}

/** What is read to repair. */
export type InterestStore = Pick<Store, "readRange" | "readHeads" | "readFeed" | "conversationsOf">;

/** What interest asks of the placement: of partitions that are owned here. */
export interface OwnedView {
  epochOf(partition: number): Epoch | null;
  /** As {@link import("./placement").Placement.mayAnswer}. */
  mayAnswer(partition: number): boolean;
}

/** Looks at activations of this node. */
export type Peek = (kind: "conversation", key: string) => PlacedActor | null;

/** What links and interest record. Cheap, never throwing. */
export interface InterestMeter {
  /** One message to other nodes: to one of them, or the common one. */
  fannedOut(target: "node" | "all", items: number, bytes: number): void;
  /** Items that did not leave: not connected, or too much waits; receivers see a gap and repair it. */
  fanOutDropped(items: number): void;
  /** Numbers of a link were missed. */
  linkGap(link: "node" | "all"): void;
  /** Conversations or feeds read from the store because something was missed; entries or changes found. */
  caughtUp(what: "conversation" | "feed", count: number): void;
  /** Sessions were sent away because too much was missed. */
  caughtTooFar(conversations: number): void;
  /** Keys registered with an owner in one request, and what became of it. */
  registered(keys: number, outcome: "answered" | "absent" | "silent" | "away" | "refused"): void;
  /** Messages of other nodes that were not understood, items for nobody here, and others that were let go. */
  ignored(what: "malformed" | "unwanted" | "unknown" | "late"): void;
}

/**
 * What was learnt of conversations before their rows were read, and whether it still holds. Made for one person and a moment;
 * local to this node it costs nothing and holds for ever.
 */
export interface Looks {
  /**
   * @param headSeq of the stored row; a lower one where it is not known
   * @param joinSeq the person's latest join; null where nobody is going to be subscribed by it
   */
  standing(conversation: ConversationId, user: UserId, headSeq: Seq, joinSeq: Seq | null): Standing;
  /** Whether an owner's answer still holds: nothing was committed since that will not be received here. */
  holds(conversation: ConversationId, user: UserId, part: RowPart): boolean;
  /** A row with this head is shown in this step: what is received from here on begins behind it. */
  shows(conversation: ConversationId, head: Seq): void;
}

/** Interest of this node's sessions in what lives elsewhere. */
export interface InterestView {
  /** The conversations that one person is in, ascending. */
  conversationsOf(user: UserId): Promise<readonly ConversationId[]>;
  /**
   * Registers interest in conversations and looks at those that are active, within `timeoutMs`: those whose owner did not
   * answer stand as `recent`. Never rejects.
   */
  look(user: UserId, conversations: readonly ConversationId[], timeoutMs: number): Promise<Looks>;
  /** The person's owner knows that they have a session here. Rejects, retryably, where it does not in time. Before sign-in is checked. */
  arrive(user: UserId, timeoutMs: number): Promise<void>;
  /** Their feed up to here is known to their sessions, or will be read by them. */
  feedAt(user: UserId, userSeq: UserSeq): void;
}

/** Somebody's node, and what it hears of: see {@link import("./cluster-gateway").ClusterGateway}. */
export interface PartitionEvents {
  owned(partition: number, epoch: Epoch): void;
  /** `graceful`: its activations have ended and everything they had to say was handed over. */
  lost(partition: number, graceful: boolean): void;
  nodeGone(node: Incarnation): void;
}
