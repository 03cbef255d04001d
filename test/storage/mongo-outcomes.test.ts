// What a single substitute server cannot do is played by a scripted wire: replies that never come, a primary that is none, a
// majority that does not confirm, a full disk. A write is answered `stored` only where it is, `refused` only where it is not.
import { expect, test } from "bun:test";
import { encodeEntry } from "../../src/protocol/codec";
import { entryKinds } from "../../src/protocol/entry";
import type { ClientId } from "../../src/protocol/ids";
import type { Committed, EntryRow, Store } from "../../src/storage/store";
import {
  ada,
  allPartitions,
  append,
  conversationNamed,
  entry,
  feedWrite,
  firstTime,
  member,
  membership,
  plain,
  seqs,
  userRow,
  wholeLog,
  write,
} from "../../src/storage/store-samples.case";
import { notWritablePrimary, withWriteConcernTimeout } from "../faults/mongo-proxy";
import type { Answer, Command, Forward, Handler } from "../faults/mongo-proxy";
import { describeWith } from "../services/services";
import { ScriptedMongo } from "./scripted-mongo";

const room = conversationNamed("room");

/** An entry of ada whose bytes say what its row says: reopening folds them. */
function message(seq: number, clientId = `id-${seq}`, ordinal = seq): EntryRow {
  const id = clientId as ClientId;
  const time = firstTime + seq;
  const bytes = encodeEntry([seq, ordinal, entryKinds.message, true, time, ada, null, id, null, [clientId]]);
  return entry(seq, { ordinal, clientId: id, bytes });
}

function entries(first: number, count: number): readonly EntryRow[] {
  return Array.from({ length: count }, (_, at) => message(first + at));
}

type Play = (forward: Forward, command: Command) => Promise<Answer>;

const applied: Readonly<Record<string, Play>> = {
  "never answered": (forward) => forward().then(() => "silence"),
  "whose connection broke before the reply": (forward) => forward().then(() => "reset"),
  "not confirmed by a majority in time": async (forward) => withWriteConcernTimeout(await forward()),
};

const undone: Readonly<Record<string, Play>> = {
  "to a server that is not the primary": async () => notWritablePrimary(),
  "to a server whose disk is full": async () => diskFull(),
  "to a server that steps down": async () => ({
    ok: 0,
    code: 11602,
    codeName: "InterruptedDueToReplStateChange",
    errmsg: "interrupted",
  }),
  "that never arrived": async () => "silence",
  "whose connection broke on the way": async () => "reset",
};

function diskFull(): Answer {
  return { ok: 0, code: 14031, codeName: "OutOfDiskSpace", errmsg: "no space left on device" };
}

/** Plays on writes of these collections, so often; everything else passes. */
function on(collections: readonly string[], play: Play, times = Number.POSITIVE_INFINITY): Handler {
  let left = times;
  return async (command, forward) => {
    const { name, body } = command;
    const isWrite = ["insert", "update", "delete", "findAndModify"].includes(name);
    if (!isWrite || !collections.includes(String(body[name])) || left-- <= 0) return forward();
    return play(forward, command);
  };
}

const everyWrite = [
  "entries",
  "heads",
  "participants",
  "users",
  "feed",
  "memberships",
  "devices",
  "meta",
  "partitions",
];

function messagesOf(log: readonly EntryRow[]): readonly EntryRow[] {
  return log.filter(({ clientId }) => clientId !== null);
}

/** The log is gapless, and holds exactly these messages, once, besides fences. */
async function expectLog(store: Store, messages: readonly EntryRow[]): Promise<void> {
  const log = await wholeLog(store, room);
  expect(seqs(log)).toEqual(log.map((_, at) => at + 1));
  const bodies = (rows: readonly EntryRow[]) => rows.map(({ clientId, bytes }) => plain([clientId, bytes]));
  expect(bodies(messagesOf(log))).toEqual(bodies(messages));
}

/** Reloads as an activation does, and appends at the seq that follows. */
async function appendAgain(store: Store, epoch: number, ids: readonly string[]): Promise<Committed> {
  const seq = (await store.openConversation(room, epoch, 0))?.head.seq ?? 0;
  const ordinal = messagesOf(await wholeLog(store, room)).length;
  const rows = ids.map((id, at) => message(seq + 1 + at, id, ordinal + 1 + at));
  return store.commit(append(room, epoch, rows, { ordinal: ordinal + ids.length }));
}

describeWith("mongodb", "what becomes of writes that MongoDB fails", () => {
  for (const [what, play] of Object.entries(applied)) {
    test(`a commit that was applied and is ${what}, once, is answered stored, and stands there once`, async () => {
      await using world = await ScriptedMongo.open();
      const { store, epoch, proxy } = world;
      expect((await store.commit(append(room, epoch, entries(1, 2)))).outcome).toBe("stored");
      proxy.onCommand(on(["entries"], play, 1));

      expect((await store.commit(append(room, epoch, entries(3, 2)))).outcome).toBe("stored");

      await expectLog(store, entries(1, 4));
    });

    test(`a commit that was applied and is ${what}, while nobody can look, is answered unknown, and stands there once`, async () => {
      await using world = await ScriptedMongo.open();
      const { store, epoch, proxy } = world;
      await store.commit(append(room, epoch, entries(1, 1)));
      const playing = on(["entries"], play);
      proxy.onCommand(async (command, forward) =>
        command.body["find"] === "entries" ? "silence" : playing(command, forward),
      );

      expect((await store.commit(append(room, epoch, entries(2, 1)))).outcome).toBe("unknown");

      proxy.onCommand(null);
      await world.writable();
      await expectLog(store, entries(1, 2));
      const again = await appendAgain(store, epoch, ["id-2"]);
      expect(again).toMatchObject({ outcome: "conflict", duplicates: [{ seq: 2 }] });
      expect((await appendAgain(store, epoch, ["id-3"])).outcome).toBe("stored");
    });

    test(`a feed write that was applied and is ${what}, once, is answered stored, and stands there once`, async () => {
      await using world = await ScriptedMongo.open();
      const { store, epoch, proxy } = world;
      await store.commitFeed(feedWrite(epoch, userRow(ada, 1), [membership(room)]));
      proxy.onCommand(on(["feed"], play, 1));

      const next = feedWrite(epoch, userRow(ada, 2), [membership(room, { seq: 2, role: null })]);
      expect((await store.commitFeed(next)).outcome).toBe("stored");

      expect((await store.readFeed(ada, 0, 10)).changes.map(([userSeq]) => userSeq)).toEqual([1, 2]);
      expect(await store.readMemberships(ada, [room])).toMatchObject([{ seq: 2, role: null }]);
    });

    test(`a read mark that was applied and is ${what}, once, is answered as stored`, async () => {
      await using world = await ScriptedMongo.open();
      const { store, epoch, proxy } = world;
      await store.commit({ ...append(room, epoch, entries(1, 5)), members: [member(ada)] });
      proxy.onCommand(on(["participants"], play, 1));

      const move = { user: ada, seq: 3, ordinal: 3, own: 3 };
      const answer = await store.commit(write(room, epoch, { cursors: [move] }));

      expect(answer).toMatchObject({ outcome: "stored", cursors: [{ seq: 3 }] });
      expect(await store.readCursors(room, [ada])).toMatchObject([{ seq: 3 }]);
    });
  }

  for (const [what, play] of Object.entries(undone)) {
    test(`a commit ${what}, once, is repeated and stored`, async () => {
      await using world = await ScriptedMongo.open();
      const { store, epoch, proxy } = world;
      await store.commit(append(room, epoch, entries(1, 1)));
      proxy.onCommand(on(["entries"], play, 1));

      expect((await store.commit(append(room, epoch, entries(2, 2)))).outcome).toBe("stored");

      await expectLog(store, entries(1, 3));
    });

    test(`a commit ${what}, for longer than is waited, is not answered stored; reads go on, and writes recover`, async () => {
      await using world = await ScriptedMongo.open();
      const { store, epoch, proxy } = world;
      await store.commit(append(room, epoch, entries(1, 1)));
      proxy.onCommand(on(everyWrite, play));

      const { outcome } = await store.commit(append(room, epoch, entries(2, 1)));
      expect(["refused", "unknown"]).toContain(outcome);
      await expectLog(store, entries(1, 1));
      expect(store.health().writable).toBe(false);

      proxy.onCommand(null);
      await world.writable();
      expect(store.health()).toEqual({ writable: true, reason: null });
      expect((await appendAgain(store, epoch, ["id-2"])).outcome).toBe("stored");
      expect(messagesOf(await wholeLog(store, room)).map(({ clientId }) => clientId)).toEqual([
        "id-1",
        "id-2",
      ] as never);
    });
  }

  for (const what of ["to a server that is not the primary", "that never arrived"]) {
    test(`a claim ${what} rejects with a retryable error, and succeeds later`, async () => {
      await using world = await ScriptedMongo.open();
      const { store, epoch, proxy } = world;
      proxy.onCommand(on(everyWrite, undone[what] as Play));
      expect(await store.claim(allPartitions).catch((error: unknown) => error)).toMatchObject({
        code: "store_unavailable",
        retryable: true,
      });
      proxy.onCommand(null);
      expect(await store.claim(allPartitions)).toBeGreaterThan(epoch);
    });
  }

  test("a full disk is refused with that reason, certainly: nothing of it is stored", async () => {
    await using world = await ScriptedMongo.open();
    const { store, epoch, proxy } = world;
    await store.commit(append(room, epoch, entries(1, 1)));
    proxy.onCommand(on(everyWrite, async () => diskFull()));
    expect(await store.commit(append(room, epoch, entries(2, 1)))).toMatchObject({
      outcome: "refused",
      reason: expect.stringContaining("disk is full"),
    });
    expect(store.health().reason).toContain("disk is full");
  });

  test("a commit that arrives long after it was given up finds its place taken and adds nothing", async () => {
    await using world = await ScriptedMongo.open();
    const { store, epoch, proxy, direct } = world;
    await store.commit(append(room, epoch, entries(1, 1)));
    const seen = proxy.seen(({ name, body }) => name === "insert" && body["insert"] === "entries");
    proxy.onCommand(on(["entries"], async () => "silence"));
    expect((await store.commit(append(room, epoch, entries(2, 1)))).outcome).toBe("unknown");
    proxy.onCommand(null);
    await world.writable();
    expect((await store.openConversation(room, epoch, 10))?.head.seq).toBe(2);

    const { insert, documents } = (await seen).body;
    const late = await direct.db().command({ insert, documents, ordered: true });

    expect(late).toMatchObject({ n: 0, writeErrors: [{ code: 11000 }] });
    await expectLog(store, entries(1, 1));
  });
});

describeWith("mongodb", "a primary that others have replaced without its knowing", () => {
  test("its owner is not told that it still owns, and stores nothing once the new one has opened the conversation", async () => {
    await using world = await ScriptedMongo.open();
    const { store: old, epoch, proxy } = world;
    await old.commit(append(room, epoch, entries(1, 2)));
    await proxy.freezeReads(world.database);
    proxy.onCommand(on(everyWrite, async () => "silence"));
    const successor = await world.second();
    const next = await successor.claim(allPartitions);
    const opened = await successor.openConversation(room, next, 10);

    const told = await old.audit(0, epoch).catch((error: unknown) => error);
    expect(told).toMatchObject({ code: "store_unavailable" });
    const late = old.commit(append(room, epoch, entries(3, 1)));
    const seq = opened?.head.seq ?? 0;
    const row = message(seq + 1, "new", 3);
    expect((await successor.commit(append(room, next, [row], { ordinal: 3 }))).outcome).toBe("stored");
    await proxy.thawReads();
    proxy.onCommand(null);

    expect(["fenced", "unknown", "refused", "conflict"]).toContain((await late).outcome);
    expect(await old.audit(0, epoch)).toBe(false);
    expect(messagesOf(await wholeLog(successor, room)).map(({ clientId }) => clientId)).toEqual([
      "id-1",
      "id-2",
      "new",
    ] as never);
  });

  test("one that is overtaken while it opens a conversation puts nothing behind its successor", async () => {
    await using world = await ScriptedMongo.open();
    const { store: old, epoch: first, proxy, direct } = world;
    await old.commit(append(room, first, entries(1, 2), { openEpoch: first }));
    const epoch = await old.claim(allPartitions);
    const gate = Promise.withResolvers<void>();
    proxy.onCommand(on(["entries"], (forward) => gate.promise.then(() => forward()), 1));
    const fencing = proxy.seen(({ name, body }) => name === "insert" && body["insert"] === "entries");
    const opening = old.openConversation(room, epoch, 0).catch((error: unknown) => error);
    await fencing;
    const successor = await world.second();
    const next = await successor.claim(allPartitions);
    const seq = (await successor.openConversation(room, next, 0))?.head.seq ?? 0;
    const row = message(seq + 1, "new", 3);
    const told = await successor.commit(append(room, next, [row], { ordinal: 3, openEpoch: next }));
    expect(told.outcome).toBe("stored");
    gate.resolve();

    expect(await opening).toBeInstanceOf(Error);
    const rows = await direct.db().collection("entries").find({ conversation: room }).sort({ seq: 1 }).toArray();
    expect(rows.map((each) => each["epoch"])).toEqual([first, first, next, next]);
  });
});
