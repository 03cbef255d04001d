// How a conversation stands for a reader at a moment: who may speak for it, the store or its owner.
// Types only; answered by rows.ts for what lives on this node, by interest-looks.ts for all of a cluster.
import type { ConversationPeek } from "./messages";

/** What a conversation's activation on this node says of one member at this moment. */
export type Peeked = NonNullable<ReturnType<ConversationPeek["peek"]>>;

/**
 * How a conversation stands on this node now.
 * - `active`: `seen` is its committed state; null for who is not a member
 * - `recent`: it was active moments ago, so what was read of it from the store may be old
 * - `quiet`: neither; the store is right where it says closed
 * - `away`: it lives on another node, which has not answered, or may have gone on unheard
 */
export type Standing =
  | { readonly state: "active"; readonly seen: Peeked | null }
  | { readonly state: "recent" }
  | { readonly state: "quiet" }
  | { readonly state: "away" };
