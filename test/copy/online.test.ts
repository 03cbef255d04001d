// A backup of data that a server writes meanwhile: whole by itself, with everything that was acknowledged before it began, and
// finished by the server that starts on it.
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { allPartitions } from "../../src/actors/local-placement";
import { silentLog } from "../../src/lib/log";
import { startServer } from "../../src/server";
import { decode } from "../../src/protocol/codec";
import type { EntryTuple, MessageBody } from "../../src/protocol/entry";
import type { ConversationId } from "../../src/protocol/ids";
import type { TransferKind, TransferPage, TransferSource } from "../../src/storage/copy";
import { openMongoDatabase, openMongoSource } from "../../src/storage/copy-mongo";
import { copyOnline } from "../../src/storage/copy-run";
import { SqliteRows } from "../../src/storage/copy-sqlite-rows";
import { createSqliteTarget } from "../../src/storage/copy-sqlite-target";
import { openMongoStore } from "../../src/storage/mongo-store";
import { openSqliteStore } from "../../src/storage/sqlite-store";
import type { Store } from "../../src/storage/store";
import { compareProjections } from "../projections";
import { ServerWorld } from "../server/server-world";
import { describeWith, shareMongo } from "../services/services";
import { Busy } from "./busy";
import type { Acked } from "./busy";
import { until } from "../until";
import { CopyWorld } from "./world";

const ofPeople: ReadonlySet<TransferKind> = new Set(["users", "memberships", "devices", "feed"]);

/**
 * A file read as a database of several servers is: people at one moment (a file's feeds do not carry what they project),
 * everything of conversations at the moment when each page is read.
 */
function openLive(file: string): TransferSource {
  const [db, people] = [new Database(file, { readonly: true }), new Database(file, { readonly: true })];
  const [rows, rowsOfPeople] = [new SqliteRows(db), new SqliteRows(people)];
  return {
    name: "live",
    exact: false,
    state: async () => rows.state(),
    count: async (kind) => rows.count(kind),
    pages: (kind, after) => {
      if (ofPeople.has(kind) && !people.inTransaction) people.run("BEGIN");
      return (ofPeople.has(kind) ? rowsOfPeople : rows).pages(kind, after);
    },
    close: async () => {
      for (const each of [rows, rowsOfPeople]) each.close();
      for (const each of [db, people]) each.close(true);
    },
  };
}

/** The same, with steps taken before the first page of every kind, between pages and behind the last. */
function disturbed(source: TransferSource, step: () => Promise<void>): TransferSource {
  async function* pages(...[kind, after]: Parameters<TransferSource["pages"]>): AsyncGenerator<TransferPage, void> {
    for (let at = 0; at < 8; at++) await step();
    for await (const page of source.pages(kind, after)) {
      yield page;
      for (let at = 0; at < 8; at++) await step();
    }
  }
  const { name, exact } = source;
  return {
    name,
    exact,
    pages,
    state: () => source.state(),
    count: (kind) => source.count(kind),
    close: async () => {},
  };
}

/** A backup with steps taken on the source meanwhile. */
async function backUpUnderLoad(source: TransferSource, file: string, step: () => Promise<void>): Promise<void> {
  const target = createSqliteTarget({ file, resumable: false });
  const { signal } = new AbortController();
  try {
    await copyOnline({
      ...{ source: disturbed(source, step), target, generation: "kept", epochLeap: 0 },
      ...{ onProgress: () => {}, signal },
    });
  } finally {
    await source.close();
    await target.close();
  }
}

/** Starts a server on a file and stops it once it has finished whatever was left open. */
async function serveUntilClosed(world: ServerWorld, file: string): Promise<void> {
  const server = await world.start({ PARLEY_STORE: `sqlite:${file}`, PARLEY_ACTORS_IDLE_MS: "100" });
  await until(async () => (await server.store.listOpen(allPartitions, null, 1)).length === 0);
  await server.stop();
}

async function expectAll(store: Store, acked: readonly Acked[]): Promise<void> {
  for (const { conversation, seq, text } of acked) {
    const { entries } = await store.readRange({
      ...{ conversation: conversation as ConversationId, from: seq, direction: "up", limit: 1 },
      ...{ bytesMax: 100_000, scanMax: 1 },
    });
    const [, , , , , , , , , body] = decode(entries[0]?.bytes ?? new Uint8Array()) as EntryTuple;
    expect((body as MessageBody)[0]).toBe(text);
  }
}

/** What is common to both stores: a server is busy on it while it is backed up as `openSource` reads it. */
async function proveBackup(
  files: CopyWorld,
  openLiveStore: () => Promise<Store>,
  openSource: () => Promise<TransferSource>,
): Promise<void> {
  await using world = await ServerWorld.open();
  const config = world.config({ PARLEY_ACTORS_IDLE_MS: "100" });
  await using server = await startServer(config, { log: silentLog(), openStore: openLiveStore });
  await using busy = await Busy.open(world, server);
  const before = [...busy.acked];
  const copy = files.path("copy.sqlite");
  await backUpUnderLoad(await openSource(), copy, () => busy.step());
  expect(busy.acked.length).toBeGreaterThan(before.length + 20);

  await serveUntilClosed(world, copy);
  const store = await openSqliteStore({ file: copy });
  try {
    await expectAll(store, before);
    const found = await compareProjections(store);
    expect(found.faults).toEqual([]);
    expect(found.conversations).toBeGreaterThan(6);
  } finally {
    await store.close();
  }
}

const promise =
  "a backup under load has what was acknowledged before it, agrees with its logs, and a server finishes it";

test(`${promise}: a file that is read without a snapshot`, async () => {
  await using files = await CopyWorld.open();
  const live = files.path("live.sqlite");
  await proveBackup(
    files,
    () => openSqliteStore({ file: live }),
    async () => openLive(live),
  );
});

describeWith("mongodb", "a backup of a busy MongoDB", () => {
  test(promise, async () => {
    await using files = await CopyWorld.open();
    await using share = await shareMongo();
    const openSource = async (): Promise<TransferSource> => openMongoSource(await openMongoDatabase(share.uri));
    await proveBackup(files, () => openMongoStore({ uri: share.uri }), openSource);
  });
});
