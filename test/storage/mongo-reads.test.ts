// What reads of MongoDB must not show: half of a write that is under way, and what they answer where nobody answers them.
import { expect, test } from "bun:test";
import { MongoClient } from "mongodb";
import { AppError } from "../../src/lib/errors";
import { packChanges } from "../../src/storage/mongo-schema";
import { openMongoStore } from "../../src/storage/mongo-store";
import {
  ada,
  allPartitions,
  append,
  clientIdNamed,
  conversationNamed,
  entries,
  feedWrite,
  membership,
  range,
  userRow,
} from "../../src/storage/store-samples.case";
import type { Store } from "../../src/storage/store";
import { describeWith, startMongo } from "../services/services";
import { openWatched } from "./mongo-watched";

const room = conversationNamed("room");

/** Every read of the port, each with something to look for. */
const reads: Readonly<Record<string, (store: Store) => Promise<unknown>>> = {
  audit: (store) => store.audit(1, 1),
  openConversation: (store) => store.openConversation(room, 1, 1),
  readRange: (store) => store.readRange(range(room)),
  readRanges: (store) => store.readRanges([range(room)], 100),
  findClientIds: (store) => store.findClientIds(room, [[ada, clientIdNamed(1)]]),
  readMembers: (store) => store.readMembers(room, [ada]),
  readCursors: (store) => store.readCursors(room, [ada]),
  countOwn: (store) => store.countOwn(room, ada, 0, 9),
  countBySender: (store) => store.countBySender(room, 0),
  readReaders: (store) => store.readReaders(room, 1, null, 9),
  countReaders: (store) => store.countReaders(room, 1, ada),
  listOpen: (store) => store.listOpen(allPartitions, null, 9),
  listAdvanced: (store) => store.listAdvanced(null, 9),
  openFeed: (store) => store.openFeed(ada, 1),
  readMemberships: (store) => store.readMemberships(ada, [room]),
  readFeed: (store) => store.readFeed(ada, 0, 9),
  unknownUsers: (store) => store.unknownUsers([ada]),
  fullUsers: (store) => store.fullUsers([ada], 1),
  readSync: (store) => store.readSync(ada, null, 9, true),
};

function answers(store: Store): Promise<boolean> {
  return store.listAdvanced(null, 1).then(
    () => true,
    () => false,
  );
}

describeWith("mongodb", "reads of MongoDB", () => {
  test("a feed write under way is not told before the person's row tells of it", async () => {
    await using world = await openWatched();
    const { store, epoch, uri } = world;
    await store.commitFeed(feedWrite(epoch, userRow(ada, 1), [membership(room)]));
    const changes = packChanges([[2, "settings", room, [true, false]]]);
    const client = new MongoClient(uri);
    try {
      const doc = { user: ada, first: 2, userSeq: 2, epoch, lease: "", revision: 9, changes, rows: null };
      await client.db().collection("feed").insertOne(doc);
      const { changes: told, user } = await store.readFeed(ada, 0, 10);
      expect([told.map(([userSeq]) => userSeq), user?.userSeq]).toEqual([[1], 1]);
      await client
        .db()
        .collection<{ _id: string }>("users")
        .updateOne({ _id: ada }, { $set: { userSeq: 2 } });
      expect((await store.readFeed(ada, 1, 10)).changes).toEqual([[2, "settings", room, [true, false]]]);
    } finally {
      await client.close();
    }
  });

  test("every read of a store that is closed rejects with a retryable code", async () => {
    await using world = await openWatched();
    await world.store.commit(append(room, world.epoch, entries(1, 1)));
    for (const read of Object.values(reads)) await read(world.store);
    await world.store.close();
    for (const [name, read] of Object.entries(reads)) {
      const error = await read(world.store).catch((thrown: unknown) => thrown);
      expect([name, error instanceof AppError && [error.code, error.retryable]]).toEqual([
        name,
        ["store_unavailable", true],
      ]);
    }
  });
});

describeWith("own mongodb", "reads of a MongoDB that is away", () => {
  test("every read rejects with a retryable code, within its bound, and answers again without a restart", async () => {
    await using mongo = await startMongo();
    const limits = { serverSelectionMs: 300, operationMs: 2000, decideMs: 500 };
    const store = await openMongoStore({ uri: mongo.uri, limits });
    try {
      await store.claim(allPartitions);
      await mongo.kill9();
      const failed = await Promise.all(
        Object.entries(reads).map(([name, read]) =>
          read(store).then(
            () => `${name} answered`,
            (error: unknown) => (error instanceof AppError ? error.code : `${name}: ${String(error)}`),
          ),
        ),
      );
      expect(failed).toEqual(Object.keys(reads).map(() => "store_unavailable"));
      await mongo.start();
      while (!(await answers(store))) await new Promise((turn) => setImmediate(turn));
      for (const read of Object.values(reads)) await read(store);
    } finally {
      await store.close();
    }
  }, 60_000);
});
