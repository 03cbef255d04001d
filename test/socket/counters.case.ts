// Large conversations through real sockets: who has one open receives entries, the others counters, and nobody misses anything.
// A conversation of three is large here.
import { expect, test } from "bun:test";
import type { PushName } from "../../src/protocol/frames";
import type { EntryTuple } from "../../src/protocol/entry";
import type { RowTuple } from "../../src/protocol/operations";
import { unreadOf } from "../../src/protocol/unread";
import { pushShapes, resultShapes } from "../protocol/shapes";
import type { RawClient } from "./raw-client";
import { tokenFor } from "./socket-world";
import type { SocketWorld, StartWorld } from "./socket-world";

/** Long enough that it never passes by itself in a test. */
const everyMs = 20_000;
const large = { counters: { membersAbove: 2, everyMs } };

const text = (word: string): readonly unknown[] => [crypto.randomUUID(), [word]];
const mentioning = (user: string): readonly unknown[] => [crypto.randomUUID(), ["look", null, null, null, [user]]];
/** What was pushed by this name and nobody took, each of the shape that the protocol gives it. */
const named = (client: RawClient, name: PushName): unknown[][] => {
  const all = client.kept.filter((frame) => frame[1] === name).map((frame) => [...frame.slice(2)]);
  for (const args of all) pushShapes[name](args, name);
  return all;
};
/** Seqs of the entries that were pushed and that nobody took. */
const pushed = (client: RawClient): number[] =>
  named(client, "entries").flatMap(([, entries]) => (entries as EntryTuple[]).map(([seq]) => seq));

/** Signs in with the capability, without syncing. */
function hello(world: SocketWorld, user: string, device: string): Promise<RawClient> {
  return world.signIn(user, device, tokenFor(user), ["counters"]);
}

/** Signs in with the capability and syncs. */
async function counting(world: SocketWorld, user: string, device = "device-1"): Promise<RawClient> {
  const client = await hello(world, user, device);
  await client.request("sync", null, []);
  return client;
}

/** A group of four whose feeds all hold it, with its creator's connection, which names no capability. */
async function crew(world: SocketWorld): Promise<{ readonly ada: RawClient; readonly id: string }> {
  const ada = await world.online("ada");
  const id = await world.group(ada, "bob", "cid", "dan");
  for (const user of ["bob", "cid", "dan"]) {
    const client = await world.signIn(user, "first");
    while ((await client.request("sync", null, []))[1].length === 0) await client.settled();
    await client[Symbol.asyncDispose]();
  }
  return { ada, id };
}

/** Sends, and waits until the sender was pushed it. */
async function say(client: RawClient, id: string, ...items: readonly (readonly unknown[])[]): Promise<number> {
  const seq = (await client.request("send", id, items)).at(-1) as number;
  await client.push("entries", ([, some]) => (some as EntryTuple[]).some((one) => one[0] === seq));
  return seq;
}

/** Declares these tests for one way to start a world. */
export function counterCases(start: StartWorld): void {
  test("sync names what is large, to clients that take counters alone", async () => {
    await using world = await start(large);
    const { ada, id } = await crew(world);
    const [small] = await ada.request("create", "direct", crypto.randomUUID(), null, ["bob"]);
    const bob = await hello(world, "bob", "phone");
    let answer = await bob.request("sync", null, []);
    while (answer[1].length < 2) answer = await bob.request("sync", null, []);
    expect(answer[1].map((row) => row[0]).sort()).toEqual([small, id].sort() as never);
    expect(answer[6]).toEqual([id] as never);
    resultShapes.sync(answer, "sync");
    expect(await ada.request("sync", null, [])).toHaveLength(6);
  });

  test("who has it not open is pushed where it stands, once in a while; who has it open its entries; who takes no counters too", async () => {
    await using world = await start(large);
    const { ada, id } = await crew(world);
    const plain = await world.online("bob", "old");
    const passive = await counting(world, "bob");
    const open = await counting(world, "cid");
    await open.request("open", [id]);

    const first = await say(ada, id, text("one"));
    const last = await say(ada, id, text("two"), text("three"));
    const counter = await passive.push("counter");
    world.clock.advance(everyMs);
    await passive.push("counter", ([, seq]) => seq === last);
    for (const client of [passive, open, plain]) await client.settled();

    expect(counter.slice(0, 2)).toEqual([id, first]);
    expect(counter).toHaveLength(4);
    expect([pushed(open), pushed(plain), pushed(passive)]).toEqual([
      [first, last - 1, last],
      [first, last - 1, last],
      [],
    ]);
    expect([named(open, "counter"), named(plain, "counter"), named(passive, "counter")]).toEqual([[], [], []]);
  });

  test("however much is said, one counter a while tells the newest state", async () => {
    await using world = await start(large);
    const { ada, id } = await crew(world);
    const passive = await counting(world, "bob");
    await say(ada, id, text("first"));
    await passive.push("counter");
    let last = 0;
    for (let i = 0; i < 20; i++) last = await say(ada, id, text(`more ${i}`));
    await passive.settled();
    expect(named(passive, "counter")).toEqual([]);
    world.clock.advance(everyMs);
    const [, seq, ordinal] = await passive.push("counter");
    const [, , , , head] = await passive.request("get", id);
    expect([seq, ordinal]).toEqual([last, head[1]]);
    world.clock.advance(everyMs);
    await passive.settled();
    expect(named(passive, "counter")).toEqual([]);
  });

  test("opening tells what no counter had told yet; from there on every entry is pushed, and what lies before is fetched", async () => {
    await using world = await start(large);
    const { ada, id } = await crew(world);
    const bob = await hello(world, "bob", "phone");
    const [, rows] = await bob.request("sync", null, []);
    const position = (rows.find(([one]) => one === (id as never)) as RowTuple)[4][0];
    await say(ada, id, text("one"));
    await bob.push("counter");
    const head = await say(ada, id, text("two"), text("three"));

    await bob.request("open", [id]);
    expect(named(bob, "counter").map(([, seq]) => seq)).toEqual([head]);
    const last = await say(ada, id, text("four"));
    await bob.push("entries");
    const [entries] = await bob.request("entries", id, position + 1);
    expect(entries.map(([seq]) => seq)).toEqual([position + 1, position + 2, head, last]);
    world.clock.advance(everyMs);
    await bob.settled();
    expect(named(bob, "counter")).toHaveLength(1);
  });

  test("what was opened before sync is resumed and pushed from its row on; what is not open is not resumed", async () => {
    await using world = await start(large);
    const { ada, id } = await crew(world);
    const from = await say(ada, id, text("seen"));
    const last = await say(ada, id, text("missed"));
    const [open, passive] = [await hello(world, "bob", "phone"), await hello(world, "bob", "desk")];
    await open.request("open", [id]);
    const resumed = (await open.request("sync", null, [[id, from]]))[5];
    expect(resumed.map(([one, entries]) => [one, entries.map(([seq]) => seq)])).toEqual([[id, [last]]] as never);
    expect((await passive.request("sync", null, [[id, from]]))[5]).toEqual([]);
    const next = await say(ada, id, text("live"));
    await open.push("entries", ([, some]) => (some as EntryTuple[])[0]?.[0] === next);
    await passive.settled();
    expect(pushed(passive)).toEqual([]);
  });

  test("what is opened no more is counted again, without a gap between the last entry and the first counter", async () => {
    await using world = await start(large);
    const { ada, id } = await crew(world);
    const bob = await counting(world, "bob");
    await bob.request("open", [id]);
    const seen = await say(ada, id, text("seen"));
    await bob.request("open", []);
    const counted = await say(ada, id, text("counted"));
    expect((await bob.push("counter"))[1]).toBe(counted);
    expect(pushed(bob)).toEqual([seen]);
  });

  test("my own messages of another device are told at once, one by one, and unread is right at every counter", async () => {
    await using world = await start(large);
    const { ada, id } = await crew(world);
    const desk = await world.online("bob", "desk");
    const phone = await hello(world, "bob", "phone");
    const [, rows] = await phone.request("sync", null, []);
    const row = rows.find(([one]) => one === (id as never)) as RowTuple;
    await say(ada, id, text("hello"));
    await say(desk, id, text("mine"), text("mine too"));
    await say(ada, id, text("bye"));
    await say(desk, id, [crypto.randomUUID(), ["not counted", null, null, null, null, null, 2]]);
    world.clock.advance(everyMs);
    const head = (await phone.request("get", id))[4];
    await phone.push("counter", ([, seq]) => seq === head[0]);
    await phone.settled();

    const own = named(phone, "counter").flatMap(([, , , , entry]) => (entry ? [entry as EntryTuple] : []));
    expect(own.map(([, , , , , sender, , , , body]) => [sender, body])).toEqual([
      ["bob", ["mine"]],
      ["bob", ["mine too"]],
    ]);
    const [seq, ordinal, joined] = row[2][1];
    const unread = unreadOf({
      headOrdinal: head[1],
      myTotal: row[6] + own.length,
      cursor: { seq: 0, ordinal: 0, own: 0 },
      join: { seq, ordinal, own: joined },
    });
    expect([unread, unread]).toEqual([2, (await phone.request("get", id))[7]]);
  });

  test("who is mentioned is told at once with the message, and only members are", async () => {
    await using world = await start(large);
    const { ada, id } = await crew(world);
    await world.people("zoe");
    const [bob, cid, zoe] = [await counting(world, "bob"), await counting(world, "cid"), await counting(world, "zoe")];
    await say(ada, id, text("quiet"));
    for (const client of [bob, cid]) await client.push("counter");
    const seq = await say(ada, id, mentioning("bob"), mentioning("zoe"));
    const [, at, , , entry] = await bob.push("counter");
    expect([at, (entry as EntryTuple)[9]]).toEqual([seq - 1, ["look", null, null, null, ["bob"]]]);
    for (const client of [bob, cid, zoe]) await client.settled();
    expect([named(bob, "counter"), named(cid, "counter"), named(zoe, "counter")]).toEqual([[], [], []]);
  });

  test("whoever is removed receives neither entries nor counters, open or not, and opening changes nothing", async () => {
    await using world = await start(large);
    const { ada, id } = await crew(world);
    const [bob, cid] = [await counting(world, "bob"), await counting(world, "cid")];
    await cid.request("open", [id]);
    await ada.request("remove", id, crypto.randomUUID(), ["bob", "cid"]);
    for (const client of [bob, cid]) {
      await client.push("feed", ([changes]) => (changes as unknown[][])[0]?.[2] === id);
      client.kept.length = 0;
    }
    const before = await say(ada, id, mentioning("bob"));
    await bob.request("open", [id]);
    await cid.request("open", []);
    await say(ada, id, mentioning("cid"));
    world.clock.advance(everyMs);
    for (const client of [bob, cid]) await client.settled();
    expect([bob.kept, cid.kept]).toEqual([[], []]);
    expect(await bob.refusal("entries", id, before)).toBe("no_access");
  });

  test("whoever is added is told whether it is large, and receives what they have open", async () => {
    await using world = await start(large);
    const { ada, id } = await crew(world);
    await world.people("eve", "fay");
    const [eve, fay] = [await counting(world, "eve"), await counting(world, "fay")];
    await fay.request("open", [id]);
    await ada.request("add", id, crypto.randomUUID(), ["eve", "fay"]);
    for (const client of [eve, fay]) {
      const [, rows, more] = await client.push("feed", ([, rows]) => (rows as unknown[]).length === 1);
      expect([(rows as RowTuple[])[0]?.[0], more]).toEqual([id, [id]] as never);
      client.kept.length = 0;
    }
    const seq = await say(ada, id, text("welcome"));
    expect((await eve.push("counter"))[1]).toBe(seq);
    await fay.push("entries", ([, some]) => (some as EntryTuple[])[0]?.[0] === seq);
    expect([eve.kept, fay.kept]).toEqual([[], []]);
  });

  test("signals and read marks of a large conversation reach those who have it open", async () => {
    await using world = await start(large);
    const { ada, id } = await crew(world);
    const [bob, cid] = [await counting(world, "bob"), await counting(world, "cid")];
    await cid.request("open", [id]);
    await ada.request("signal", id, "typing");
    const head = (await ada.request("get", id))[4][0];
    await ada.request("read", id, "read", head);
    await cid.push("signal");
    await cid.push("receipts");
    await bob.settled();
    expect(bob.kept).toEqual([]);
  });

  test("a conversation that grows large stays as it was to those connected, and is large to those who sync", async () => {
    await using world = await start(large);
    const ada = await world.online("ada");
    const id = await world.group(ada, "bob");
    const bob = await counting(world, "bob");
    await bob.request("open", [id]);
    await bob.request("open", []);
    await world.people("cid");
    await ada.request("add", id, crypto.randomUUID(), ["cid"]);
    const entry = await say(ada, id, text("three of us"));
    await bob.push("entries", ([, some]) => (some as EntryTuple[]).at(-1)?.[0] === entry);
    expect((await bob.request("sync", null, []))[6]).toEqual([id]);
    const counted = await say(ada, id, text("again"));
    expect((await bob.push("counter"))[1]).toBe(counted);
    expect(pushed(bob)).not.toContain(counted);
  });
}
