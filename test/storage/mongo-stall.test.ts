// A database that stalls: the driver's own watch gives the server up, and takes the connections away from what is under way.
import { expect, test } from "bun:test";
import { openMongoStore } from "../../src/storage/mongo-store";
import {
  ada,
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

/** What a store told of its health, as promises of the next time. */
function healthWatch() {
  const away = Promise.withResolvers<string | null>();
  const back = Promise.withResolvers<void>();
  const onHealth = (writable: boolean, reason: string | null): void => {
    if (writable) back.resolve();
    else away.resolve(reason);
  };
  return { onHealth, away: away.promise, back: back.promise };
}

describeWith("mongodb", "a database that stalls", () => {
  test("a write whose connection the driver gives up is repeated until it is known what is stored", async () => {
    await using share = await shareMongo();
    await using proxy = await startProxy(share.uri);
    const { onHealth, away, back } = healthWatch();
    const limits = { operationMs: 20_000, serverSelectionMs: 300, decideMs: 60_000 };
    const uri = `${proxy.through(share.uri)}&${watch}`;
    const store = await openMongoStore({ uri, limits, onHealth });
    await using _ = { [Symbol.asyncDispose]: () => store.close() };
    const epoch = await store.claim(allPartitions);
    expect((await store.commit(append(room, epoch, entries(1, 1)))).outcome).toBe("stored");
    proxy.blackHole("both");
    const stalled = store.commit(append(room, epoch, entries(2, 1)));
    expect(await away).toStartWith("no primary of the database answers");
    await proxy.heal();
    expect((await stalled).outcome).toBe("stored");
    await back;
    expect(seqs(await wholeLog(store, room))).toEqual([1, 2]);
  });

  test("is noticed by whoever reads, also where nobody writes", async () => {
    await using share = await shareMongo();
    await using proxy = await startProxy(share.uri);
    const { onHealth, away, back } = healthWatch();
    const limits = { serverSelectionMs: 300 };
    const store = await openMongoStore({ uri: `${proxy.through(share.uri)}&${watch}`, limits, onHealth });
    await using _ = { [Symbol.asyncDispose]: () => store.close() };
    await proxy.refuse();
    await expect(store.readMembers(room, [ada])).rejects.toMatchObject({ code: "store_unavailable" });
    expect(await away).toMatch(/^the connection to the database was lost|^no primary of the database answers/);
    expect(store.health().writable).toBe(false);
    await proxy.heal();
    await back;
    expect(store.health()).toEqual({ writable: true, reason: null });
  });

  test("does not keep an audit waiting: it is rejected long before a reply is overdue, and passes once the database answers", async () => {
    await using share = await shareMongo();
    await using proxy = await startProxy(share.uri);
    const limits = { operationMs: 60_000, serverSelectionMs: 60_000 };
    const store = await openMongoStore({ uri: proxy.through(share.uri), limits });
    await using _ = { [Symbol.asyncDispose]: () => store.close() };
    const epoch = await store.claim(allPartitions);
    proxy.blackHole("both");
    await expect(store.auditAll([[1, epoch]])).rejects.toMatchObject({ code: "store_unavailable" });
    await expect(store.auditAll([])).rejects.toMatchObject({ code: "store_unavailable" });
    await proxy.heal();
    expect(await store.auditAll([[1, epoch], [2, epoch - 1]])).toEqual([2]); // biome-ignore format: pairs
  });
});
