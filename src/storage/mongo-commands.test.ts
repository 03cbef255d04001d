// What is told of a write that takes several commands, or of a command that takes some of its statements (G1).
import { expect, test } from "bun:test";
import { MongoServerSelectionError } from "mongodb";
import type { Db, Document } from "mongodb";
import { MongoCommands } from "./mongo-commands";
import type { Update } from "./mongo-commands";
import { failureOf } from "./mongo-failures";
import { entryDocOf } from "./mongo-schema";
import { conversationNamed, entry } from "./store-samples.case";

const room = conversationNamed("room");
const unreachable = new MongoServerSelectionError("no server", {} as never);

/** Commands that are answered, or fail, as listed. */
function answered(...replies: readonly (Document | Error)[]): MongoCommands {
  const left = [...replies];
  const command = async (): Promise<Document> => {
    const reply = left.shift();
    if (reply === undefined || reply instanceof Error) throw reply ?? new Error("one command too many");
    return reply;
  };
  return new MongoCommands({ command } as unknown as Db, 1000);
}

function refused(index: number, code: number, n = index): Document {
  return { ok: 1, n, writeErrors: [{ index, code, errmsg: "refused" }] };
}

async function failed(work: Promise<unknown>, single = false) {
  const error: unknown = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return failureOf(error, single);
}

/** Entries of which two commands' worth are 8 MiB each. */
const large = Array.from({ length: 150 }, (_, at) =>
  entryDocOf(room, 1, entry(at + 1, { bytes: new Uint8Array(96 * 1024) })),
);

function updates(count: number): readonly Update[] {
  return Array.from({ length: count }, (_, at) => ({ q: { conversation: room, user: `p${at}` }, u: {}, upsert: true }));
}

test("entries whose second command never left are not told as undone: the first command's are stored", async () => {
  const stored = { ok: 1, n: large.length };
  expect(await failed(answered(stored, unreachable).insert("entries", large))).toMatchObject({ certain: false });
  expect(await failed(answered(unreachable).insert("entries", large))).toMatchObject({ certain: true });
});

test("entries before one that the database refuses for good are not told as undone", async () => {
  const rows = large.slice(0, 3);
  const outcome = await failed(answered(refused(2, 121)).insert("entries", rows));
  expect(outcome).toMatchObject({ certain: false, lasting: true });
  expect(await failed(answered(refused(0, 121)).insert("entries", rows))).toMatchObject({ certain: true });
});

test("changes beside one that is refused, or behind which a command never left, are not told as undone", async () => {
  expect(await failed(answered(refused(1, 121, 2)).update("participants", updates(3)))).toMatchObject({
    certain: false,
    lasting: true,
  });
  const many = updates(1500);
  expect(await failed(answered({ ok: 1, n: 1000 }, unreachable).update("participants", many))).toMatchObject({
    certain: false,
  });
  expect(await failed(answered(unreachable).update("participants", many))).toMatchObject({ certain: true });
});

test("an upsert whose repetition never left is not told as undone: the others of it are stored", async () => {
  const once = answered(refused(1, 11000, 2), unreachable);
  expect(await failed(once.upsert("participants", updates(3)))).toMatchObject({ certain: false });
});
