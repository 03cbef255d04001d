// Contract: everything a signing-in person needs, joined, in pages (G5, G9).
import { expect, test } from "bun:test";
import type { Store } from "./store";
import {
  ada,
  append,
  bob,
  conversationNamed,
  entries,
  feedWrite,
  member,
  membership,
  plain,
  userRow,
} from "./store-samples.case";
import { syncRowOf } from "./sync-row";
import { type OpenSubject, withStore } from "./store-subject.case";

const rooms = Array.from({ length: 6 }, (_, at) => conversationNamed(at));

/** Ada in six rooms: 0 whole, 1 without a cursor, 2 open, 3 left, 4 dangling, 5 muted. */
async function withAda(store: Store, epoch: number): Promise<void> {
  for (const [at, room] of rooms.entries()) {
    if (at === 4) continue;
    const write = append(room, epoch, entries(1, at + 2), { openEpoch: at === 2 ? epoch : 0, name: `room ${at}` });
    const cursors = at === 1 ? [] : [{ user: ada, seq: 2, ordinal: 2, own: 1 }];
    await store.commit({
      ...write,
      members: [member(ada), member(bob)],
      cursors,
      totals: at === 0 ? [{ user: ada, total: 2 }] : [],
    });
  }
  const rows = rooms.map((room, at) =>
    membership(room, { role: at === 3 ? null : "member", muted: at === 5, join: { seq: 1, ordinal: 1, own: 0 } }),
  );
  await store.commitFeed(feedWrite(epoch, userRow(ada, rows.length), rows));
}

/** Ample for a substitute of a database that looks at every document. */
const slowMs = 60_000;

export function syncCases(open: OpenSubject): void {
  test("a person who does not exist syncs to nothing", () =>
    withStore(open, async (store) => {
      expect(await store.readSync(ada, null, 10, true)).toEqual({ user: null, rows: [], more: false, counts: [] });
    }));

  test("a row joins the membership with the head, the member and the cursor", () =>
    withStore(open, async (store, epoch) => {
      await withAda(store, epoch);
      const page = await store.readSync(ada, null, 2, false);
      const [first, second] = page.rows;
      const head = (await store.openConversation(rooms[0] as (typeof rooms)[0], epoch, 0))?.head ?? null;
      const cursor = { user: ada, seq: 2, ordinal: 2, own: 1, total: 2 };
      const joined = membership(conversationNamed(0), { join: { seq: 1, ordinal: 1, own: 0 } });

      expect(page.user).toEqual(userRow(ada, 6));
      expect(plain(first)).toEqual(plain(syncRowOf({ membership: joined, head, member: member(ada), cursor })));
      expect(first?.row).not.toBeNull();
      expect(first?.headSeq).toBe(2);
      expect(second).toMatchObject({ cursor: { seq: 0, ordinal: 0, own: 0 }, myTotal: 0 });
      expect(page.counts).toEqual([]);
    }));

  test("pages follow each other by conversation id, present memberships only", () =>
    withStore(open, async (store, epoch) => {
      await withAda(store, epoch);
      const first = await store.readSync(ada, null, 3, false);
      const rest = await store.readSync(ada, first.rows.at(-1)?.conversation ?? null, 3, false);
      const ids = [...first.rows, ...rest.rows].map(({ conversation }) => conversation);
      expect(ids).toEqual(rooms.filter((_, at) => at !== 3));
      expect([first.more, rest.more]).toEqual([true, false]);
    }));

  test("a page that holds exactly the rest says that no more follow", () =>
    withStore(open, async (store, epoch) => {
      await withAda(store, epoch);
      const page = await store.readSync(ada, null, 5, false);
      expect([page.rows.length, page.more]).toEqual([5, false]);
    }));

  test("a membership whose conversation is gone is answered without a row", () =>
    withStore(open, async (store, epoch) => {
      await withAda(store, epoch);
      const { rows } = await store.readSync(ada, null, 10, true);
      const dangling = rows.find(({ conversation }) => conversation === rooms[4]);
      expect(dangling).toMatchObject({ row: null, headSeq: 0, open: false });
    }));

  test("counts cover every present membership that is not on the page", () =>
    withStore(open, async (store, epoch) => {
      await withAda(store, epoch);
      const { rows, counts } = await store.readSync(ada, rooms[1] ?? null, 1, true);
      const read = { seq: 2, ordinal: 2, own: 1 };
      const never = { seq: 0, ordinal: 0, own: 0 };
      const row = { muted: false, open: false, totalsThrough: 0, myTotal: 0, join: member(ada).join };
      expect(rows.map(({ conversation, open: left, headOrdinal }) => [conversation, left, headOrdinal])).toEqual([
        [conversationNamed(2), true, 4],
      ]);
      expect(counts.toSorted((a, b) => (a.conversation < b.conversation ? -1 : 1))).toEqual([
        { ...row, conversation: conversationNamed(0), headOrdinal: 2, myTotal: 2, cursor: read },
        { ...row, conversation: conversationNamed(1), headOrdinal: 3, cursor: never },
        { ...row, conversation: conversationNamed(4), headOrdinal: 0, cursor: never, join: never },
        { ...row, conversation: conversationNamed(5), headOrdinal: 7, cursor: read, muted: true },
      ]);
    }));

  test(
    "a sync of 500 conversations is one page",
    () =>
      withStore(open, async (store, epoch) => {
        const many = Array.from({ length: 500 }, (_, at) => conversationNamed(`many-${at}`)).toSorted();
        await Promise.all(many.map((room) => store.commit(append(room, epoch, entries(1, 1)))));
        const memberships = many.map((room) => membership(room));
        await store.commitFeed(feedWrite(epoch, userRow(ada, 500), memberships));
        const page = await store.readSync(ada, null, 500, true);
        expect([page.rows.length, page.counts.length, page.more]).toEqual([500, 0, false]);
        expect(new Set(page.rows.map(({ conversation }) => conversation))).toEqual(new Set(many));
      }),
    slowMs,
  );
}
