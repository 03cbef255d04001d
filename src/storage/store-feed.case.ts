// Contract: a person's feed, their devices and whether they exist.
import { expect, test } from "bun:test";
import type { FeedTuple } from "../protocol/operations";
import type { UserId } from "../protocol/ids";
import { ada, bob, conversationNamed, cy, device, feedWrite, membership, userRow } from "./store-samples.case";
import { type OpenSubject, withStore } from "./store-subject.case";

const room = conversationNamed("room");

export function feedCases(open: OpenSubject): void {
  feedWriteCases(open);
  feedConflictCases(open);
  personCases(open);
}

function feedWriteCases(open: OpenSubject): void {
  test("a person who was never written opens as null", () =>
    withStore(open, async (store, epoch) => {
      expect(await store.openFeed(ada, epoch)).toBeNull();
      expect(await store.readFeed(ada, 0, 10)).toEqual({ changes: [], user: null });
    }));

  test("a person's first row needs no change, and keeps every field", () =>
    withStore(open, async (store, epoch, subject) => {
      const user = userRow(ada, 0, { createdAt: 1_900_000_000_123, tokensValidFrom: 1_800_000_001, deletedAt: null });
      const devices = [device("phone", { platform: "Android 17 é" }), device("web", { signedOutAt: 1_800_000_002 })];
      expect(await store.commitFeed({ ...feedWrite(epoch, user), devices })).toEqual({ outcome: "stored" });
      const again = await subject.reopen();
      const opened = await again.openFeed(ada, epoch);
      expect(opened?.user).toEqual(user);
      expect(opened?.devices.toSorted((a, b) => (a.device < b.device ? -1 : 1))).toEqual(devices);
    }));

  test("a device's row is replaced, the others stay", () =>
    withStore(open, async (store, epoch) => {
      const write = feedWrite(epoch, userRow(ada, 0));
      await store.commitFeed({ ...write, devices: [device("a"), device("b")] });
      const seen = device("a", { lastSignInAt: 1_900_000_000_000, signedOutAt: 7 });
      await store.commitFeed({ ...write, devices: [seen] });
      const opened = await store.openFeed(ada, epoch);
      expect(opened?.devices.toSorted((a, b) => (a.device < b.device ? -1 : 1))).toEqual([seen, device("b")]);
    }));

  test("dropped devices have no row any more; the others, one without a name among them, stay", () =>
    withStore(open, async (store, epoch, subject) => {
      const rest = device("", { signedOutAt: 1_800_000_003 });
      const write = feedWrite(epoch, userRow(ada, 0));
      await store.commitFeed({ ...write, devices: [device("a"), device("b"), device("c")] });
      await store.commitFeed({ ...feedWrite(epoch, userRow(bob, 0)), devices: [device("a")] });
      const devicesDropped = [device("a"), device("c"), device("never")].map((row) => row.device);
      expect(await store.commitFeed({ ...write, devices: [rest], devicesDropped })).toEqual({ outcome: "stored" });
      const again = await subject.reopen();
      const opened = await again.openFeed(ada, epoch);
      expect(opened?.devices.toSorted((a, b) => (a.device < b.device ? -1 : 1))).toEqual([rest, device("b")]);
      expect((await again.openFeed(bob, epoch))?.devices).toEqual([device("a")]);
    }));

  test("changes are read back as they were, from beyond a userSeq, in pages", () =>
    withStore(open, async (store, epoch) => {
      const changes: FeedTuple[] = [
        [1, "membership", room, [3, "member", null, [1, 2, 3], true, 1_900_000_000_123]],
        [2, "settings", room, [true, false]],
        [3, "device", "phone", [{ platform: "é漢🎈" }, -1, 0.5, "", []]],
      ];
      const user = userRow(ada, 3);
      await store.commitFeed({ ...feedWrite(epoch, user), changes });
      expect(await store.readFeed(ada, 0, 10)).toEqual({ changes, user });
      expect(await store.readFeed(ada, 1, 1)).toEqual({ changes: changes.slice(1, 2), user });
      expect(await store.readFeed(ada, 3, 10)).toEqual({ changes: [], user });
    }));

  test("memberships keep every field and are replaced by later ones; tombstones are answered", () =>
    withStore(open, async (store, epoch) => {
      const other = conversationNamed("other");
      const first = [
        membership(room, { muted: true, markedUnread: true, join: { seq: 9, ordinal: 8, own: 7 }, floor: 9 }),
        membership(other, { type: "direct", peer: bob, role: "owner" }),
      ];
      await store.commitFeed(feedWrite(epoch, userRow(ada, 2), first));
      const gone = membership(room, { role: null, seq: 12 });
      await store.commitFeed(feedWrite(epoch, userRow(ada, 3), [gone]));
      const asked = [other, conversationNamed("none"), room];
      expect(await store.readMemberships(ada, asked)).toEqual([first[1], gone] as never);
      expect(await store.readMemberships(bob, asked)).toEqual([]);
    }));
}

function feedConflictCases(open: OpenSubject): void {
  test("changes that do not follow the stored userSeq are a conflict and store nothing", () =>
    withStore(open, async (store, epoch) => {
      await store.commitFeed(feedWrite(epoch, userRow(ada, 2), [membership(room), membership(conversationNamed(2))]));
      const late = membership(conversationNamed(3));
      for (const userSeq of [1, 2, 4]) {
        expect(await store.commitFeed(feedWrite(epoch, userRow(ada, userSeq), [late]))).toEqual({
          outcome: "conflict",
        });
      }
      expect(await store.readMemberships(ada, [late.conversation])).toEqual([]);
      expect((await store.openFeed(ada, epoch))?.user.userSeq).toBe(2);
      expect(await store.commitFeed(feedWrite(epoch, userRow(ada, 3), [late]))).toEqual({ outcome: "stored" });
    }));

  test("a row without changes that does not stand at the stored userSeq is a conflict", () =>
    withStore(open, async (store, epoch) => {
      await store.commitFeed(feedWrite(epoch, userRow(ada, 1), [membership(room)]));
      expect(await store.commitFeed(feedWrite(epoch, userRow(ada, 0)))).toEqual({ outcome: "conflict" });
      expect(await store.commitFeed(feedWrite(epoch, userRow(ada, 1, { tokensValidFrom: 5 })))).toEqual({
        outcome: "stored",
      });
    }));

  test("changes with a gap among them are refused", () =>
    withStore(open, async (store, epoch) => {
      const write = feedWrite(epoch, userRow(ada, 2), [membership(room), membership(conversationNamed(2))]);
      const gap = write.changes.map((change, at) => [at === 0 ? 5 : change[0], ...change.slice(1)] as never);
      expect((await store.commitFeed({ ...write, changes: gap })).outcome).toBe("refused");
      expect(await store.openFeed(ada, epoch)).toBeNull();
    }));

  test("feeds written in the same turn fail apart", () =>
    withStore(open, async (store, epoch) => {
      const people = Array.from({ length: 30 }, (_, at) => `person-${at}` as UserId);
      const writes = people.map((user, at) => feedWrite(epoch, userRow(user, at % 10 === 4 ? 3 : 0)));
      const answers = await Promise.all(writes.map((write) => store.commitFeed(write)));
      const expected = people.map((_, at) => (at % 10 === 4 ? "conflict" : "stored"));
      expect(answers.map(({ outcome }) => outcome)).toEqual(expected as never);
    }));
}

function personCases(open: OpenSubject): void {
  test("people who do not exist, or are deleted, are unknown", () =>
    withStore(open, async (store, epoch) => {
      await store.commitFeed(feedWrite(epoch, userRow(ada, 0)));
      await store.commitFeed(feedWrite(epoch, userRow(bob, 0, { deletedAt: 1_800_000_000_000 })));
      expect(await store.unknownUsers([cy, ada, bob])).toEqual([cy, bob]);
      expect(await store.unknownUsers([ada])).toEqual([]);
      expect(await store.unknownUsers([])).toEqual([]);
    }));

  test("people in too many conversations are named; those they left do not count", () =>
    withStore(open, async (store, epoch) => {
      const rows = [0, 1, 2].map((n) => membership(conversationNamed(`full${n}`), { role: n === 2 ? null : "member" }));
      await store.commitFeed(feedWrite(epoch, userRow(ada, rows.length), rows));
      expect(await store.fullUsers([ada, bob], 2)).toEqual([ada]);
      expect(await store.fullUsers([ada, bob], 3)).toEqual([]);
    }));

  test("ids are compared as bytes", () =>
    withStore(open, async (store, epoch) => {
      await store.commitFeed(feedWrite(epoch, userRow("Ada" as UserId, 0)));
      expect(await store.unknownUsers(["ada" as UserId, "Ada" as UserId])).toEqual(["ada" as UserId]);
    }));
}
