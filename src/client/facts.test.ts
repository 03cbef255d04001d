import { expect, test } from "bun:test";
import fc from "fast-check";
import type { EntryTuple } from "../protocol/entry";
import type { ConversationId, UserId } from "../protocol/ids";
import type { RowTuple } from "../protocol/operations";
import { Facts } from "./facts";

const me = "me" as UserId;
const you = "you" as UserId;
const room = "gAAAAAAAAAAAAAAAAAAAAAA" as ConversationId;
const nothing = { readSeq: null, muted: null, markedUnread: null };

interface Sent {
  readonly mine: boolean;
  readonly counts: boolean;
}

const anyLog = fc.array(fc.record({ mine: fc.boolean(), counts: fc.boolean() }), { minLength: 1, maxLength: 60 });

function entries(log: readonly Sent[]): EntryTuple[] {
  let ordinal = 0;
  return log.map(({ mine, counts }, i) => {
    ordinal += counts ? 1 : 0;
    return [i + 1, ordinal, 1, counts, i, mine ? me : you, null, null, null, ["x"]];
  });
}

function markAt(log: readonly Sent[], seq: number): readonly [number, number, number] {
  const upTo = log.slice(0, seq);
  return [seq, upTo.filter(({ counts }) => counts).length, upTo.filter(({ counts, mine }) => counts && mine).length];
}

function rowAt(log: readonly Sent[], head: number, cursor: number, join: number): RowTuple {
  const [, ordinal, own] = markAt(log, head);
  const info = ["group", null, null, null, 2, null] as const;
  return [
    room,
    info,
    ["member", markAt(log, join), 1],
    [false, false],
    [head, ordinal, 0, null],
    markAt(log, cursor),
    own,
    0,
  ];
}

test("unread from a row and the entries after it is what a count over the log says, wherever the row stood", () => {
  fc.assert(
    fc.property(anyLog, fc.nat(60), fc.nat(60), fc.nat(60), (log, a, b, c) => {
      const head = a % (log.length + 1);
      const cursor = b % (head + 1);
      const join = c % (head + 1);
      const facts = new Facts(rowAt(log, head, cursor, join));
      for (const entry of entries(log)) facts.applyEntry(entry, me);
      const base = Math.max(cursor, join);
      const counted = log.filter(({ counts, mine }, i) => i + 1 > base && counts && !mine).length;
      expect(facts.unread()).toBe(counted);
    }),
  );
});

test("a mark in the middle that is not stored yet counts as it will once stored", () => {
  fc.assert(
    fc.property(anyLog, fc.nat(60), (log, at) => {
      const seq = 1 + (at % log.length);
      const facts = new Facts(rowAt(log, 0, 0, 0));
      for (const entry of entries(log)) facts.applyEntry(entry, me);
      const queued = facts.unread(seq);
      facts.applyCursor(markAt(log, seq));
      expect(facts.unread()).toBe(queued);
    }),
  );
});

test("unread from counters is what a count over the log says, and the entries behind them change no number", () => {
  fc.assert(
    fc.property(anyLog, fc.nat(60), fc.array(fc.boolean()), fc.nat(60), (log, a, told, b) => {
      const start = a % (log.length + 1);
      const facts = new Facts(rowAt(log, start, 0, 0));
      const unreadAt = (seq: number): number => markAt(log, seq)[1] - markAt(log, seq)[2];
      for (const entry of entries(log)) {
        const [seq, ordinal, , counts, time, sender] = entry;
        const own = counts && sender === me;
        if (!own && !told[seq % Math.max(1, told.length)]) continue;
        facts.applyCounter(seq, ordinal, time, own ? entry : null, me);
        expect(facts.unread()).toBe(unreadAt(Math.max(seq, start)));
      }
      for (const entry of entries(log)) facts.applyEntry(entry, me);
      expect(facts.unread()).toBe(unreadAt(log.length));
      const seq = start + 1 + (b % (log.length - start + 1));
      if (seq <= log.length) expect(facts.unread(seq)).toBe(unreadAt(log.length) - unreadAt(seq));
    }),
  );
});

test("a row between what was seen and what was counted renews what it tells, and takes no number back", () => {
  const log = Array.from({ length: 9 }, (_, i) => ({ mine: i === 7, counts: true }));
  const facts = new Facts(rowAt(log, 2, 0, 0));
  const [, , , , , , , eighth] = entries(log);
  facts.applyCounter(8, 8, 8, eighth as EntryTuple, me);
  const [id, info, ...rest] = rowAt(log, 6, 0, 0);
  facts.apply([id, ["group", "Renamed", null, null, 7, null], ...rest]);
  expect(info[1]).toBeNull();
  expect(facts.toRow(room, nothing, false)).toMatchObject({ name: "Renamed", memberCount: 7, headSeq: 8, unread: 7 });
  for (const entry of entries(log)) facts.applyEntry(entry, me);
  expect(facts.unread()).toBe(8);
});

test("an older row takes nothing back that live entries have told", () => {
  const log = Array.from({ length: 5 }, () => ({ mine: false, counts: true }));
  const facts = new Facts(rowAt(log, 2, 0, 0));
  for (const entry of entries(log)) facts.applyEntry(entry, me);
  facts.applyCursor(markAt(log, 4));
  facts.apply(rowAt(log, 3, 1, 0));
  expect([facts.headSeq, facts.cursorSeq, facts.unread()]).toEqual([5, 4, 1]);
});

test("membership and conversation entries change what the row shows", () => {
  const facts = new Facts(rowAt([], 0, 0, 0));
  const entry = (seq: number, kind: number, body: unknown): EntryTuple => [
    seq,
    0,
    kind,
    false,
    0,
    you,
    null,
    null,
    null,
    body,
  ];
  facts.applyEntry(
    entry(1, 2, [
      [0, "carol", "member", 1],
      [0, "dave", "member", 1],
      [2, "dave", null, null],
    ]),
    me,
  );
  facts.applyEntry(entry(2, 2, [[3, me, "admin", null]]), me);
  facts.applyEntry(entry(3, 3, [null, { name: "New", picture: null }]), me);
  expect(facts.toRow(room, nothing, false)).toMatchObject({ memberCount: 3, role: "admin", name: "New", headSeq: 3 });
});

test("settings that are older than the ones known are ignored", () => {
  const facts = new Facts(rowAt([], 0, 0, 0));
  facts.applySettings(5, { muted: true });
  facts.applySettings(4, { muted: false, markedUnread: true });
  expect(facts.toRow(room, nothing, false)).toMatchObject({ muted: true, markedUnread: false });
});
