// The main road through real sockets: sign in, create, send, receive, read, resume.
import { expect, test } from "bun:test";
import type { EntryTuple } from "../../src/protocol/entry";
import type { RowTuple } from "../../src/protocol/operations";
import { nowSeconds, tokenFor } from "./socket-world";
import type { StartWorld } from "./socket-world";

const text = (word: string): readonly unknown[] => [crypto.randomUUID(), [word]];

/** Declares these tests for one way to start a world. */
export function chatCases(start: StartWorld): void {
  test("hello answers version, generation, limits and the token's end", async () => {
    await using world = await start();
    const client = await world.connect();
    const end = nowSeconds() + 3600;
    const answer = await client.request("hello", 1, tokenFor("ada", nowSeconds(), end), "device-1", null, []);
    expect(answer[0]).toBe(1);
    expect(answer[2]).toBe(world.store.generation);
    expect([answer[3], answer[7], answer[8]]).toEqual(["ada" as never, end * 1000, "parley/test"]);
    expect(answer[5]["unansweredMax"]).toBe(64);
  });

  test("requests in the same message as hello are answered after it, in one message", async () => {
    await using world = await start();
    const client = await world.connect();
    client.send([0, 1, "hello", [1, tokenFor("ada"), "device-1"]]);
    client.send([0, 2, "sync", []]);
    expect((await client.answerTo(2))[2]).toEqual([1, [], null, [0, 0], [], []]);
    expect(client.kept.map(([type, id]) => [type, id])).toEqual([[1, 1]]);
  });

  test("an entry reaches both people, and the reader's unread follows it", async () => {
    await using world = await start();
    const ada = await world.online("ada");
    const bob = await world.online("bob");
    const id = await world.group(ada, "bob");
    const [changes, rows] = (await bob.push("feed", (args) => (args[1] as unknown[]).length === 1)) as [
      unknown[][],
      RowTuple[],
    ];
    expect(changes[0]?.slice(1, 3)).toEqual(["membership", id]);
    expect(rows[0]?.[0]).toBe(id);

    const [seq] = await ada.request("send", id, [text("Hello, Bob")]);
    const [, entries] = (await bob.push("entries", ([, some]) =>
      (some as EntryTuple[]).some((one) => one[0] === seq),
    )) as [unknown, EntryTuple[]];
    expect(entries.at(-1)?.[9]).toEqual(["Hello, Bob"]);
    expect((await bob.request("get", id))[7]).toBe(1);
    expect(await bob.request("read", id, "read", seq)).toEqual([[seq as number, 1, 0], 0]);
    expect((await bob.request("sync", null, []))[3]).toEqual([0, 0]);
  });

  test("sync resumes exactly what was missed, once and in order", async () => {
    await using world = await start();
    const ada = await world.online("ada");
    const id = await world.group(ada, "bob");
    const seqs = await ada.request("send", id, ["one", "two", "three"].map(text));
    const bob = await world.signIn("bob");
    const [, rows, next, totals, pending, resumed] = await bob.request("sync", null, [[id, seqs[0]]]);
    expect([next, pending, totals]).toEqual([null, [], [3, 0]]);
    expect(rows[0]?.[4].slice(0, 2)).toEqual([seqs[2], 3] as never);
    expect(resumed.map(([conversation, some]) => [conversation, some.map(([seq]) => seq)])).toEqual([
      [id, [seqs[1], seqs[2]]],
    ] as never);
  });

  test("whoever is removed receives nothing sent after the removal", async () => {
    await using world = await start();
    const [ada, bob] = [await world.online("ada"), await world.online("bob")];
    const id = await world.group(ada, "bob");
    await bob.push("feed");
    await ada.request("remove", id, crypto.randomUUID(), ["bob"]);
    const [seq] = await ada.request("send", id, [text("among us")]);
    await ada.push("entries", ([, some]) => (some as EntryTuple[]).some((one) => one[0] === seq));
    await bob.settled();
    const received = bob.kept.filter(([, name]) => name === "entries").flatMap((frame) => frame[3] as EntryTuple[]);
    expect(received.map(([at]) => at)).not.toContain(seq as number);
    expect(await bob.refusal("send", id, [text("hello?")])).toBe("no_access");
    expect((await bob.request("sync", null, []))[1]).toEqual([]);
  });

  test("muted conversations are summed apart, and one's devices hear of each other's settings and cursors", async () => {
    await using world = await start();
    const ada = await world.online("ada");
    const id = await world.group(ada, "bob");
    const [phone, desk] = [await world.online("bob", "phone"), await world.online("bob", "desk")];
    const [seq] = await ada.request("send", id, [text("psst")]);
    await phone.request("settings", id, { muted: true });
    const [changes] = (await desk.push("feed", ([some]) => (some as unknown[][])[0]?.[1] === "settings")) as [
      unknown[][],
    ];
    expect(changes[0]?.slice(2)).toEqual([id, [true, false]]);
    expect((await desk.request("sync", null, []))[3]).toEqual([0, 1]);
    await phone.request("read", id, "read", seq);
    expect((await desk.push("cursor"))[0]).toBe(id);
  });

  test("watchers learn who comes and goes, gathered, and nothing of who came and went between", async () => {
    await using world = await start();
    await world.people("bob", "cid");
    const ada = await world.signIn("ada");
    expect(await ada.request("watch", ["bob", "cid"])).toEqual([
      [
        ["bob", false],
        ["cid", false],
      ],
    ] as never);
    const bob = await world.signIn("bob");
    const cid = await world.signIn("cid");
    await cid[Symbol.asyncDispose]();
    await bob.settled();
    world.clock.advance(250);
    expect(await ada.push("presence")).toEqual([[["bob", true]]]);
    expect(ada.kept).toEqual([]);
  });
}
