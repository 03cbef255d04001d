// What the MongoDB driver sends over the wire, by its own report: every command is in the table of queries, carries the concerns
// the guarantees rest on, and there are no more of them than docs/benchmarks.md says (G1, G5).
import { expect, test } from "bun:test";
import type { Epoch } from "../../src/protocol/ids";
import { systemClock } from "../../src/lib/clock";
import { connectMongo } from "../../src/storage/mongo-connection";
import { migrateMongo } from "../../src/storage/mongo-migrations";
import type { Store } from "../../src/storage/store";
import {
  ada,
  allPartitions,
  append,
  bob,
  clientIdNamed,
  conversationNamed,
  cy,
  device,
  entries,
  entry,
  feedWrite,
  head,
  member,
  membership,
  range,
  said,
  userRow,
  write,
} from "../../src/storage/store-samples.case";
import { describeWith } from "../services/services";
import { idleRows, lackOf, rowsOf } from "./mongo-watch";
import { openWatched, type WatchedStore } from "./mongo-watched";

const room = conversationNamed("room");

/** Ada, bob and cy talk, read, are told of memberships; one leaves. The room is closed in the end. */
async function talk(store: Store, epoch: Epoch): Promise<void> {
  const open = { openEpoch: epoch };
  const members = [member(ada, { role: "owner" }), member(bob), member(cy)];
  await store.commit({ ...append(room, epoch, entries(1, 3), open), members });
  await store.commit(append(room, epoch, [entry(4)], open));
  await store.commit(append(room, epoch, [entry(5), entry(6, { clientId: clientIdNamed(2) })], open));
  await store.commit(append(room, epoch, [entry(5, { clientId: clientIdNamed(1) })], open));
  await store.commit(append(conversationNamed("stray"), epoch - 1, entries(1, 1), open));
  const cursors = [{ user: bob, seq: 3, ordinal: 3, own: 0 }];
  await store.commit(write(room, epoch, { cursors }));
  const left = { ...append(room, epoch, [entry(5)], open), members: [member(cy, { role: null, changedSeq: 5 })] };
  await store.commit({ ...left, cursors: [{ user: ada, seq: 4, ordinal: 4, own: 4 }] });
  const closed = { ...head(room, 5), lastMessage: entry(5).bytes, lastMessageSeq: 5, totalsThrough: 5 };
  await store.commit(write(room, epoch, { head: closed, totals: [{ user: ada, total: 5 }] }));
}

async function meet(store: Store, epoch: Epoch): Promise<void> {
  const write = feedWrite(epoch, userRow(ada, 1), [membership(room)]);
  await store.commitFeed({ ...write, devices: [device("phone"), device("web")] });
  const muted = feedWrite(epoch, userRow(ada, 2), [membership(room, { muted: true })]);
  await store.commitFeed({ ...muted, devicesDropped: [device("web").device] });
  await store.commitFeed(feedWrite(epoch, userRow(ada, 2, { tokensValidFrom: 9 })));
  await store.commitFeed(feedWrite(epoch, userRow(bob, 0)));
  await store.commitFeed(feedWrite(epoch - 1, userRow(cy, 0)));
}

async function readAll(store: Store, epoch: Epoch): Promise<void> {
  await store.audit(3, epoch);
  await store.auditAll([]);
  await store.auditAll([[3, epoch]]);
  await store.openConversation(room, epoch, 3);
  await store.openConversation(conversationNamed("none"), epoch, 3);
  const ranges = [
    range(room, { limit: 2 }),
    range(conversationNamed("other")),
    range(room, { direction: "down", from: 99, limit: 2 }),
    range(room, { kind: 1, limit: 3 }),
    range(room, { kind: 1, limit: 3, direction: "down", from: 99 }),
  ];
  await store.readRanges(ranges, 100_000);
  await store.findClientIds(room, [[ada, clientIdNamed(1)]]);
  await store.readMembers(room, [ada, cy]);
  await store.readCursors(room, [ada, cy]);
  await store.countOwn(room, ada, 1, 4);
  await store.countBySender(room, 2);
  await store.readReaders(room, 1, ada, 5);
  await store.readReaders(room, 1, null, 5);
  await store.countReaders(room, 1, bob);
  await store.listOpen(allPartitions, null, 5);
  await store.listOpen([1, 2], room, 5);
  await store.listAdvanced(null, 5);
  await store.listAdvanced(room, 5);
  await store.readHeads([room, conversationNamed("none")]);
  await store.conversationsOf(ada);
  await store.raiseFeatureLevel(1);
  await store.openFeed(ada, epoch);
  await store.openFeed(cy, epoch);
  await store.readMemberships(ada, [room]);
  await store.readFeed(ada, 0, 5);
  await store.unknownUsers([ada, cy]);
  await store.fullUsers([ada, cy], 1);
  await store.readSync(ada, null, 5, true);
  await store.readSync(ada, room, 5, true);
  await store.readSync(ada, room, 5, false);
}

/** Brings the database to its schema once more, watched. */
async function prepare({ uri, watch }: WatchedStore): Promise<void> {
  const { client, db } = await connectMongo({ uri, clock: systemClock, monitored: true });
  client.on("commandStarted", watch.command);
  await db
    .collection<{ _id: string }>("meta")
    .deleteOne({ _id: "schema" }, { writeConcern: { w: "majority", j: true } });
  watch.takeAll();
  await migrateMongo(db, 4000);
  await client.close();
}

describeWith("mongodb", "commands of the MongoDB store", () => {
  test("every command of a representative load is in the table and has its concerns", async () => {
    await using world = await openWatched();
    const { store, epoch, watch, clock } = world;
    await talk(store, epoch);
    await meet(store, epoch);
    await readAll(store, epoch);
    // Left open, its head stored later, and taken over.
    const left = conversationNamed("left");
    await store.commit(append(left, epoch, [said(1, 1, ada)], { openEpoch: epoch }));
    await store.commit(append(left, epoch, [said(2, 2, ada)], { openEpoch: epoch }));
    clock.advance(10_000);
    const next = await world.another();
    const later = await next.claim(allPartitions);
    await next.openConversation(left, later, 5);
    await next.openFeed(ada, later);
    await store.commit(append(left, epoch, [said(3, 3, ada)], { openEpoch: epoch }));
    await store.commit(append(conversationNamed("late"), epoch, [said(1, 1, ada)], { openEpoch: epoch }));
    const seen = [...watch.takeAll()];
    await prepare(world);
    seen.push(...watch.takeAll());
    expect(seen.length).toBeGreaterThan(50);
    const unknown = seen.flatMap(rowsOf).filter((row) => row.startsWith("not in the table"));
    expect([...new Set(unknown)]).toEqual([]);
    // That one is for two owners whose feed writes meet.
    expect(idleRows(seen)).toEqual(["feed.at"]);
    expect(seen.flatMap((each) => lackOf(each) ?? [])).toEqual([]);
    const linearizable = seen.filter(({ command }) => command["readConcern"]?.level === "linearizable");
    expect(new Set(linearizable.map(({ command }) => command["find"]))).toEqual(
      new Set(["partitions", "heads", "users"]),
    );
    // Without a majority the server would go on with one for ever.
    expect(linearizable.filter(({ command }) => !(command["maxTimeMS"] > 0))).toEqual([]);
    // A lone server that is connected to directly is asked as the primary, or whatever it is.
    const modes = seen.map(({ command }) => command["$readPreference"]?.mode ?? "primary");
    expect(modes.filter((mode) => !mode.startsWith("primary"))).toEqual([]);
  });

  test("the watch tells what is not in the table, and what lacks its concerns", () => {
    const bad = { find: "entries", filter: { sender: "x" }, readConcern: { level: "local" } };
    expect(rowsOf({ commandName: "find", command: bad })[0]).toStartWith("not in the table");
    expect(lackOf({ commandName: "find", command: bad })).toBe("find: read concern local");
    const sorted = { find: "entries", filter: { conversation: "x", seq: { $gt: 1 } }, sort: { time: 1 } };
    expect(rowsOf({ commandName: "find", command: sorted })[0]).toStartWith("not in the table");
    const update = { update: "heads", updates: [{ q: { _id: "x" } }, { q: { name: "x" } }], writeConcern: { w: 1 } };
    const [first, second] = rowsOf({ commandName: "update", command: update });
    expect(first).toBe("owner.writeHead");
    expect(second).toStartWith("not in the table");
    expect(lackOf({ commandName: "update", command: update })).toBe('update: {"w":1}');
    expect(rowsOf({ commandName: "mapReduce", command: { mapReduce: "entries" } })[0]).toStartWith("not in the table");
  });
});
