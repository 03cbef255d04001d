// A store of MongoDB backs itself up into a file that holds everything, and says why where it cannot.
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openMongoStore } from "../../src/storage/mongo-store";
import { openSqliteStore } from "../../src/storage/sqlite-store";
import {
  ada,
  allPartitions,
  append,
  conversationNamed,
  member,
  said,
  seqs,
  wholeLog,
} from "../../src/storage/store-samples.case";
import { describeWith, shareMongo } from "../services/services";

const room = conversationNamed("room");

describeWith("mongodb", "a backup by the store itself", () => {
  test("holds the log, opens as a store, and does not replace a file", async () => {
    await using share = await shareMongo();
    const folder = await mkdtemp(join(tmpdir(), "parley-backup-"));
    await using opened = new AsyncDisposableStack();
    opened.defer(() => rm(folder, { recursive: true }));
    const store = await openMongoStore({ uri: share.uri });
    opened.defer(() => store.close());
    const epoch = await store.claim(allPartitions);
    const rows = [said(1, 1, ada), said(2, 2, ada)];
    await store.commit({ ...append(room, epoch, rows), members: [member(ada)] });
    const file = join(folder, "today.parley");
    let told = 0;

    await store.backup(file, (done) => (told = done));

    expect(told).toBeGreaterThan(0);
    const again = await store.backup(file, () => {}).catch((error: Error) => error.message);
    expect(again).toStartWith(`the backup to ${file} failed: `);
    const copy = await openSqliteStore({ file });
    opened.defer(() => copy.close());
    expect(seqs(await wholeLog(copy, room))).toEqual([1, 2]);
    expect(await copy.readMembers(room, [ada])).toEqual([member(ada)]);
  });
});
