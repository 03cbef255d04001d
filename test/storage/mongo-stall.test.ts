// A database that stalls: the driver's own watch gives the server up, and takes the connections away from what is under way.
import { expect, test } from "bun:test";
import { openMongoStore } from "../../src/storage/mongo-store";
import {
  allPartitions,
  append,
  conversationNamed,
  entries,
  seqs,
  wholeLog,
} from "../../src/storage/store-samples.case";
import { startProxy } from "../faults/proxy";
import { describeWith, shareMongo } from "../services/services";

/** The watch gives up long before a reply is overdue. */
const watch = "connectTimeoutMS=300&heartbeatFrequencyMS=500";
const room = conversationNamed("room");

describeWith("mongodb", "a database that stalls", () => {
  test("a write whose connection the driver gives up is repeated until it is known what is stored", async () => {
    await using share = await shareMongo();
    await using proxy = await startProxy(share.uri);
    const away = Promise.withResolvers<string | null>();
    const back = Promise.withResolvers<void>();
    const onHealth = (writable: boolean, reason: string | null): void => {
      if (writable) back.resolve();
      else away.resolve(reason);
    };
    const limits = { operationMs: 20_000, serverSelectionMs: 300, decideMs: 60_000 };
    const uri = `${proxy.through(share.uri)}&${watch}`;
    const store = await openMongoStore({ uri, limits, onHealth });
    await using _ = { [Symbol.asyncDispose]: () => store.close() };
    const epoch = await store.claim(allPartitions);
    expect((await store.commit(append(room, epoch, entries(1, 1)))).outcome).toBe("stored");
    proxy.blackHole("both");
    const stalled = store.commit(append(room, epoch, entries(2, 1)));
    expect(await away.promise).toStartWith("no primary of the database answers");
    await proxy.heal();
    expect((await stalled).outcome).toBe("stored");
    await back.promise;
    expect(seqs(await wholeLog(store, room))).toEqual([1, 2]);
  });
});
