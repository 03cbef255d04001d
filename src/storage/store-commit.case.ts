// Contract: what a commit stores and answers, and that conversations sharing a commit do not harm each other (G1–G3).
import { expect, test } from "bun:test";
import { entryKinds } from "../protocol/entry";
import {
  ada,
  append,
  bob,
  clientIdNamed,
  conversationNamed,
  cy,
  entries,
  entry,
  feedWrite,
  head,
  member,
  plain,
  seqs,
  userRow,
  wholeLog,
  write,
} from "./store-samples.case";
import { type OpenSubject, withStore } from "./store-subject.case";

const room = conversationNamed("room");
/** Ample for a substitute of a database that looks at every document. */
const slowMs = 60_000;

export function commitCases(open: OpenSubject): void {
  storedCases(open);
  conflictCases(open);
  isolationCases(open);
}

function storedCases(open: OpenSubject): void {
  test("a conversation that was never written opens as null", () =>
    withStore(open, async (store, epoch) => {
      expect(await store.openConversation(room, epoch, 10)).toBeNull();
    }));

  test("what is stored opens as it was written: head, present members and the tail", () =>
    withStore(open, async (store, epoch) => {
      const rows = entries(1, 5);
      const over = { name: "Größe 漢字 🎈", picture: "media:1", fields: new Uint8Array([0x81, 0, 255]), fedThrough: 1 };
      const first = append(room, epoch, rows, { ...over, openEpoch: epoch, type: "channel", memberCount: 3 });
      const members = [member(ada, { role: "owner" }), member(bob), member(cy, { role: null, changedSeq: 4 })];

      expect(await store.commit({ ...first, members })).toEqual({ outcome: "stored", cursors: [] });
      const opened = await store.openConversation(room, epoch, 2);

      expect(plain(opened?.head)).toEqual(plain(first.head));
      expect(opened?.members.toSorted((a, b) => (a.user < b.user ? -1 : 1))).toEqual(members.slice(0, 2));
      expect(plain(opened?.tail)).toEqual(plain(rows.slice(3)));
    }));

  test("a tail of none brings none, and a longer one than the log brings the log", () =>
    withStore(open, async (store, epoch) => {
      await store.commit(append(room, epoch, entries(1, 3)));
      expect((await store.openConversation(room, epoch, 0))?.tail).toEqual([]);
      expect(seqs((await store.openConversation(room, epoch, 1000))?.tail ?? [])).toEqual([1, 2, 3]);
    }));

  test("everything is there after the store is closed and opened again", () =>
    withStore(open, async (store, epoch, subject) => {
      const generation = store.generation;
      const first = append(room, epoch, entries(1, 3));
      await store.commit({ ...first, members: [member(ada)], cursors: [{ user: ada, seq: 2, ordinal: 2, own: 2 }] });
      const before = await store.openConversation(room, epoch, 10);

      const again = await subject.reopen();

      expect(again.generation).toBe(generation);
      expect(plain(await again.openConversation(room, await again.claim([0]), 10))).toEqual(plain(before));
      expect(await again.readCursors(room, [ada])).toEqual([{ user: ada, seq: 2, ordinal: 2, own: 2, total: 0 }]);
    }));

  test("a batch of 512 entries is stored in order, byte for byte", () =>
    withStore(open, async (store, epoch) => {
      const rows = entries(1, 512).map((row, at) => ({ ...row, bytes: new Uint8Array(at * 3).fill(at) }));
      expect((await store.commit(append(room, epoch, rows))).outcome).toBe("stored");
      expect(plain(await wholeLog(store, room))).toEqual(plain(rows));
    }));

  test("an entry of the largest size is stored whole", () =>
    withStore(open, async (store, epoch) => {
      const bytes = crypto.getRandomValues(new Uint8Array(65_536));
      const row = entry(1, { bytes: new Uint8Array([...bytes, ...bytes.subarray(0, 33_792)]) });
      await store.commit(append(room, epoch, [row]));
      expect(plain((await store.openConversation(room, epoch, 1))?.head.lastMessage)).toEqual(plain(row.bytes));
    }));

  test("an entry without a client id may follow another of the same sender", () =>
    withStore(open, async (store, epoch) => {
      const bare = { clientId: null, kind: entryKinds.members, counts: false };
      expect((await store.commit(append(room, epoch, entries(1, 2, bare)))).outcome).toBe("stored");
      expect(plain(await wholeLog(store, room))).toEqual(plain(entries(1, 2, bare)));
    }));

  test("a head may change without entries, keeping the last message it had", () =>
    withStore(open, async (store, epoch) => {
      const first = append(room, epoch, entries(1, 2), { openEpoch: epoch });
      await store.commit(first);
      const closed = { ...head(room, 2), lastMessage: first.head?.lastMessage ?? null, lastMessageSeq: 2 };
      expect(await store.commit(write(room, epoch, { head: closed }))).toEqual({ outcome: "stored", cursors: [] });
      expect(plain((await store.openConversation(room, epoch, 0))?.head)).toEqual(plain(closed));
    }));

  test("a last message that differs from its entry is kept as given", () =>
    withStore(open, async (store, epoch) => {
      const edited = new Uint8Array([1, 2, 3]);
      await store.commit(append(room, epoch, entries(1, 2)));
      await store.commit(append(room, epoch, [entry(3)], { lastMessage: edited, lastMessageSeq: 2 }));
      const opened = await store.openConversation(room, epoch, 0);
      expect(plain(opened?.head.lastMessage)).toEqual([1, 2, 3]);
      expect(opened?.head.lastMessageSeq).toBe(2);
    }));

  test(
    "many conversations written in the same turn are all stored",
    () =>
      withStore(open, async (store, epoch) => {
        const rooms = Array.from({ length: 300 }, (_, at) => conversationNamed(at));
        const outcomes = await Promise.all(rooms.map((each) => store.commit(append(each, epoch, entries(1, 2)))));
        expect(outcomes.every(({ outcome }) => outcome === "stored")).toBe(true);
        const logs = await Promise.all(rooms.map((each) => wholeLog(store, each)));
        expect(logs.every((log) => log.length === 2)).toBe(true);
      }),
    slowMs,
  );
}

function conflictCases(open: OpenSubject): void {
  test("a client id that the log holds is a conflict that names its entry, and nothing is stored", () =>
    withStore(open, async (store, epoch) => {
      await store.commit(append(room, epoch, entries(1, 3)));
      const again = entry(5, { clientId: clientIdNamed(2) });

      const answer = await store.commit(append(room, epoch, [entry(4), again, entry(6)]));

      const duplicate = { sender: ada, clientId: clientIdNamed(2), seq: 2, kind: 1, bytes: entry(2).bytes };
      expect(plain(answer)).toEqual(plain({ outcome: "conflict", duplicates: [duplicate] }));
      expect(seqs(await wholeLog(store, room))).toEqual([1, 2, 3]);
      expect((await store.openConversation(room, epoch, 0))?.head.seq).toBe(3);
    }));

  test("another sender, or another conversation, may use the same client id", () =>
    withStore(open, async (store, epoch) => {
      await store.commit(append(room, epoch, [entry(1)]));
      const answers = await Promise.all([
        store.commit(append(room, epoch, [entry(2, { sender: bob, clientId: clientIdNamed(1) })])),
        store.commit(append(conversationNamed("other"), epoch, [entry(1)])),
      ]);
      expect(answers.map(({ outcome }) => outcome)).toEqual(["stored", "stored"]);
    }));

  test("a client id used twice within one write is a conflict", () =>
    withStore(open, async (store, epoch) => {
      const twice = entries(1, 2, { clientId: clientIdNamed("same") });
      expect(await store.commit(append(room, epoch, twice))).toEqual({ outcome: "conflict", duplicates: [] });
      expect(await store.openConversation(room, epoch, 1)).toBeNull();
    }));

  test("entries that do not begin right after the stored head are a conflict without duplicates", () =>
    withStore(open, async (store, epoch) => {
      await store.commit(append(room, epoch, entries(1, 3)));
      const taken = [entry(3, { clientId: clientIdNamed("new") })];
      const conflict = { outcome: "conflict", duplicates: [] } as const;
      expect(await store.commit(append(room, epoch, taken))).toEqual(conflict);
      expect(await store.commit(append(room, epoch, entries(5, 1)))).toEqual(conflict);
      expect(await store.commit(append(conversationNamed("new"), epoch, entries(2, 1)))).toEqual(conflict);
      expect(seqs(await wholeLog(store, room))).toEqual([1, 2, 3]);
    }));

  test("a head behind or ahead of the stored one is a conflict", () =>
    withStore(open, async (store, epoch) => {
      await store.commit(append(room, epoch, entries(1, 3)));
      for (const seq of [2, 4]) {
        const answer = await store.commit(write(room, epoch, { head: head(room, seq) }));
        expect(answer).toEqual({ outcome: "conflict", duplicates: [] });
      }
    }));

  test("cursors of a conversation that does not exist are a conflict", () =>
    withStore(open, async (store, epoch) => {
      const lost = write(room, epoch, { cursors: [{ user: ada, seq: 1, ordinal: 1, own: 0 }] });
      expect(await store.commit(lost)).toEqual({ outcome: "conflict", duplicates: [] });
    }));

  test("a write that contradicts itself is refused and stores nothing", () =>
    withStore(open, async (store, epoch) => {
      const gap = { ...append(room, epoch, entries(1, 3)), entries: [entry(1), entry(3)] };
      const headless = write(room, epoch, { entries: entries(1, 1) });
      const tooMany = append(room, epoch, entries(1, 513));
      for (const ill of [gap, headless, tooMany]) expect((await store.commit(ill)).outcome).toBe("refused");
      expect(await store.openConversation(room, epoch, 1)).toBeNull();
    }));
}

function isolationCases(open: OpenSubject): void {
  test("a conflict harms none of the conversations that share its commit", () =>
    withStore(open, async (store, epoch) => {
      const taken = conversationNamed("taken");
      await store.commit(append(taken, epoch, entries(1, 3)));
      const duplicate = append(taken, epoch, [entry(4), entry(5, { clientId: clientIdNamed(1) })]);
      const rooms = Array.from({ length: 20 }, (_, at) => conversationNamed(`near-${at}`));

      const [before, bad, after] = await Promise.all([
        Promise.all(rooms.slice(0, 10).map((each) => store.commit(append(each, epoch, entries(1, 2))))),
        store.commit({ ...duplicate, members: [member(bob)], cursors: [{ user: bob, seq: 3, ordinal: 3, own: 0 }] }),
        Promise.all(rooms.slice(10).map((each) => store.commit(append(each, epoch, entries(1, 2))))),
      ]);

      expect([...before, ...after].map(({ outcome }) => outcome)).toEqual(rooms.map(() => "stored"));
      expect(bad.outcome).toBe("conflict");
      expect(seqs(await wholeLog(store, taken))).toEqual([1, 2, 3]);
      expect(await store.readMembers(taken, [bob])).toEqual([]);
      expect(await store.readCursors(taken, [bob])).toEqual([]);
    }));

  test("after a conflict the conversation goes on from its stored head", () =>
    withStore(open, async (store, epoch) => {
      await store.commit(append(room, epoch, entries(1, 2)));
      await store.commit(append(room, epoch, [entry(3), entry(4, { clientId: clientIdNamed(2) })]));
      expect((await store.commit(append(room, epoch, [entry(3)]))).outcome).toBe("stored");
      expect(seqs(await wholeLog(store, room))).toEqual([1, 2, 3]);
    }));

  test("a conversation and a feed written in the same turn are both stored, or fail apart", () =>
    withStore(open, async (store, epoch) => {
      const answers = await Promise.all([
        store.commit(append(room, epoch, entries(2, 1))),
        store.commitFeed(feedWrite(epoch, userRow(ada, 0))),
        store.commit(append(conversationNamed("other"), epoch, entries(1, 1))),
        store.commitFeed(feedWrite(epoch - 1, userRow(bob, 0))),
      ]);
      expect(answers.map(({ outcome }) => outcome)).toEqual(["conflict", "stored", "stored", "fenced"]);
    }));
}
