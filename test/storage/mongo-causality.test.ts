// A replica set's replies say when a write took place, and reads behind it ask for no older state, whichever member is the primary by
// then. The substitute says no such times: the wire does, in its place.
import { expect, test } from "bun:test";
import { type Document, Timestamp } from "mongodb";
import { ada, append, conversationNamed, entries, member, write } from "../../src/storage/store-samples.case";
import type { Command } from "../faults/mongo-proxy";
import { describeWith } from "../services/services";
import { ScriptedMongo } from "./scripted-mongo";

const room = conversationNamed("room");
const writes = new Set(["insert", "update"]);

/** Gives writes times that rise with each, and keeps what reads ask for. */
function timed({ proxy }: ScriptedMongo) {
  const concerns: { readonly of: string; readonly concern: Document }[] = [];
  let newest = 0;
  proxy.onCommand(async (command: Command, forward) => {
    const { name, body } = command;
    if (body["readConcern"]) concerns.push({ of: String(body[name]), concern: body["readConcern"] as Document });
    const reply = await forward();
    if (!writes.has(name)) return reply;
    return { ...reply, operationTime: new Timestamp({ t: 1_700_000_000, i: ++newest }) };
  });
  return { concerns, newest: () => new Timestamp({ t: 1_700_000_000, i: newest }) };
}

describeWith("mongodb", "reads behind writes", () => {
  test("every read but a linearizable one asks for the newest write that was acknowledged", async () => {
    await using world = await ScriptedMongo.open();
    const { store, epoch } = world;
    await store.readCursors(room, [ada]);
    const { concerns, newest } = timed(world);
    await store.readCursors(room, [ada]);
    expect(concerns.splice(0)).toEqual([{ of: "participants", concern: { level: "majority" } }]);

    expect((await store.commit({ ...append(room, epoch, entries(1, 2)), members: [member(ada)] })).outcome).toBe(
      "stored",
    );
    const move = { user: ada, seq: 1, ordinal: 1, own: 1 };
    expect((await store.commit(write(room, epoch, { cursors: [move] }))).outcome).toBe("stored");
    concerns.splice(0);
    await store.readCursors(room, [ada]);
    await store.readSync(ada, null, 10, true);
    await store.countOwn(room, ada, 0, 2);
    await store.readMemberships(ada, [room]);
    expect(await store.audit(0, epoch)).toBe(true);

    const wanted = { level: "majority", afterClusterTime: newest() };
    expect(concerns.map(({ of }) => of)).toEqual(["participants", "users", "entries", "memberships", "partitions"]);
    expect(concerns.at(-1)?.concern).toEqual({ level: "linearizable" });
    for (const { concern } of concerns.slice(0, -1)) expect(concern).toEqual(wanted);
  });
});
