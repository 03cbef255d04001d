import { expect, test } from "bun:test";
import { encode, encodeEntry } from "../protocol/codec";
import { entryKinds, memberChanges } from "../protocol/entry";
import type { MembersBody } from "../protocol/entry";
import type { ConversationId, UserId } from "../protocol/ids";
import { LogFold } from "./log-fold";
import type { PersonBefore } from "./log-fold";
import { blankHead } from "./mongo-heads";
import type { EntryRow, HeadRow } from "./store";

const room = `g${"0".repeat(22)}` as ConversationId;
const [ada, bob, cy] = ["ada", "bob", "cy"] as UserId[] as [UserId, UserId, UserId];
const { added, left, removed, role } = memberChanges;

/** Makes entries whose rows say what their bytes say. */
class Log {
  readonly rows: EntryRow[] = [];

  add(kind: number, sender: UserId, body: unknown, counts = false): this {
    const last = this.rows.at(-1);
    const seq = (last?.seq ?? 0) + 1;
    const ordinal = (last?.ordinal ?? 0) + (counts ? 1 : 0);
    const bytes = encodeEntry([seq, ordinal, kind, counts, 1000 + seq, sender, null, null, null, body]);
    this.rows.push({ seq, ordinal, kind, counts, sender, clientId: null, bytes });
    return this;
  }

  say(sender: UserId): this {
    return this.add(entryKinds.message, sender, ["text"], true);
  }

  members(...body: MembersBody): this {
    return this.add(entryKinds.members, ada, body);
  }
}

function fold(head: HeadRow, log: Log, before: readonly (readonly [UserId, PersonBefore])[] = []) {
  const folded = new LogFold(head);
  for (const row of log.rows.slice(folded.from - 1)) folded.add(row);
  return { ...folded.result(new Map(before)), people: folded.people };
}

const blank = blankHead(room, 1);
const nobody = { member: null, total: { through: 0, count: 0 } };

test("a whole log says what its conversation is called, who is in it and what came last", () => {
  const fields = { color: "red", nested: [1, 2] };
  const log = new Log()
    .add(entryKinds.conversation, ada, ["group", { name: "one", picture: "media:1", fields }])
    .members([added, ada, "owner", 1], [added, bob, "member", 1])
    .say(bob)
    .add(entryKinds.conversation, ada, [null, { name: null }])
    .add(entryKinds.fence, "parley:system" as UserId, [7]);

  const { head, members, totals } = fold(blank, log);

  expect(head).toEqual({
    ...blank,
    type: "group",
    seq: 5,
    ordinal: 1,
    time: 1005,
    name: null,
    picture: "media:1",
    fields: encode(fields),
    memberCount: 2,
    lastMessage: log.rows[2]?.bytes ?? null,
    lastMessageSeq: 3,
    totalsThrough: 5,
  });
  expect(members.map(({ user, role: now, floor }) => [user, now, floor])).toEqual([
    [ada, "owner", 1],
    [bob, "member", 1],
  ]);
  expect(totals).toEqual([{ user: bob, total: 1 }]);
});

test("a log of fences only leaves a head without a type", () => {
  const { head, members } = fold(blank, new Log().add(entryKinds.fence, "parley:system" as UserId, [1]));
  expect([head.type, head.seq, head.memberCount, members]).toEqual(["", 1, 0, []]);
});

test("an entry of a kind nobody knows yet keeps its slot and counts by its header", () => {
  const log = new Log().say(ada).add(99, bob, { any: "thing" }, true);
  const { head, totals } = fold({ ...blank, type: "group" }, log);
  expect([head.seq, head.ordinal, head.lastMessageSeq]).toEqual([2, 2, 1]);
  expect(totals).toEqual([
    { user: ada, total: 1 },
    { user: bob, total: 1 },
  ]);
});

test("who rejoins begins anew, with what they had sent before", () => {
  const log = new Log()
    .members([added, bob, "member", 1])
    .say(bob)
    .say(bob)
    .members([left, bob, null, null])
    .members([added, bob, "member", 5])
    .say(bob);
  const { members, head } = fold(blank, log);
  const join = { seq: 5, ordinal: 2, own: 2 };
  expect(members).toEqual([{ user: bob, role: "member", join, floor: 5, changedSeq: 5 }]);
  expect(head.memberCount).toBe(1);
});

test("who leaves becomes a tombstone, whatever stood before", () => {
  const log = new Log().members([added, cy, "member", 1]).members([removed, cy, null, null]);
  const nowhere = { seq: 0, ordinal: 0, own: 0 };
  expect(fold(blank, log).members).toEqual([{ user: cy, role: null, join: nowhere, floor: 0, changedSeq: 2 }]);
});

test("a new role of an old member keeps the join and floor that are stored", () => {
  const log = new Log().members([added, bob, "member", 1]).say(ada).members([role, bob, "admin", null]);
  const stored = { user: bob, role: "member", join: { seq: 1, ordinal: 0, own: 0 }, floor: 1, changedSeq: 1 } as const;
  const head = { ...blank, type: "group", seq: 2, ordinal: 1, memberCount: 1 };
  const folded = fold(head, log, [[bob, { ...nobody, member: stored }]]);
  expect(folded.members).toEqual([{ ...stored, role: "admin", changedSeq: 3 }]);
  expect(folded.head.memberCount).toBe(1);
});

test("totals are counted from where each person's own was last stored, before or behind the head's", () => {
  const log = new Log();
  for (let round = 0; round < 5; round++) log.say(ada).say(bob).say(cy);
  const head = { ...blank, type: "group", seq: 9, ordinal: 9, totalsThrough: 6 };
  const { totals } = fold(head, log, [
    [ada, { member: null, total: { through: 6, count: 2 } }],
    // Stored behind the head's, by an owner that broke off before the head was.
    [bob, { member: null, total: { through: 12, count: 4 } }],
    // Exact through the head's, though it was stored before: they had sent nothing in between.
    [cy, { member: null, total: { through: 4, count: 2 } }],
  ]);
  expect(totals).toEqual([
    { user: ada, total: 5 },
    { user: bob, total: 5 },
    { user: cy, total: 5 },
  ]);
});

test("a join is counted right where the stored total is ahead of it", () => {
  const log = new Log().say(bob).members([added, bob, "member", 1]).say(bob).say(bob);
  const before: PersonBefore = { member: null, total: { through: 4, count: 3 } };
  const { members, totals } = fold({ ...blank, type: "group" }, log, [[bob, before]]);
  expect(members[0]?.join).toEqual({ seq: 2, ordinal: 1, own: 1 });
  expect(totals).toEqual([{ user: bob, total: 3 }]);
});

test("below the head only who sent what is looked at", () => {
  const log = new Log().say(ada).say(ada);
  const head = { ...blank, type: "group", seq: 2, ordinal: 2, totalsThrough: 0, lastMessageSeq: 2 };
  const folded = new LogFold(head);
  expect([folded.from, folded.needsBytes]).toEqual([1, false]);
  for (const row of log.rows) folded.add({ ...row, bytes: new Uint8Array(0) });
  expect(folded.needsBytes).toBe(true);
  expect(folded.result(new Map()).head).toEqual({ ...head, totalsThrough: 2 });
});

test("a gap in the log is not folded over", () => {
  const [, second] = new Log().say(ada).say(ada).rows;
  expect(() => new LogFold(blank).add(second as EntryRow)).toThrow("the log has 2 where 1 is due");
});

test("an entry of a kind that it does not know counts by its header, and changes nothing else", () => {
  const known = new Log().add(entryKinds.conversation, ada, ["group", {}]).members([added, ada, "owner", 1]).say(ada);
  const before = fold(blank, known);
  const after = fold(blank, known.add(200, ada, { of: ["no", "known", "shape"] }, true).add(201, bob, null));

  const { seq, ordinal, time, totalsThrough } = after.head;
  expect([seq, ordinal, time, totalsThrough]).toEqual([5, 2, 1005, 5]);
  expect(after.head).toEqual({ ...before.head, seq, ordinal, time, totalsThrough });
  expect(after.members).toEqual(before.members);
  expect(after.totals).toEqual([{ user: ada, total: 2 }]);
});
