// Where conversation and user actors hand what must reach sockets. One node: the hub itself (transport/hub.ts); in a cluster
// cluster-gateway.ts stands before it. Nothing is handed over before its commit is durable (output gate).
import type { ConversationId, Seq, UserId } from "../protocol/ids";
import type { FeedTuple } from "../protocol/operations";

/** Which entries of a log one frame holds: `first` to `last` without a gap, and whose membership `last` ends. */
export interface EntrySpan {
  readonly first: Seq;
  readonly last: Seq;
  readonly gone: readonly UserId[];
}

/** Frames are whole encoded frames (codec.ts), shared by every receiver; nobody changes them. */
export interface Gateway {
  /** To every session that receives this conversation, in call order. For what has no place in the log: signals, receipts. */
  publish(conversation: ConversationId, frame: Uint8Array): void;
  /** Stored entries, as `publish`; sessions of those `gone` receive nothing of the conversation after them. */
  entries(conversation: ConversationId, frame: Uint8Array, span: EntrySpan): void;
  /** To every session of one person, in call order; it is about this conversation. */
  toUser(user: UserId, frame: Uint8Array, conversation: ConversationId): void;
  /** The log reaches to `seq`, and a predecessor may not have published all of it. */
  headKnown(conversation: ConversationId, seq: Seq): void;
  /** Changes of a person's feed, in order: pushed to their sessions, which begin to receive a conversation they were added to. */
  feedChanged(user: UserId, changes: readonly FeedTuple[]): void;
  /** Closes the person's sockets: all of them, or those of one device. */
  signedOut(user: UserId, device: string | null): void;
}
