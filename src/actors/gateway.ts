// Where conversation and user actors hand what must reach sockets. One node: the hub itself (transport/hub.ts).
// Nothing is handed over before its commit is durable (output gate).
import type { ConversationId, UserId } from "../protocol/ids";
import type { FeedTuple } from "../protocol/operations";

/** Frames are whole encoded frames (codec.ts), shared by every receiver; nobody changes them. */
export interface Gateway {
  /** To every session that receives this conversation, in call order. */
  publish(conversation: ConversationId, frame: Uint8Array): void;
  /** To every session of one person, in call order. */
  toUser(user: UserId, frame: Uint8Array): void;
  /** These people's sessions receive nothing that is published to this conversation after the call. */
  dropInterest(conversation: ConversationId, users: readonly UserId[]): void;
  /** Changes of a person's feed, in order: pushed to their sessions, which begin to receive a conversation they were added to. */
  feedChanged(user: UserId, changes: readonly FeedTuple[]): void;
  /** Closes the person's sockets: all of them, or those of one device. */
  signedOut(user: UserId, device: string | null): void;
}
