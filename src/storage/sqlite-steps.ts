// Counts over long logs of a shared file, in steps: no one read holds an old state of it for long, and none keeps the reading
// thread from an audit. Entries never change, so that steps come to the same as one look.
import type { ConversationId, Seq, UserId } from "../protocol/ids";
import type { ReadLink } from "./sqlite-reads";

/** Entries that one step looks at. */
const stepEntries = 20_000;

/** `countBySender` of the port. */
export async function countBySenderInSteps(
  reads: ReadLink,
  conversation: ConversationId,
  after: Seq,
): Promise<readonly { user: UserId; count: number }[]> {
  const [head] = await reads.read("readHeads", [[conversation]]);
  const counts = new Map<UserId, number>();
  for (let from = after; from < (head?.seq ?? 0); from += stepEntries) {
    const rows = await reads.read("countBySender", [conversation, from, from + stepEntries]);
    for (const { user, count } of rows) counts.set(user, (counts.get(user) ?? 0) + count);
  }
  return [...counts].map(([user, count]) => ({ user, count }));
}

/** `countOwn` of the port. */
export async function countOwnInSteps(
  reads: ReadLink,
  conversation: ConversationId,
  sender: UserId,
  [after, through]: readonly [after: Seq, through: Seq],
): Promise<number> {
  let count = 0;
  for (let from = after; from < through; from += stepEntries) {
    count += await reads.read("countOwn", [conversation, sender, from, Math.min(through, from + stepEntries)]);
  }
  return count;
}
