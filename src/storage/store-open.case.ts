// Contract: conversations and feeds that an owner left open, taken over by another: everything acknowledged is there, what the log
// says is told exactly, and the owner before stores nothing more (G1–G3). A driver may append a fence, which counts nothing.
import { expect, test } from "bun:test";
import { encode } from "../protocol/codec";
import { entryKinds, memberChanges } from "../protocol/entry";
import type { ClientId, ConversationId, Epoch, UserId } from "../protocol/ids";
import type { EntryRow, HeadRow, MemberRow, OpenedConversation, Store } from "./store";
import {
  ada,
  allPartitions,
  append,
  bob,
  clientIdNamed,
  conversationNamed,
  cy,
  feedWrite,
  firstTime,
  head,
  member,
  membership,
  plain,
  real,
  said,
  seqs,
  userRow,
  wholeLog,
  write,
} from "./store-samples.case";
import { type OpenSubject, withStore } from "./store-subject.case";

const room = conversationNamed("room");

const { added, removed, role } = memberChanges;
/** A group with everything that folds: names, picture, fields, joins, roles, somebody who left, a message that does not count. */
const log: readonly EntryRow[] = [
  real(1, 0, entryKinds.conversation, ada, ["group", { name: "Größe", fields: { a: 1 } }]),
  real(2, 0, entryKinds.members, ada, [
    [added, ada, "owner", 1],
    [added, bob, "member", 1],
  ]),
  said(3, 1, ada),
  said(4, 2, bob),
  said(5, 2, ada, false),
  real(6, 2, entryKinds.members, ada, [[added, cy, "member", 6]]),
  said(7, 3, ada),
  real(8, 3, entryKinds.members, ada, [[role, bob, "admin", null]]),
  real(9, 3, entryKinds.members, ada, [[removed, cy, null, null]]),
  real(10, 3, entryKinds.conversation, bob, [null, { name: null, picture: "media:9" }]),
  said(11, 4, bob),
];
const join = { seq: 2, ordinal: 0, own: 0 };
const adaRow = member(ada, { role: "owner", join, changedSeq: 2 });
const bobRow = member(bob, { role: "admin", join, changedSeq: 8 });
const cyRow = member(cy, { join: { seq: 6, ordinal: 2, own: 0 }, floor: 6, changedSeq: 6 });
const gone: MemberRow = { user: cy, role: null, join: { seq: 0, ordinal: 0, own: 0 }, floor: 0, changedSeq: 9 };

function headAt(conversation: ConversationId, epoch: Epoch, seq: number, over: Partial<HeadRow> = {}): HeadRow {
  const last = log.slice(0, seq).findLast(({ kind }) => kind === entryKinds.message);
  return head(conversation, seq, {
    ordinal: log[seq - 1]?.ordinal ?? 0,
    time: firstTime + seq,
    name: "Größe",
    fields: encode({ a: 1 }),
    lastMessage: last?.bytes ?? null,
    lastMessageSeq: last?.seq ?? 0,
    openEpoch: epoch,
    ...over,
  });
}

const lastHead = { name: null, picture: "media:9" };

/** The whole log in four commits, as its owner would write them, and left open. */
async function writeAll(store: Store, conversation: ConversationId, epoch: Epoch): Promise<void> {
  const commits = [
    { from: 0, to: 2, members: [adaRow, { ...bobRow, role: "member" as const, changedSeq: 2 }], over: {} },
    { from: 2, to: 5, members: [], over: {} },
    { from: 5, to: 6, members: [cyRow], over: { memberCount: 3 } },
    { from: 6, to: 11, members: [bobRow, gone], over: lastHead },
  ];
  for (const { from, to, members, over } of commits) {
    const entries = log.slice(from, to);
    const next = headAt(conversation, epoch, to, over);
    const { outcome } = await store.commit(write(conversation, epoch, { entries, head: next, members }));
    expect(outcome).toBe("stored");
  }
}

/** What was opened says what the log says, and the totals are those of the log together with what is to be counted. */
async function expectExact(store: Store, epoch: Epoch): Promise<void> {
  const opened = await openAs(store, room, epoch, 4);
  const entries = await wholeLog(store, room);
  expect(plain(entries.slice(0, log.length))).toEqual(plain(log));
  expect(entries.slice(log.length).every(({ kind }) => kind === entryKinds.fence)).toBe(true);
  const { head: told, members, tail } = opened;
  const { seq, time, fedThrough, totalsThrough } = told;
  expect(seq).toBe(entries.length);
  expect(time).toBeGreaterThanOrEqual(firstTime + log.length);
  const expected = headAt(room, epoch, log.length, lastHead);
  expect(plain(told)).toEqual(plain({ ...expected, seq, time, openEpoch: told.openEpoch, fedThrough, totalsThrough }));
  expect(members.toSorted((a, b) => (a.user < b.user ? -1 : 1))).toEqual([adaRow, bobRow]);
  expect(await store.readMembers(room, [cy])).toEqual([gone]);
  expect(plain(tail)).toEqual(plain(entries.slice(-4)));
  expect(fedThrough).toBe(0);
  const late = await store.countBySender(room, totalsThrough);
  const cursors = await store.readCursors(room, [ada, bob]);
  const totalOf = (user: UserId) =>
    (cursors.find((row) => row.user === user)?.total ?? 0) + (late.find((row) => row.user === user)?.count ?? 0);
  expect([totalOf(ada), totalOf(bob)]).toEqual([2, 2]);
}

async function openAs(
  store: Store,
  conversation: ConversationId,
  epoch: Epoch,
  tail: number,
): Promise<OpenedConversation> {
  const opened = await store.openConversation(conversation, epoch, tail);
  if (!opened) throw new Error("it exists");
  return opened;
}

export function openCases(open: OpenSubject): void {
  takeOverCases(open);
  ownerBeforeCases(open);
  feedTakeOverCases(open);
}

function takeOverCases(open: OpenSubject): void {
  test("what was answered as stored is read through every handle, while its conversation is open", () =>
    withStore(open, async (first, epoch, subject) => {
      await writeAll(first, room, epoch);
      const other = await subject.second();
      for (const store of [first, other]) {
        expect(plain(await wholeLog(store, room))).toEqual(plain(log));
        expect(seqs(await store.findClientIds(room, [[bob, clientIdNamed(11)]]))).toEqual([11]);
        expect(await store.readMembers(room, [ada, bob, cy])).toEqual([adaRow, bobRow, gone]);
        expect(await store.countOwn(room, ada, 0, 11)).toBe(2);
        expect(await store.listOpen(allPartitions, null, 10)).toEqual([room]);
      }
    }));

  test("what an owner left open, by a crash, is opened by the next one as its log has it", () =>
    withStore(open, async (first, old, subject) => {
      await writeAll(first, room, old);
      const next = await subject.second();
      const epoch = await next.claim(allPartitions);
      expect(await next.listOpen(allPartitions, null, 10)).toEqual([room]);
      await expectExact(next, epoch);
      // Once more, as a retry would, and by yet another one.
      await expectExact(next, epoch);
      const third = await subject.second();
      await expectExact(third, await third.claim(allPartitions));
    }));

  test("what an owner left open, by a stop, is opened by the next one as its log has it", () =>
    withStore(open, async (first, old, subject) => {
      await writeAll(first, room, old);
      const next = await subject.reopen();
      await expectExact(next, await next.claim(allPartitions));
    }));

  test("totals stored on the way are not counted twice by whoever opens it next", () =>
    withStore(open, async (first, old, subject) => {
      await writeAll(first, room, old);
      const totals = [
        { user: ada, total: 2 },
        { user: bob, total: 2 },
      ];
      const exact = headAt(room, old, 11, { ...lastHead, totalsThrough: 11 });
      await first.commit(write(room, old, { head: exact, totals }));
      const next = await subject.second();
      await expectExact(next, await next.claim(allPartitions));
    }));

  test("closed by the next owner, a head stays exact, whatever the owner before still does", () =>
    withStore(open, async (first, old, subject) => {
      await writeAll(first, room, old);
      const next = await subject.second();
      const epoch = await next.claim(allPartitions);
      const opened = await openAs(next, room, epoch, 0);
      const { seq } = opened.head;
      const reply = said(seq + 1, 5, bob);
      const over = { ...opened.head, ordinal: 5, time: firstTime + 99, openEpoch: epoch };
      const answered = { ...over, seq: seq + 1, lastMessage: reply.bytes, lastMessageSeq: seq + 1 };
      expect((await next.commit(write(room, epoch, { entries: [reply], head: answered }))).outcome).toBe("stored");
      const closed = { ...answered, openEpoch: 0, fedThrough: seq + 1, totalsThrough: seq + 1 };
      const totals = [{ user: bob, total: 3 }];
      expect((await next.commit(write(room, epoch, { head: closed, totals }))).outcome).toBe("stored");

      await first.close();

      const third = await subject.second();
      expect(await third.listOpen(allPartitions, null, 10)).toEqual([]);
      const again = await third.openConversation(room, await third.claim(allPartitions), 0);
      expect(plain(again?.head)).toEqual(plain(closed));
      expect((await third.readCursors(room, [bob]))[0]?.total).toBe(3);
    }));
}

function ownerBeforeCases(open: OpenSubject): void {
  test("once another owner has opened a conversation, the one before stores nothing more", () =>
    withStore(open, async (first, old, subject) => {
      await writeAll(first, room, old);
      const next = await subject.second();
      const epoch = await next.claim(allPartitions);
      const { seq } = (await openAs(next, room, epoch, 0)).head;
      const late = await first.commit(append(room, old, [said(12, 5, ada)], { openEpoch: old }));
      expect(["fenced", "conflict"]).toContain(late.outcome);
      expect((await next.commit(append(room, epoch, [said(seq + 1, 5, bob)]))).outcome).toBe("stored");
      expect((await wholeLog(next, room)).at(-1)?.sender).toBe(bob);
      expect(seqs(await wholeLog(next, room))).toEqual(Array.from({ length: seq + 1 }, (_, at) => at + 1));
    }));

  test("what an owner was told is stored is in the log that the next one opens, however they race", () =>
    withStore(open, async (first, old, subject) => {
      const rooms = Array.from({ length: 12 }, (_, at) => conversationNamed(`race-${at}`));
      await Promise.all(rooms.map((each) => writeAll(first, each, old)));
      const next = await subject.second();
      const epoch = await next.claim(allPartitions);
      await Promise.all(
        rooms.map(async (each) => {
          const late = said(12, 5, ada);
          const [{ outcome }, opened] = await Promise.all([
            first.commit(append(each, old, [late], { openEpoch: old })),
            openAs(next, each, epoch, 8),
          ]);
          const { seq, ordinal } = opened.head;
          const found = opened.tail.find(({ clientId }) => clientId === late.clientId);
          if (outcome === "stored") expect(found?.seq).toBe(12);
          expect(ordinal).toBe(found ? 5 : 4);
          const after = said(seq + 1, ordinal + 1, bob);
          expect((await next.commit(append(each, epoch, [after]))).outcome).toBe("stored");
          expect(seqs(await wholeLog(next, each))).toEqual(Array.from({ length: seq + 1 }, (_, at) => at + 1));
        }),
      );
    }));

  test("a client id that an owner before stored is a conflict that names its entry", () =>
    withStore(open, async (first, old, subject) => {
      await writeAll(first, room, old);
      const next = await subject.second();
      const epoch = await next.claim(allPartitions);
      const { seq } = (await openAs(next, room, epoch, 0)).head;
      const again = { ...said(seq + 1, 5, ada), clientId: clientIdNamed(7) as ClientId };
      const { bytes } = log[6] as EntryRow;
      const duplicate = { sender: ada, clientId: clientIdNamed(7), seq: 7, kind: entryKinds.message, bytes };
      const conflict = await next.commit(append(room, epoch, [again], { openEpoch: epoch }));
      expect(plain(conflict)).toEqual(plain({ outcome: "conflict", duplicates: [duplicate] }));
      expect(plain(await next.findClientIds(room, [[ada, clientIdNamed(7)]]))).toEqual(plain([duplicate]));
      expect((await next.commit(append(room, epoch, [said(seq + 1, 5, ada)]))).outcome).toBe("stored");
    }));
}

function feedTakeOverCases(open: OpenSubject): void {
  test("once another owner has opened a feed, the one before stores nothing more", () =>
    withStore(open, async (first, old, subject) => {
      await first.commitFeed(feedWrite(old, userRow(ada, 1), [membership(room)]));
      const next = await subject.second();
      const epoch = await next.claim(allPartitions);
      const { userSeq } = (await next.openFeed(ada, epoch))?.user ?? { userSeq: -1 };
      const other = membership(conversationNamed("late"));
      const { outcome } = await first.commitFeed(feedWrite(old, userRow(ada, 2), [other]));
      expect(["fenced", "conflict"]).toContain(outcome);
      const gone = membership(room, { role: null, seq: 2 });
      expect(await next.commitFeed(feedWrite(epoch, userRow(ada, userSeq + 1), [gone]))).toEqual({ outcome: "stored" });
      const { changes } = await next.readFeed(ada, 0, 10);
      expect(changes.map(([seq]) => seq)).toEqual(Array.from({ length: userSeq + 1 }, (_, at) => at + 1));
      expect(await next.readMemberships(ada, [room, other.conversation])).toEqual([gone]);
    }));
}
