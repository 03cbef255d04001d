// Contract: what nodes of a cluster ask beside the rest: which epochs still hold, where logs end, whose conversations, which features.
import { expect, test } from "bun:test";
import type { UserId } from "../protocol/ids";
import {
  ada,
  allPartitions,
  append,
  bob,
  conversationNamed,
  entries,
  entry,
  feedWrite,
  head,
  membership,
  userRow,
  write,
} from "./store-samples.case";
import { type OpenSubject, withStore } from "./store-subject.case";

const room = conversationNamed("room");

export function clusterCases(open: OpenSubject): void {
  auditCases(open);
  headCases(open);
  membershipCases(open);
  levelCases(open);
}

function auditCases(open: OpenSubject): void {
  test("an audit of many partitions names those that were claimed since, on whichever handle", () =>
    withStore(open, async (first, old, subject) => {
      const held = allPartitions.map((partition) => [partition, old] as const);
      expect(await first.auditAll(held)).toEqual([]);
      const second = await subject.second();
      const epoch = await second.claim([3, 250]);
      expect(await first.auditAll(held)).toEqual([3, 250]);
      expect(await first.auditAll([[250, old]])).toEqual([250]);
      expect(await second.auditAll([[250, epoch], [4, old], [3, epoch]])).toEqual([]); // biome-ignore format: pairs
      await first.claim([250]);
      expect(await second.auditAll([[250, epoch], [3, epoch]])).toEqual([250]); // biome-ignore format: pairs
    }));

  test("an audit of nothing says whether the store answers", () =>
    withStore(open, async (store) => {
      expect(await store.auditAll([])).toEqual([]);
    }));

  test("an epoch that nobody has taken yet is not the newest", () =>
    withStore(open, async (store, epoch) => {
      expect(await store.auditAll([[7, epoch + 1], [8, epoch - 1], [9, epoch]])).toEqual([7, 8]); // biome-ignore format: pairs
    }));

  test("partitions that several handles claim at once are held beside each other", () =>
    withStore(open, async (first, _old, subject) => {
      const second = await subject.second();
      const quarters = [0, 1, 2, 3].map((at) => allPartitions.filter((partition) => partition % 4 === at));
      const epochs = await Promise.all(quarters.map((some, at) => (at % 2 === 0 ? first : second).claim(some)));
      const held = quarters.flatMap((some, at) => some.map((partition) => [partition, epochs[at] ?? 0] as const));
      expect([await first.auditAll(held), await second.auditAll(held)]).toEqual([[], []]);
    }));
}

function headCases(open: OpenSubject): void {
  test("heads are told with their seq and whether they were left open; what does not exist is left out", () =>
    withStore(open, async (store, epoch) => {
      const [closed, left, none] = ["closed", "left", "none"].map(conversationNamed) as [
        typeof room,
        typeof room,
        typeof room,
      ];
      await store.commit(append(closed, epoch, entries(1, 3)));
      await store.commit(append(left, epoch, entries(1, 2), { openEpoch: epoch }));
      const rows = await store.readHeads([left, none, closed]);
      const told = rows.map((row) => [row.conversation, row.open, row.open ? null : row.seq]);
      expect(new Map(told.map((row) => [row[0], row]))).toEqual(
        new Map([
          [closed, [closed, false, 3]],
          [left, [left, true, null]],
        ]),
      );
      expect(await store.readHeads([])).toEqual([]);
    }));

  test("a head that was closed again is exact, as another handle reads it", () =>
    withStore(open, async (store, epoch, subject) => {
      await store.commit(append(room, epoch, entries(1, 2), { openEpoch: epoch }));
      await store.commit(append(room, epoch, [entry(3)], { openEpoch: epoch }));
      await store.commit(
        write(room, epoch, { head: { ...head(room, 3), lastMessage: entry(3).bytes, lastMessageSeq: 3 } }),
      );
      const other = await subject.second();
      expect(await other.readHeads([room])).toEqual([{ conversation: room, seq: 3, open: false }]);
    }));
}

function membershipCases(open: OpenSubject): void {
  test("a person's conversations are those of present memberships, ascending", () =>
    withStore(open, async (store, epoch) => {
      const rooms = ["c", "a", "d", "b"].map(conversationNamed);
      const rows = rooms.map((each, at) =>
        membership(each, { role: (["owner", "member", null, "admin"] as const)[at] ?? null }),
      );
      await store.commitFeed(feedWrite(epoch, userRow(ada, 4), rows));
      await store.commitFeed(feedWrite(epoch, userRow(bob, 1), [membership(conversationNamed("e"))]));
      expect(await store.conversationsOf(ada)).toEqual(["a", "b", "c"].map(conversationNamed));
      expect(await store.conversationsOf("nobody" as UserId)).toEqual([]);
      await store.commitFeed(
        feedWrite(epoch, userRow(ada, 5), [membership(conversationNamed("a"), { role: null, seq: 2 })]),
      );
      expect(await store.conversationsOf(ada)).toEqual(["b", "c"].map(conversationNamed));
    }));
}

function levelCases(open: OpenSubject): void {
  test("the level of features begins at 0, only rises, and outlives the store's handles", () =>
    withStore(open, async (store, _epoch, subject) => {
      expect(await store.featureLevel()).toBe(0);
      expect(await store.raiseFeatureLevel(3)).toBe(3);
      expect(await store.raiseFeatureLevel(2)).toBe(3);
      const second = await subject.second();
      expect(await second.featureLevel()).toBe(3);
      await Promise.all([store.raiseFeatureLevel(5), second.raiseFeatureLevel(4), second.raiseFeatureLevel(6)]);
      expect(await (await subject.reopen()).featureLevel()).toBe(6);
    }));
}
