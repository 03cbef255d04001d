// Two owners of the same data, and commands that arrive long after they were given up: whoever loses stores nothing more, and
// what is stored by then does not change.
import { expect, test } from "bun:test";
import type { Document } from "mongodb";
import { openMongoStore } from "../../src/storage/mongo-store";
import { blankHead } from "../../src/storage/mongo-heads";
import { collectionNames, headDocOf } from "../../src/storage/mongo-schema";
import type { OpenedConversation, Store } from "../../src/storage/store";
import {
  ada,
  allPartitions,
  append,
  bob,
  conversationNamed,
  device,
  feedWrite,
  firstTime,
  head,
  member,
  membership,
  said,
  seqs,
  userRow,
  wholeLog,
  write,
} from "../../src/storage/store-samples.case";
import type { Command } from "../faults/mongo-proxy";
import { describeWith } from "../services/services";
import { ScriptedMongo } from "./scripted-mongo";

const room = conversationNamed("room");

/** A life of a conversation and of a feed under one owner: everything that is ever written, and closed in the end. */
async function live(store: Store, epoch: number): Promise<void> {
  const opened = await store.openConversation(room, epoch, 0);
  const seq = opened?.head.seq ?? 0;
  const ordinal = opened?.head.ordinal ?? 0;
  const at = (more: number) => ({ openEpoch: epoch, ordinal: ordinal + more, time: firstTime + seq + more });
  const members = [member(ada, { changedSeq: seq + 1 }), member(bob, { changedSeq: seq + 1 })];
  const first = append(room, epoch, [said(seq + 1, ordinal + 1, ada)], at(1));
  expect((await store.commit({ ...first, members })).outcome).toBe("stored");
  const more = [said(seq + 2, ordinal + 2, bob), said(seq + 3, ordinal + 3, ada)];
  const cursors = [{ user: ada, seq: seq + 1, ordinal: ordinal + 1, own: 1 }];
  expect((await store.commit({ ...append(room, epoch, more, at(3)), cursors })).outcome).toBe("stored");
  const closed = { ...head(room, seq + 3), ...at(3), openEpoch: 0, totalsThrough: seq + 3 };
  const totals = [{ user: ada, total: 2 * ((seq + 3) / 3) }];
  expect((await store.commit(write(room, epoch, { head: closed, totals }))).outcome).toBe("stored");
  await liveAsPerson(store, epoch);
}

async function liveAsPerson(store: Store, epoch: number): Promise<void> {
  const userSeq = (await store.openFeed(ada, epoch))?.user.userSeq ?? 0;
  const row = membership(room, { seq: userSeq + 1, muted: userSeq > 1 });
  const phone = device("phone", { lastSignInAt: userSeq });
  const joined = { ...feedWrite(epoch, userRow(ada, userSeq + 1), [row]), devices: [phone, device(`web ${userSeq}`)] };
  expect((await store.commitFeed(joined)).outcome).toBe("stored");
  const out = { ...phone, signedOutAt: userSeq + 7 };
  const left = feedWrite(epoch, userRow(ada, userSeq + 2), [{ ...row, role: null, seq: userSeq + 2 }]);
  const dropped = [device(`web ${userSeq}`).device];
  expect((await store.commitFeed({ ...left, devices: [out], devicesDropped: dropped })).outcome).toBe("stored");
  const person = userRow(ada, userSeq + 2, { tokensValidFrom: userSeq + 2 });
  expect((await store.commitFeed(feedWrite(epoch, person))).outcome).toBe("stored");
}

/** Everything in the database but counters and what an opening draws anew, in one order. */
async function dump({ direct }: ScriptedMongo): Promise<string> {
  const lines: string[] = [];
  for (const name of collectionNames.filter((each) => each !== "meta")) {
    for (const { _id, lease: _lease, revision: _revision, ...row } of await direct
      .db()
      .collection(name)
      .find()
      .toArray())
      lines.push(JSON.stringify([name, typeof _id === "object" ? null : _id, row]));
  }
  return lines.sort().join("\n");
}

/** Sends commands again as they were, whatever becomes of them. */
async function replay({ direct }: ScriptedMongo, sent: readonly Command[]): Promise<void> {
  for (const { name, body } of sent) {
    const { documents, updates, deletes, query, update, ordered } = body;
    const parts = { documents, updates, deletes, query, update, ordered };
    const command: Document = { [name]: body[name] };
    for (const [key, value] of Object.entries(parts)) if (value !== undefined) command[key] = value;
    await direct
      .db()
      .command(command)
      .catch(() => null);
  }
}

/** Another owner's store, with the time-outs of a server. */
async function plainStore({ proxy }: ScriptedMongo): Promise<Store & AsyncDisposable> {
  const store = await openMongoStore({ uri: proxy.uri });
  return Object.assign(store, { [Symbol.asyncDispose]: () => store.close() });
}

/** Opens the room, as often as it takes: a busy machine answers later than the short time-outs of these tests allow. */
async function opening(world: ScriptedMongo): Promise<OpenedConversation | null> {
  for (let tries = 1; ; tries++) {
    await world.writable();
    try {
      return await world.store.openConversation(room, world.epoch, 0);
    } catch (error) {
      if (tries === 20) throw error;
    }
  }
}

const writes = new Set(["insert", "update", "delete", "findAndModify"]);

describeWith("mongodb", "writes that arrive late", () => {
  test("whatever was ever sent changes nothing when it arrives once more, under this owner or the next", async () => {
    await using world = await ScriptedMongo.open();
    const sent: Command[] = [];
    world.proxy.onCommand((command, forward) => {
      if (writes.has(command.name) && command.body[command.name] !== "meta") sent.push(command);
      return forward();
    });
    await live(world.store, world.epoch);
    await live(world.store, world.epoch);
    const before = await dump(world);

    await replay(
      world,
      sent.filter(({ name }) => name !== "findAndModify"),
    );
    expect(await dump(world)).toBe(before);
    await replay(world, sent.filter(({ name }) => name !== "findAndModify").toReversed());
    expect(await dump(world)).toBe(before);

    await using next = await plainStore(world);
    const epoch = await next.claim(allPartitions);
    await live(next, epoch);
    const after = await dump(world);
    await replay(world, sent);
    await replay(world, sent.toReversed());
    expect(await dump(world)).toBe(after);
  });

  for (const late of ["heads", "participants", "entries"]) {
    test(`a closing whose ${late} arrive only after the conversation was opened anew does not close it behind its log`, async () => {
      await using world = await ScriptedMongo.open();
      const { store, epoch, proxy } = world;
      const open = { openEpoch: epoch, time: firstTime + 2 };
      await store.commit(append(room, epoch, [said(1, 1, ada)], { ...open, time: firstTime + 1 }));
      const held: Command[] = [];
      proxy.onCommand(async (command, forward) => {
        if (!writes.has(command.name) || command.body[command.name] !== late) return forward();
        held.push(command);
        return "silence";
      });
      const closed = { ...head(room, 2), time: firstTime + 2, totalsThrough: 2 };
      const totals = [{ user: ada, total: 2 }];
      const last = append(room, epoch, [said(2, 2, ada)], open);
      const { outcome } = await store.commit({ ...last, head: { ...closed, lastMessage: null }, totals });
      expect(outcome).not.toBe("stored");
      proxy.onCommand(null);

      const opened = await opening(world);
      await replay(world, held);

      await using next = await plainStore(world);
      const again = await next.openConversation(room, await next.claim(allPartitions), 10);
      const log = await wholeLog(next, room);
      expect(again?.head.seq).toBe(log.length);
      expect(again?.head.ordinal).toBe(log.at(-1)?.ordinal ?? -1);
      expect(opened?.head.seq).toBeLessThanOrEqual(log.length);
      expect(seqs(log)).toEqual(log.map((_, i) => i + 1));
    });
  }

  test("an owner before who begins what the next one found missing is fenced, and leaves nothing", async () => {
    await using world = await ScriptedMongo.open();
    const { store: old, epoch: oldEpoch } = world;
    await using next = await plainStore(world);
    const epoch = await next.claim(allPartitions);
    expect(await next.openConversation(room, epoch, 0)).toBeNull();

    const { outcome } = await old.commit(append(room, oldEpoch, [said(1, 1, ada)], { openEpoch: oldEpoch }));

    expect(outcome).toBe("fenced");
    expect(await next.listOpen(allPartitions, null, 10)).toEqual([]);
    expect((await next.commit(append(room, epoch, [said(1, 1, bob)], { openEpoch: epoch }))).outcome).toBe("stored");
    expect((await wholeLog(next, room)).map(({ sender }) => sender)).toEqual([bob]);
  });

  test("a head that an owner before creates between two looks is taken over, not taken for a newer owner's", async () => {
    await using world = await ScriptedMongo.open();
    const { store, epoch: before, proxy, direct } = world;
    const epoch = await store.claim(allPartitions);
    const lost = headDocOf(blankHead(room, before), { epoch: before, lease: "before", revision: 1 });
    let created = false;
    proxy.onCommand(async ({ name, body }, forward) => {
      if (name === "find" && body["find"] === "heads" && !created) {
        created = true;
        await direct.db().command({ insert: "heads", documents: [lost] });
      }
      return forward();
    });

    const opened = await store.openConversation(room, epoch, 10);

    expect(created).toBe(true);
    expect([opened?.head.type, opened?.head.seq, opened?.tail.length]).toEqual(["", 1, 1]);
    const first = append(room, epoch, [said(2, 1, ada)], { openEpoch: epoch, ordinal: 1 });
    expect((await store.commit(first)).outcome).toBe("stored");
  });

  test("two owners who begin the same person end with one feed, whole and gapless", async () => {
    await using world = await ScriptedMongo.open();
    await using old = await plainStore(world);
    const oldEpoch = await old.claim(allPartitions);
    await using next = await plainStore(world);
    const people = Array.from({ length: 8 }, (_, at) => `person-${at}` as typeof ada);
    const epoch = await next.claim(allPartitions);
    await Promise.all(
      people.map(async (user) => {
        const begin = (store: Store, under: number, room_: string) =>
          store.commitFeed(feedWrite(under, userRow(user, 1), [membership(conversationNamed(room_))]));
        const [mine, theirs] = await Promise.all([begin(next, epoch, "mine"), begin(old, oldEpoch, "theirs")]);
        const opened = await next.openFeed(user, epoch);
        const { changes } = await next.readFeed(user, 0, 10);
        expect(changes.map(([userSeq]) => userSeq)).toEqual(
          Array.from({ length: opened?.user.userSeq ?? 0 }, (_, i) => i + 1),
        );
        const stored = [mine, theirs].filter(({ outcome }) => outcome === "stored").length;
        expect(stored).toBeLessThanOrEqual(1);
        const rows = await next.readMemberships(user, [conversationNamed("mine"), conversationNamed("theirs")]);
        expect(rows).toHaveLength(changes.filter(([, kind]) => kind === "membership").length);
        expect(rows.length).toBeGreaterThanOrEqual(stored);
      }),
    );
  });
});
