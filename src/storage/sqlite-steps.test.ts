// Counts in steps come to the same as one look over the whole log, and no step looks at more than its share.
import { expect, test } from "bun:test";
import type { ConversationId, Seq, UserId } from "../protocol/ids";
import type { ReadLink } from "./sqlite-reads";
import { countBySenderInSteps, countOwnInSteps } from "./sqlite-steps";
import { ada, bob, conversationNamed } from "./store-samples.case";

const room = conversationNamed("room");
const length = 50_000;
const senderOf = (seq: Seq): UserId => (seq % 3 === 0 ? bob : ada);

/** A log of 50,000 entries that is not there: reads are answered from their arguments. */
function log() {
  const looked: number[] = [];
  const seqs = (after: Seq, through: Seq) => {
    looked.push(through - after);
    const last = Math.min(through, length);
    return Array.from({ length: Math.max(0, last - after) }, (_, at) => after + 1 + at);
  };
  const reads = {
    readHeads: ([conversation]: readonly [ConversationId]) => [{ conversation, seq: length, open: true }],
    countBySender: (_room: ConversationId, after: Seq, through: Seq) =>
      [...Map.groupBy(seqs(after, through), senderOf)].map(([user, each]) => ({ user, count: each.length })),
    countOwn: (_room: ConversationId, sender: UserId, after: Seq, through: Seq) =>
      seqs(after, through).filter((seq) => senderOf(seq) === sender).length,
  };
  const read = async (name: keyof typeof reads, args: readonly unknown[]) =>
    (reads[name] as (...args: readonly unknown[]) => unknown)(...args);
  return { reads: { read } as unknown as ReadLink, looked };
}

test("by sender, over the whole log behind a seq", async () => {
  const { reads, looked } = log();
  expect(await countBySenderInSteps(reads, room, 7)).toEqual([
    { user: ada, count: 33_329 },
    { user: bob, count: 16_664 },
  ]);
  expect(Math.max(...looked)).toBeLessThanOrEqual(20_000);
  expect(await countBySenderInSteps(reads, room, length)).toEqual([]);
});

test("of one sender, after one seq and through another", async () => {
  const { reads, looked } = log();
  expect(await countOwnInSteps(reads, room, bob, [5, 45_000])).toBe(14_999);
  expect(Math.max(...looked)).toBeLessThanOrEqual(20_000);
  expect(await countOwnInSteps(reads, room, bob, [9, 9])).toBe(0);
});
