// What is wrong with a write whatever is stored: shared by the drivers, so that each refuses the same (store.ts).
// Pure.
import type { ConversationWrite, FeedWrite } from "./store";

const entriesMax = 512;

/** Why a conversation's write contradicts itself; null where it does not. */
export function illFormedWrite({ entries, head }: ConversationWrite): string | null {
  if (entries.length === 0) return null;
  if (entries.length > entriesMax) return `a write holds at most ${entriesMax} entries`;
  if (head === null) return "a write with entries carries the head after them";
  const first = head.seq - entries.length + 1;
  const gap = first < 1 || entries.some((row, at) => row.seq !== first + at);
  return gap ? "the entries do not end at the head without a gap" : null;
}

/** Why a feed's write contradicts itself; null where it does not. */
export function illFormedFeed({ changes, user }: FeedWrite): string | null {
  const first = user.userSeq - changes.length + 1;
  const gap = changes.some(([userSeq], at) => userSeq !== first + at);
  return gap ? "the changes do not end at the row's userSeq without a gap" : null;
}
