// Contract: epochs. Whoever claims a partition fences every older epoch, on every handle.
import { expect, test } from "bun:test";
import { partitionOf } from "../lib/hash";
import { ada, append, conversationNamed, entries, feedWrite, seqs, userRow, wholeLog } from "./store-samples.case";
import { allPartitions } from "./store-samples.case";
import { type OpenSubject, withStore } from "./store-subject.case";

const room = conversationNamed("room");
const partition = partitionOf("conversation", room);

export function fenceCases(open: OpenSubject): void {
  test("every claim answers a higher epoch, also after the store is opened again", () =>
    withStore(open, async (store, epoch, subject) => {
      const next = await store.claim([1]);
      expect(next).toBeGreaterThan(epoch);
      const again = await subject.reopen();
      expect(await again.claim([2, 3])).toBeGreaterThan(next);
    }));

  test("a commit under an older epoch is fenced and stores nothing", () =>
    withStore(open, async (store, old) => {
      await store.commit(append(room, old, entries(1, 2)));
      const epoch = await store.claim(allPartitions);
      expect(await store.commit(append(room, old, entries(3, 1)))).toEqual({ outcome: "fenced" });
      expect(await store.commitFeed(feedWrite(old, userRow(ada, 0)))).toEqual({ outcome: "fenced" });
      expect((await store.commit(append(room, epoch, entries(3, 1)))).outcome).toBe("stored");
      expect(seqs(await wholeLog(store, room))).toEqual([1, 2, 3]);
      expect(await store.openFeed(ada, epoch)).toBeNull();
    }));

  test("only the claimed partitions are fenced", () =>
    withStore(open, async (store, old) => {
      const others = allPartitions.filter((each) => each !== partition);
      const epoch = await store.claim(others);
      expect((await store.commit(append(room, old, entries(1, 1)))).outcome).toBe("stored");
      expect(await store.commit(append(room, epoch, entries(2, 1)))).toEqual({ outcome: "fenced" });
    }));

  test("an audit says whether an epoch is still the newest of its partition", () =>
    withStore(open, async (store, old) => {
      expect(await store.audit(partition, old)).toBe(true);
      const epoch = await store.claim([partition]);
      expect(await store.audit(partition, old)).toBe(false);
      expect(await store.audit(partition, epoch)).toBe(true);
      expect(await store.audit((partition + 1) % 256, old)).toBe(true);
    }));

  test("a fenced conversation harms none of those that share its commit", () =>
    withStore(open, async (store, epoch) => {
      const rooms = Array.from({ length: 8 }, (_, at) => conversationNamed(`room-${at}`));
      const writes = rooms.map((each, at) => append(each, at === 3 ? epoch - 1 : epoch, entries(1, 2)));
      const answers = await Promise.all(writes.map((each) => store.commit(each)));
      expect(answers.map(({ outcome }) => outcome)).toEqual(rooms.map((_, at) => (at === 3 ? "fenced" : "stored")));
    }));

  test("a second handle's claim fences the first one, which still reads", () =>
    withStore(open, async (first, old, subject) => {
      await first.commit(append(room, old, entries(1, 2)));
      const second = await subject.second();
      const epoch = await second.claim(allPartitions);

      expect(await first.commit(append(room, old, entries(3, 1)))).toEqual({ outcome: "fenced" });
      expect(await first.audit(partition, old)).toBe(false);
      expect((await second.openConversation(room, epoch, 10))?.head.seq).toBe(2);
      expect((await second.commit(append(room, epoch, entries(3, 1)))).outcome).toBe("stored");
      expect(seqs(await wholeLog(first, room))).toEqual([1, 2, 3]);
    }));
}
