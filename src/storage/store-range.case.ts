// Contract: reading ranges of a log, bounded in rows, bytes and rows looked at.
import { expect, test } from "bun:test";
import { entryKinds } from "../protocol/entry";
import type { Store } from "./store";
import { append, conversationNamed, entries, entry, plain, range, seqs } from "./store-samples.case";
import { type OpenSubject, withStore } from "./store-subject.case";

const room = conversationNamed("room");
const down = { direction: "down" } as const;

/** 20 entries of 40 bytes; every fifth is of another kind. */
async function withRoom(store: Store, epoch: number): Promise<void> {
  const rows = entries(1, 20).map((row) => ({ ...row, kind: row.seq % 5 === 0 ? entryKinds.members : row.kind }));
  await store.commit(append(room, epoch, rows));
}

export function rangeCases(open: OpenSubject): void {
  oneRangeCases(open);
  boundCases(open);
  severalCases(open);
}

function oneRangeCases(open: OpenSubject): void {
  test("a range upward begins at its first seq and carries whole rows", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      const answer = await store.readRange(range(room, { from: 3, limit: 2 }));
      expect(plain(answer)).toEqual(plain({ entries: [entry(3), entry(4)], scannedTo: 4 }));
    }));

  test("a range downward begins at its first seq and goes back", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      const answer = await store.readRange(range(room, { ...down, from: 4, limit: 3 }));
      expect([seqs(answer.entries), answer.scannedTo]).toEqual([[4, 3, 2], 2]);
    }));

  test("a range that meets an end of the log says how far it looked", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      const up = await store.readRange(range(room, { from: 19 }));
      const back = await store.readRange(range(room, { ...down, from: 2 }));
      expect([seqs(up.entries), up.scannedTo]).toEqual([[19, 20], 20]);
      expect([seqs(back.entries), back.scannedTo]).toEqual([[2, 1], 1]);
    }));

  test("downward from past the head begins at the head", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      const answer = await store.readRange(range(room, { ...down, from: 1_000_000, limit: 1 }));
      expect([seqs(answer.entries), answer.scannedTo]).toEqual([[20], 20]);
    }));

  test("past the head, below the log and in no conversation at all there is nothing", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      const nothing = { entries: [], scannedTo: 0 };
      expect(await store.readRange(range(room, { from: 21 }))).toEqual(nothing);
      expect(await store.readRange(range(room, { ...down, from: 0 }))).toEqual(nothing);
      expect(await store.readRange(range(conversationNamed("none")))).toEqual(nothing);
    }));
}

function boundCases(open: OpenSubject): void {
  test("a kind is picked out, and what was looked at is answered", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      const wanted = { kind: entryKinds.members, scanMax: 12 };
      const up = await store.readRange(range(room, wanted));
      const back = await store.readRange(range(room, { ...wanted, ...down, from: 19 }));
      const limited = await store.readRange(range(room, { ...wanted, limit: 1 }));
      expect([seqs(up.entries), up.scannedTo]).toEqual([[5, 10], 12]);
      expect([seqs(back.entries), back.scannedTo]).toEqual([[15, 10], 8]);
      expect([seqs(limited.entries), limited.scannedTo]).toEqual([[5], 5]);
    }));

  test("no more than scanMax entries are looked at, whatever their kind", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      const answer = await store.readRange(range(room, { kind: entryKinds.members, scanMax: 4 }));
      expect(answer).toEqual({ entries: [], scannedTo: 4 });
      const all = await store.readRange(range(room, { ...down, from: 20, scanMax: 3 }));
      expect([seqs(all.entries), all.scannedTo]).toEqual([[20, 19, 18], 18]);
    }));

  test("bytes are bounded, and one entry is answered whatever its size", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      const three = await store.readRange(range(room, { bytesMax: 159 }));
      expect([seqs(three.entries), three.scannedTo]).toEqual([[1, 2, 3], 3]);
      const exact = await store.readRange(range(room, { bytesMax: 160 }));
      expect(seqs(exact.entries)).toEqual([1, 2, 3, 4]);
      const one = await store.readRange(range(room, { ...down, from: 9, bytesMax: 1 }));
      expect([seqs(one.entries), one.scannedTo]).toEqual([[9], 9]);
    }));

  test("a kind that does not fit any more ends the range before it", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      const answer = await store.readRange(range(room, { kind: entryKinds.members, bytesMax: 100 }));
      expect(seqs(answer.entries)).toEqual([5, 10]);
      expect(answer.scannedTo).toBeGreaterThanOrEqual(10);
      expect(answer.scannedTo).toBeLessThan(15);
    }));
}

function severalCases(open: OpenSubject): void {
  test("several ranges are answered in order, each within its own bounds", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      const other = conversationNamed("other");
      await store.commit(append(other, epoch, entries(1, 3)));
      const requests = [
        range(room, { limit: 2 }),
        range(other, { ...down, from: 3 }),
        range(conversationNamed("none")),
        range(room, { from: 18, bytesMax: 80 }),
      ];
      const answers = await store.readRanges(requests, 1_000_000);
      expect(answers.map((answer) => seqs(answer.entries))).toEqual([[1, 2], [3, 2, 1], [], [18, 19]]);
    }));

  test("bytesTotal bounds all ranges together; what is left out was not looked at", () =>
    withStore(open, async (store, epoch) => {
      await withRoom(store, epoch);
      const requests = [range(room, { limit: 2 }), range(room, { limit: 2 }), range(room, { limit: 2 })];
      const answers = await store.readRanges(requests, 130);
      expect(answers.map((answer) => seqs(answer.entries))).toEqual([[1, 2], [1], []]);
      expect(answers.map(({ scannedTo }) => scannedTo)).toEqual([2, 1, 0]);
      const [first] = await store.readRanges(requests, 1);
      expect(seqs(first?.entries ?? [])).toEqual([1]);
    }));

  test("no ranges are answered with none", () =>
    withStore(open, async (store) => {
      expect(await store.readRanges([], 1000)).toEqual([]);
    }));
}
