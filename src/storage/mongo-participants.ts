// The changes of participants: members, marks and totals, each moved only forward by one `$max` (G5).
// Pure. None depends on what is stored, so each may be repeated, and arrive late, without harm.
import { isControlOn } from "../lib/failpoints";
import type { ConversationId, Seq, UserId } from "../protocol/ids";
import type { Update } from "./mongo-commands";
import { markOf, memberPartOf } from "./mongo-schema";
import type { CursorMove, MemberRow } from "./store";

/** A member as the log has them, unless a later entry's row stands there. */
export function memberUpdate(conversation: ConversationId, row: MemberRow): Update {
  return { q: { conversation, user: row.user }, u: { $max: { member: memberPartOf(row) } }, upsert: true };
}

/** A person's counted entries up to `through`, unless a later count stands there. */
export function totalUpdate(
  conversation: ConversationId,
  { user, total }: { readonly user: UserId; readonly total: number },
  through: Seq,
): Update {
  return { q: { conversation, user }, u: { $max: { total: { through, count: total } } }, upsert: true };
}

/** A read mark, unless a later one stands there. */
export function markUpdate(conversation: ConversationId, move: CursorMove): Update {
  // A negative control: marks then go back.
  const operator = isControlOn("negative.cursorWithoutMax") ? "$set" : "$max";
  return { q: { conversation, user: move.user }, u: { [operator]: { mark: markOf(move) } }, upsert: true };
}
