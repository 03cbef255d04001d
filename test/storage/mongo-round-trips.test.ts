// How many commands the MongoDB store needs for what: measured by the driver's own report, and as docs/benchmarks.md lists it.
import { expect, test } from "bun:test";
import { MongoClient } from "mongodb";
import type { ConversationId, UserId } from "../../src/protocol/ids";
import { bin, membershipPartOf } from "../../src/storage/mongo-schema";
import {
  ada,
  append,
  bob,
  conversationNamed,
  entries,
  entry,
  feedWrite,
  head,
  member,
  membership,
  range,
  userRow,
  write,
} from "../../src/storage/store-samples.case";
import { describeWith } from "../services/services";
import { openWatched, type WatchedStore } from "./mongo-watched";

const page = await Bun.file(new URL("../../docs/benchmarks.md", import.meta.url)).text();
const section = page.split("\n## Round trips to MongoDB\n")[1]?.split("\n## ")[0] ?? "";
/** What the page says of each operation: its commands, in order. */
const told = new Map([...section.matchAll(/^\| (.+?) \| (.+?) \| (\d+) \|$/gm)].map(([, what, how]) => [what, how]));

const room = conversationNamed("room");
const many = Array.from({ length: 500 }, (_, at) => conversationNamed(`many-${String(at).padStart(3, "0")}`));

/** Compares the commands that `run` sent with what the page says of `what`. */
async function expectTold(world: WatchedStore, what: string, run: () => Promise<unknown>): Promise<void> {
  world.watch.take();
  await run();
  const sent = world.watch.take().filter((command) => !command.startsWith("endSessions"));
  expect([what, told.get(what)]).toEqual([what, sent.map((command) => `\`${command}\``).join(", ")]);
}

/** Ada in 500 closed conversations of two entries, written past the driver: through it would take its time here. */
async function seed({ uri, store, epoch }: WatchedStore): Promise<void> {
  await store.commitFeed(feedWrite(epoch, userRow(ada, 1), [membership(many[0] as ConversationId)]));
  const client = new MongoClient(uri);
  try {
    const db = client.db();
    const template = { ...head(room, 2), lastMessage: bin(entry(2).bytes), lastMessageSeq: 2 };
    const { conversation: _, ...fields } = template;
    const all = many.map((each) => ({ _id: each, ...fields, open: false, epoch, revision: 1, partition: 1 }));
    await db.collection<{ _id: string }>("heads").insertMany(all);
    const join = { seq: 1, ordinal: 0, own: 0 };
    const participant = { changedSeq: 1, role: "member", join, floor: 1 };
    await db
      .collection("participants")
      .insertMany(many.map((each) => ({ conversation: each, user: ada, member: participant })));
    const rows = many.slice(1).map((each) => ({ user: ada, conversation: each, row: stamped(each) }));
    await db.collection("memberships").insertMany(rows);
    const logs = many.flatMap((each) =>
      entries(1, 2).map((row) => ({ ...row, conversation: each, key: bin(Buffer.from(`s${row.seq}`)), epoch })),
    );
    await db.collection("entries").insertMany(logs);
  } finally {
    await client.close();
  }
}

function stamped(conversation: ConversationId) {
  return membershipPartOf(membership(conversation), 0);
}

describeWith("mongodb", "round trips to MongoDB", () => {
  test("a conversation: opened, written, read, closed", async () => {
    await using world = await openWatched();
    const { store, epoch } = world;
    const open = { openEpoch: epoch };
    const said = (seq: number, count: number) => append(room, epoch, entries(seq, count), open);
    await expectTold(world, "first entries of a new conversation, with its members", async () => {
      await store.openConversation(room, epoch, 64);
      world.watch.take();
      await store.commit({ ...said(1, 2), members: [member(ada), member(bob)] });
    });
    await expectTold(world, "a send into an open conversation", () => store.commit(said(3, 1)));
    await expectTold(world, "a batch of 200 sends into an open conversation", () => store.commit(said(4, 200)));
    await expectTold(world, "a join or leave in an open conversation", () =>
      store.commit({ ...append(room, epoch, [entry(204, { clientId: null })], open), members: [member(bob)] }),
    );
    await expectTold(world, "read marks of any number of people, within 20 ms", () =>
      store.commit(write(room, epoch, { cursors: [{ user: ada, seq: 3, ordinal: 3, own: 3 }] })),
    );
    await expectTold(world, "a page of 50 messages", () =>
      store.readRange(range(room, { from: 200, direction: "down", limit: 50, kind: 1, scanMax: 200 })),
    );
    const closed = { ...head(room, 204), lastMessage: entry(204).bytes, lastMessageSeq: 204, totalsThrough: 204 };
    await expectTold(world, "closing, with totals", () =>
      store.commit(write(room, epoch, { head: closed, totals: [{ user: ada, total: 203 }] })),
    );
    await expectTold(world, "the first send after it was closed", () => store.commit(said(205, 1)));
    await store.commit(write(room, epoch, { head: { ...closed, seq: 205 } }));
    const next = await world.another();
    const later = await next.claim([...Array(256).keys()]);
    await expectTold(world, "opening a closed conversation", () => next.openConversation(room, later, 64));
    await expectTold(world, "an audit of a partition", () => store.audit(1, epoch));
    await expectTold(world, "an audit of all partitions", () =>
      store.auditAll(Array.from({ length: 256 }, (_, partition) => [partition, epoch])),
    );
  });

  test("a person: a change of their feed, and what they sync", async () => {
    await using world = await openWatched();
    const { store, epoch } = world;
    await seed(world);
    await expectTold(world, "a change of a person's memberships", () =>
      store.commitFeed(feedWrite(epoch, userRow(ada, 2), [membership(many[0] as ConversationId, { muted: true })])),
    );
    await expectTold(world, "sync of 500 conversations", async () => {
      const { rows, more } = await store.readSync(ada, null, 500, true);
      expect([rows.length, more]).toEqual([500, false]);
      expect(rows.every(({ open, row }) => !open && row !== null)).toBe(true);
    });
    await expectTold(world, "sync of a page of 100, with counters of the other 400", async () => {
      const { rows, counts } = await store.readSync(ada, null, 100, true);
      expect([rows.length, counts.length]).toEqual([100, 400]);
    });
    await expectTold(world, "one missed entry in each of 500 conversations", async () => {
      const requests = many.map((each) => range(each, { from: 2, limit: 1, scanMax: 1 }));
      const ranges = await store.readRanges(requests, 262_144);
      expect(ranges.every(({ scannedTo }) => scannedTo === 2)).toBe(true);
    });
    await expectTold(world, "where logs end, up to 1,000 of them", async () => {
      expect((await store.readHeads(many.slice(0, 20))).length).toBe(20);
    });
    await expectTold(world, "the conversations of a person", async () => {
      expect(await store.conversationsOf(ada)).toEqual(many);
    });
    await expectTold(world, "a person's feed, from where a client stands", () => store.readFeed(ada, 1, 100));
  }, 30_000);

  test("a hot conversation costs one insert a batch, whatever else goes on", async () => {
    await using world = await openWatched();
    const { store, epoch, watch } = world;
    const open = { openEpoch: epoch };
    await store.commit(append(room, epoch, entries(1, 1), open));
    watch.take();
    for (let batch = 0; batch < 30; batch++)
      expect((await store.commit(append(room, epoch, entries(2 + batch * 3, 3), open))).outcome).toBe("stored");
    const sent = watch.take();
    expect(sent.filter((command) => command === "insert entries").length).toBe(30);
    expect(sent.filter((command) => command === "find entries").length).toBe(30);
    expect(sent.length).toBe(60);
  });

  test("read marks cost one bulk write and one read every 20 ms, however many people and conversations", async () => {
    await using world = await openWatched();
    const { store, epoch, watch, clock } = world;
    const rooms = many.slice(0, 4);
    await Promise.all(rooms.map((each) => store.commit(append(each, epoch, entries(1, 20), { openEpoch: epoch }))));
    const people = Array.from({ length: 5 }, (_, at) => `reader-${at}` as UserId);
    watch.take();
    const begun = clock.monotonic();
    for (let seq = 1; seq <= 20; seq++) {
      const move = (user: UserId) => ({ user, seq, ordinal: seq, own: 0 });
      const commits = rooms.flatMap((each) =>
        people.map((user) => store.commit(write(each, epoch, { cursors: [move(user)] }))),
      );
      expect((await Promise.all(commits)).every(({ outcome }) => outcome === "stored")).toBe(true);
    }
    const most = Math.floor((clock.monotonic() - begun) / 20) + 1;
    const sent = watch.take();
    const bulks = sent.filter((command) => command === "update participants").length;
    expect(bulks).toBeGreaterThanOrEqual(20);
    expect(bulks).toBeLessThanOrEqual(most);
    expect(sent.filter((command) => command === "find participants").length).toBe(bulks);
    expect(sent.length).toBe(2 * bulks);
  }, 30_000);
});
