// Unread, defined once for server and client (G5). Pure.
import type { Seq } from "./ids";

/** A position in a log with what stood at it: `ordinal` of that entry and `own`, my counted entries up to it. */
export interface Mark {
  readonly seq: Seq;
  readonly ordinal: number;
  readonly own: number;
}

/** What unread is computed from, for one person in one conversation. */
export interface UnreadFacts {
  /** Ordinal of the last entry. */
  readonly headOrdinal: number;
  /** My counted entries in the whole log. */
  readonly myTotal: number;
  /** How far I have read; seq 0 where I never did. */
  readonly cursor: Mark;
  /** Where my present membership began. */
  readonly join: Mark;
}

/**
 * Counted entries after `max(cursor, join)` that are not mine: O(1) from counters, never negative.
 * The same function runs in the session and in the client, so that a refresh never changes a number.
 */
export function unreadOf({ headOrdinal, myTotal, cursor, join }: UnreadFacts): number {
  const base = cursor.seq >= join.seq ? cursor : join;
  return Math.max(0, headOrdinal - base.ordinal - (myTotal - base.own));
}
