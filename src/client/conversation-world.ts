// What a conversation needs of the client around it: a port, so that it can be tested alone.
import type { ClientId, ConversationId, Seq, UserId } from "../protocol/ids";
import type { ClientClock } from "./clock";
import type { Events } from "./events";
import type { Overlay } from "./facts";
import type { Ticker } from "./observable";
import type { Message } from "./types";

/** What surrounds a conversation. Every method may be called at any time and answers at once. */
export interface ConversationWorld {
  readonly clock: ClientClock;
  readonly ticker: Ticker;
  readonly events: Events;
  readonly resumeEntriesMax: number;
  /** Who is signed in; null before the first sign-in. */
  me(): UserId | null;
  /** What is queued for it. */
  overlay(conversation: ConversationId): Overlay;
  /** Its queued and refused messages, in local order. */
  pendingMessages(conversation: ConversationId): readonly Message[];
  /** An entry shows that this operation of mine was done, at `seq`. */
  confirm(conversation: ConversationId, clientId: ClientId, seq: Seq): void;
  /** A list of conversations or the totals may have changed. */
  rowChanged(): void;
  /** What the cache keeps of it changed. */
  stored(conversation: ConversationId): void;
  /** It is no longer mine; the cache forgets it. */
  removed(conversation: ConversationId): void;
  /** Somebody began to look at it, or nobody does any more. */
  watched(conversation: ConversationId, isWatched: boolean): void;
}
