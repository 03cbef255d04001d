// Contract: look-ups beside a log: client ids, members, own counts, lists of conversations.
import { expect, test } from "bun:test";
import { partitionOf } from "../lib/hash";
import type { ClientId, UserId } from "../protocol/ids";
import {
  ada,
  allPartitions,
  append,
  bob,
  clientIdNamed,
  conversationNamed,
  cy,
  entries,
  entry,
  head,
  member,
  plain,
  write,
} from "./store-samples.case";
import { type OpenSubject, withStore } from "./store-subject.case";

const room = conversationNamed("room");

export function readCases(open: OpenSubject): void {
  lookUpCases(open);
  countCases(open);
  listCases(open);
}

function lookUpCases(open: OpenSubject): void {
  test("client ids that the log holds are found with their entries, others are left out", () =>
    withStore(open, async (store, epoch) => {
      await store.commit(append(room, epoch, [entry(1), entry(2, { sender: bob })]));
      const asked: (readonly [UserId, ClientId])[] = [
        [bob, clientIdNamed(2)],
        [bob, clientIdNamed(1)],
        [ada, clientIdNamed(1)],
        [ada, clientIdNamed("never")],
      ];
      const found = [
        { sender: bob, clientId: clientIdNamed(2), seq: 2, kind: 1, bytes: entry(2).bytes },
        { sender: ada, clientId: clientIdNamed(1), seq: 1, kind: 1, bytes: entry(1).bytes },
      ];
      expect(plain(await store.findClientIds(room, asked))).toEqual(plain(found));
      expect(await store.findClientIds(conversationNamed("none"), asked)).toEqual([]);
    }));

  test("client ids are opaque: quotes, spaces, zero bytes and any script are kept apart", () =>
    withStore(open, async (store, epoch) => {
      const ids = [
        "'; --",
        "a b",
        "a\u0000b",
        "a",
        "A",
        "\u00e9",
        "e\u0301",
        "漢字🎈",
        "%_*",
        `\ufeff${"x".repeat(60)}`,
        "x".repeat(60),
        "\ufeff",
      ].map((id) => id as ClientId);
      const rows = ids.map((clientId, at) => entry(at + 1, { clientId }));
      expect((await store.commit(append(room, epoch, rows))).outcome).toBe("stored");
      const found = await store.findClientIds(
        room,
        ids.map((id) => [ada, id]),
      );
      expect(found.map(({ clientId, seq }) => [clientId, seq])).toEqual(ids.map((id, at) => [id, at + 1]));
      expect(plain(await store.openConversation(room, epoch, 99).then((opened) => opened?.tail))).toEqual(plain(rows));
    }));

  test("member rows are answered with tombstones, in the order asked, and replaced by later ones", () =>
    withStore(open, async (store, epoch) => {
      const gone = member(bob, { role: null, changedSeq: 2, join: { seq: 1, ordinal: 5, own: 3 }, floor: 1 });
      await store.commit({
        ...append(room, epoch, [entry(1)]),
        members: [member(ada, { role: "admin" }), member(bob)],
      });
      await store.commit({ ...append(room, epoch, [entry(2)]), members: [gone] });
      expect(await store.readMembers(room, [cy, bob, ada])).toEqual([gone, member(ada, { role: "admin" })]);
      expect((await store.openConversation(room, epoch, 0))?.members.map(({ user }) => user)).toEqual([ada]);
      expect(await store.readMembers(conversationNamed("none"), [ada])).toEqual([]);
    }));

  test("a thousand members are stored in one write and opened again", () =>
    withStore(open, async (store, epoch) => {
      const members = Array.from({ length: 1000 }, (_, at) => member(`user-${at}` as UserId));
      await store.commit({ ...append(room, epoch, [entry(1)], { memberCount: 1000 }), members });
      expect((await store.openConversation(room, epoch, 0))?.members.length).toBe(1000);
    }));
}

function countCases(open: OpenSubject): void {
  test("own counted entries are counted after one seq and through another", () =>
    withStore(open, async (store, epoch) => {
      const rows = entries(1, 12).map((row) => ({
        ...row,
        sender: row.seq % 3 === 0 ? bob : ada,
        counts: row.seq % 4 !== 0,
      }));
      await store.commit(append(room, epoch, rows));
      const oracle = (sender: UserId, after: number, through: number) =>
        rows.filter((row) => row.sender === sender && row.counts && row.seq > after && row.seq <= through).length;
      for (const [after, through] of [
        [0, 12],
        [3, 9],
        [2, 3],
        [5, 5],
        [11, 50],
        [7, 2],
      ] as const) {
        for (const sender of [ada, bob, cy]) {
          expect(await store.countOwn(room, sender, after, through)).toBe(oracle(sender, after, through));
        }
      }
      const bySender = await store.countBySender(room, 6);
      expect(bySender.toSorted((a, b) => (a.user < b.user ? -1 : 1))).toEqual([
        { user: ada, count: oracle(ada, 6, 99) },
        { user: bob, count: oracle(bob, 6, 99) },
      ]);
      expect(await store.countBySender(room, 12)).toEqual([]);
      expect(await store.countBySender(conversationNamed("none"), 0)).toEqual([]);
    }));
}

function listCases(open: OpenSubject): void {
  test("open conversations are listed by id, in pages, of the partitions asked for", () =>
    withStore(open, async (store, epoch) => {
      const rooms = Array.from({ length: 12 }, (_, at) => conversationNamed(String(at).padStart(2, "0")));
      const openEpoch = (at: number) => (at % 4 === 3 ? 0 : epoch);
      for (const [at, each] of rooms.entries()) {
        await store.commit(append(each, epoch, [entry(1)], { openEpoch: openEpoch(at) }));
      }
      const expected = rooms.filter((_, at) => openEpoch(at) !== 0);

      const first = await store.listOpen(allPartitions, null, 4);
      const rest = await store.listOpen(allPartitions, first.at(-1) ?? null, 100);

      expect([...first, ...rest]).toEqual(expected);
      expect(first.length).toBe(4);
      const some = allPartitions.filter((partition) => partition % 2 === 0);
      const even = expected.filter((each) => partitionOf("conversation", each) % 2 === 0);
      expect(await store.listOpen(some, null, 100)).toEqual(even);
      expect(await store.listOpen([], null, 100)).toEqual([]);
    }));

  test("a conversation that is closed is not listed as open any more, and again once reopened", () =>
    withStore(open, async (store, epoch) => {
      const opened = { ...head(room, 1), openEpoch: epoch };
      await store.commit(append(room, epoch, [entry(1)], { openEpoch: epoch }));
      await store.commit(write(room, epoch, { head: { ...opened, openEpoch: 0 } }));
      expect(await store.listOpen(allPartitions, null, 10)).toEqual([]);
      await store.commit(write(room, epoch, { head: opened }));
      expect(await store.listOpen(allPartitions, null, 10)).toEqual([room]);
    }));

  test("conversations are listed with their head seq, by id, in pages", () =>
    withStore(open, async (store, epoch) => {
      const rooms = Array.from({ length: 5 }, (_, at) => conversationNamed(at));
      await Promise.all(rooms.map((each, at) => store.commit(append(each, epoch, entries(1, at + 1)))));
      const first = await store.listAdvanced(null, 2);
      const rest = await store.listAdvanced(first.at(-1)?.conversation ?? null, 100);
      expect([...first, ...rest]).toEqual(rooms.map((conversation, at) => ({ conversation, seq: at + 1 })));
      expect(first.length).toBe(2);
    }));
}
