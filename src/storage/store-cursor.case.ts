// Contract: read cursors move only forward, totals are set beside them (G5).
import { expect, test } from "bun:test";
import type { Store } from "./store";
import { ada, append, bob, conversationNamed, cy, entries, entry, head, write } from "./store-samples.case";
import { type OpenSubject, withStore } from "./store-subject.case";

const room = conversationNamed("room");

async function withRoom(store: Store, epoch: number): Promise<void> {
  await store.commit(append(room, epoch, entries(1, 10)));
}

function move(user: typeof ada, seq: number, own = 0) {
  return { user, seq, ordinal: seq, own };
}

export function cursorCases(open: OpenSubject): void {
  test("a move is answered with the row as stored", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      const answer = await store.commit(write(room, epoch, { cursors: [move(ada, 4, 2), move(bob, 7)] }));
      const rows = [
        { user: ada, seq: 4, ordinal: 4, own: 2, total: 0 },
        { user: bob, seq: 7, ordinal: 7, own: 0, total: 0 },
      ];
      expect(answer).toEqual({ outcome: "stored", cursors: rows });
      expect(await store.readCursors(room, [bob, cy, ada])).toEqual([rows[1], rows[0]] as never);
    }));

  test("a move back, or to the same seq, changes nothing and is answered with the stored row", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      await store.commit(write(room, epoch, { cursors: [move(ada, 6, 3)] }));
      const stored = { user: ada, seq: 6, ordinal: 6, own: 3, total: 0 };
      for (const late of [move(ada, 5, 9), move(ada, 6, 3)]) {
        expect(await store.commit(write(room, epoch, { cursors: [late] }))).toEqual({
          outcome: "stored",
          cursors: [stored],
        });
      }
      expect(await store.readCursors(room, [ada])).toEqual([stored]);
    }));

  // Moves under way may share a write: each is answered with what was stored after it, which may be a later one's.
  test("moves sent at once, in any order, end at the highest", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      const order = [3, 9, 1, 7, 10, 2, 8];
      const answers = await Promise.all(
        order.map((seq) => store.commit(write(room, epoch, { cursors: [move(ada, seq)] }))),
      );
      let highest = 0;
      for (const [at, answer] of answers.entries()) {
        highest = Math.max(highest, order[at] ?? 0);
        const seq = answer.outcome === "stored" ? (answer.cursors[0]?.seq ?? 0) : 0;
        expect(seq).toBeGreaterThanOrEqual(highest);
        expect(seq).toBeLessThanOrEqual(10);
      }
      expect((await store.readCursors(room, [ada]))[0]?.seq).toBe(10);
    }));

  test("several moves of one person in one write end at the highest", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      const answer = await store.commit(write(room, epoch, { cursors: [move(ada, 3), move(ada, 8), move(ada, 5)] }));
      expect(answer.outcome === "stored" && answer.cursors.map(({ seq }) => seq)).toEqual([8, 8, 8]);
    }));

  test("a move leaves the total as it is", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      await store.commit(write(room, epoch, { totals: [{ user: ada, total: 10 }] }));
      await store.commit(write(room, epoch, { cursors: [move(ada, 4, 4)] }));
      expect(await store.readCursors(room, [ada])).toEqual([{ user: ada, seq: 4, ordinal: 4, own: 4, total: 10 }]);
    }));

  test("a total of somebody who never read makes a cursor at 0, and one of a reader leaves the mark", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      await store.commit(write(room, epoch, { cursors: [move(bob, 4, 1)] }));
      const totals = [
        { user: ada, total: 9 },
        { user: bob, total: 1 },
      ];
      await store.commit(write(room, epoch, { head: { ...head(room, 10), totalsThrough: 10 }, totals }));
      expect(await store.readCursors(room, [ada, bob])).toEqual([
        { user: ada, seq: 0, ordinal: 0, own: 0, total: 9 },
        { user: bob, seq: 4, ordinal: 4, own: 1, total: 1 },
      ]);
      expect((await store.openConversation(room, epoch, 0))?.head.totalsThrough).toBe(10);
    }));

  test("entries and cursors of one write are stored together", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      const answer = await store.commit({ ...append(room, epoch, [entry(11)]), cursors: [move(ada, 11, 11)] });
      expect(answer.outcome).toBe("stored");
      expect((await store.readCursors(room, [ada]))[0]?.seq).toBe(11);
    }));

  test("cursors are of one conversation", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      const other = conversationNamed("other");
      await store.commit({ ...append(other, epoch, entries(1, 3)), cursors: [move(ada, 3)] });
      expect(await store.readCursors(room, [ada])).toEqual([]);
    }));

  test("readers are those at or past a seq, by user id, in pages; the count leaves one out", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      const users = Array.from({ length: 25 }, (_, at) => `u${String(at).padStart(2, "0")}` as typeof ada);
      const cursors = users.map((user, at) => move(user, (at % 10) + 1));
      await store.commit(write(room, epoch, { cursors: cursors.toReversed() }));
      const expected = cursors.filter(({ seq }) => seq >= 6).map(({ user, seq }) => ({ user, seq }));

      const first = await store.readReaders(room, 6, null, 4);
      const rest = await store.readReaders(room, 6, first.at(-1)?.user ?? null, 100);

      expect(first.length).toBe(4);
      expect([...first, ...rest]).toEqual(expected);
      const [reader, idler] = [expected[0], cursors[0]];
      expect(await store.countReaders(room, 6, reader?.user ?? ada)).toBe(expected.length - 1);
      expect(await store.countReaders(room, 6, idler?.user ?? ada)).toBe(expected.length);
    }));
}
