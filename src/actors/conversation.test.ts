import { expect, test } from "bun:test";
import type { StoreFault } from "../../test/sim/memory-store";
import type { Seq } from "../protocol/ids";
import type { ErrorTuple, Results } from "../protocol/operations";
import { ann, bob, cat, codeOf, dan, world } from "./conversation.case";

test("a group is created once, whoever repeats it, and its log starts with its type and its members", async () => {
  const { create, ask, gateway } = await world();
  const group = await create("group", ann, "g1", [bob]);
  expect(await create("group", ann, "g1", [bob])).toBe(group);
  const [entries, head] = await ask<Results["entries"]>(group, "entries", bob, 1, null);
  expect(entries.map(([seq, ordinal, kind]) => [seq, ordinal, kind])).toEqual([
    [1, 0, 3],
    [2, 0, 2],
  ]);
  expect(head).toBe(2);
  expect(gateway.published).toHaveLength(2);
});

test("sends are appended in order, and repeating one answers the same seq", async () => {
  const { create, send, gateway } = await world();
  const group = await create("group", ann, "g", [bob]);
  expect(await send(group, ann, "a", "b")).toEqual([3, 4]);
  expect(await send(group, ann, "b", "c")).toEqual([4, 5]);
  expect(await send(group, bob, "a")).toEqual([6]);
  expect(gateway.published.map(([seq]) => seq)).toEqual([1, 2, 3, 4, 5, 6]);
});

test("an id used again for another text is refused, and the items beside it go on", async () => {
  const { create, ask, send } = await world();
  const group = await create("group", ann, "g", []);
  await send(group, ann, "a");
  const [first, second] = await ask<(Seq | ErrorTuple)[]>(group, "send", ann, [
    ["a", ["other"]],
    ["b", ["text b"]],
  ]);
  expect((first as ErrorTuple)[0]).toBe("id_reused");
  expect(second).toBe(4);
});

test("a retry is found in the store when memory has forgotten it, also among new ones", async () => {
  const { create, send, restart, store } = await world();
  const group = await create("group", ann, "g", [bob]);
  await send(group, ann, "old");
  for (let i = 0; i < 6; i++) await send(group, bob, ...Array.from({ length: 250 }, (_, n) => `${i}-${n}`));
  await restart();
  const head = (await store.openConversation(group, 99, 1))?.head.seq ?? 0;
  expect(await send(group, ann, "new1", "old", "new2")).toEqual([head + 1, 3, head + 2]);
});

test("unread counts what others sent after the cursor, and a read mark never moves back", async () => {
  const { create, send, ask, row } = await world();
  const group = await create("group", ann, "g", [bob]);
  await send(group, ann, "1", "2", "3");
  await send(group, bob, "4");
  expect(await ask<Results["read"]>(group, "read", bob, "read", 4)).toEqual([[4, 2, 0], 1]);
  expect(await ask<Results["read"]>(group, "read", bob, "read", 3)).toEqual([[4, 2, 0], 1]);
  expect(await ask<Results["read"]>(group, "read", ann, "read", 6)).toEqual([[6, 4, 3], 0]);
  expect(await codeOf(ask(group, "read", bob, "read", 7))).toBe("past_head");
  expect(await codeOf(ask(group, "read", bob, "delivered", 4))).toBe("reserved");
  expect((await row(group, bob)).cursor).toEqual([4, 2, 0]);
});

test("totals survive a restart, and a late read mark is counted from the store", async () => {
  const { create, send, ask, restart, row } = await world();
  const group = await create("group", ann, "g", [bob]);
  for (let i = 0; i < 12; i++) {
    await send(group, ann, ...Array.from({ length: 100 }, (_, n) => `a${i}-${n}`));
    await send(group, bob, `b${i}`);
  }
  expect((await row(group, bob)).myTotal).toBe(12);
  await restart();
  expect((await row(group, bob)).myTotal).toBe(12);
  const [cursor, unread] = await ask<Results["read"]>(group, "read", bob, "read", 2 + 101 * 3);
  expect(cursor).toEqual([2 + 101 * 3, 303, 3]);
  expect(unread).toBe(9 * 100);
});

test("whoever leaves receives the entry that says so and nothing behind it, and may read nothing any more", async () => {
  const { create, send, ask, gateway } = await world();
  const group = await create("group", ann, "g", [bob, cat]);
  gateway.trace.length = 0;
  const [removed, sent] = await Promise.all([ask(group, "remove", ann, "r", [bob]), send(group, cat, "after")]);
  expect([removed, sent]).toEqual([[3], [4]]);
  expect(gateway.trace).toEqual(["publish 3", "drop bob", "publish 4"]);
  for (const op of ["history", "entries", "members", "read", "readers", "signal"])
    expect([op, await codeOf(ask(group, op, bob, "before", 1))]).toEqual([op, "no_access"]);
  expect((await send(group, bob, "x"))[0]).toMatchObject({ 0: "no_access" });
});

test("a former member's repeated send still finds its seq", async () => {
  const { create, send, ask, restart } = await world();
  const group = await create("group", ann, "g", [bob]);
  expect(await send(group, bob, "mine")).toEqual([3]);
  await ask(group, "leave", bob, "bye");
  await restart();
  expect(await send(group, bob, "mine")).toEqual([3]);
  expect(await ask(group, "leave", bob, "bye")).toEqual([4]);
});

test("rejoining starts unread and the floor anew", async () => {
  const { create, send, ask, row } = await world();
  const group = await create("secret", ann, "g", [bob]);
  await send(group, bob, "b1");
  await ask(group, "leave", bob, "bye");
  await send(group, ann, "a1");
  expect(await ask(group, "add", ann, "back", [bob], null)).toEqual([6]);
  await send(group, ann, "a2");
  const { membership, cursor, myTotal, head } = await row(group, bob);
  expect(membership).toEqual(["member", [6, 2, 1], 6]);
  expect([cursor, myTotal, head.slice(0, 2)]).toEqual([[0, 0, 0], 1, [7, 3]]);
  const [messages, , , , , floor] = await ask<Results["history"]>(group, "history", bob, "before", null, null, null);
  expect([messages.map(([entry]) => entry[0]), floor]).toEqual([[7], 6]);
});

test("roles: members do not add, admins do not remove admins, the last owner hands over first", async () => {
  const { create, ask } = await world();
  const group = await create("group", ann, "g", [bob, cat]);
  expect(await codeOf(ask(group, "add", bob, "1", [dan], null))).toBe("forbidden");
  await ask(group, "role", ann, "2", bob, "admin");
  expect(await ask(group, "add", bob, "3", [dan], null)).toEqual([4]);
  expect(await codeOf(ask(group, "remove", bob, "4", [ann]))).toBe("forbidden");
  expect(await codeOf(ask(group, "leave", ann, "5"))).toBe("owner_must_hand_over");
  await ask(group, "role", ann, "6", cat, "owner");
  expect(await codeOf(ask(group, "leave", ann, "7"))).toBe("ok");
  expect(await codeOf(ask(group, "add", cat, "8", ["nobody"], null))).toBe("unknown_user");
});

test("a direct conversation is one for a pair, and knows the other person", async () => {
  const { create, row, ask } = await world();
  const direct = await create("direct", ann, "x", [bob]);
  expect(await create("direct", bob, "y", [ann])).toBe(direct);
  expect((await row(direct, ann)).info[5]).toBe(bob);
  expect(await codeOf(ask(direct, "leave", ann, "bye"))).toBe("not_supported");
  expect(await codeOf(create("direct", ann, "self", [ann]))).toBe("bad_request");
});

test("only owners send to a channel, which anybody may join", async () => {
  const { create, ask, send } = await world();
  const channel = await create("channel", ann, "news", []);
  expect(await ask(channel, "join", bob, "j")).toEqual([3]);
  expect((await send(channel, bob, "x"))[0]).toMatchObject({ 0: "forbidden" });
  expect(await send(channel, ann, "hello")).toEqual([4]);
  const group = await create("group", ann, "g", []);
  expect(await codeOf(ask(group, "join", bob, "j"))).toBe("no_access");
});

test("feeds of all named people hold their membership, and the conversation closes behind them", async () => {
  const { create, restart, store } = await world();
  const group = await create("group", ann, "g", [bob]);
  await restart();
  const [membership] = await store.readMemberships(bob, [group]);
  expect(membership).toMatchObject({ role: "member", seq: 2, floor: 1 });
  const opened = await store.openConversation(group, 99, 1);
  expect(opened?.head).toMatchObject({ openEpoch: 0, fedThrough: 2, totalsThrough: 2 });
});

test("a store that refuses is answered retry, and what follows is appended without a gap", async () => {
  let refuse = false;
  const { create, send } = await world({ fault: (kind) => (kind === "commit" && refuse ? "refused" : null) });
  const group = await create("group", ann, "g", []);
  refuse = true;
  expect(await codeOf(send(group, ann, "a"))).toBe("store_unavailable");
  refuse = false;
  expect(await send(group, ann, "a", "b")).toEqual([3, 4]);
});

test("an outcome nobody knows is answered so, and the retry learns the truth", async () => {
  let fault: StoreFault | null = null;
  const { create, send, gateway } = await world({ fault: (kind) => (kind === "commit" ? fault : null) });
  const group = await create("group", ann, "g", []);
  fault = "unknownStored";
  expect(await codeOf(send(group, ann, "a"))).toBe("outcome_unknown");
  fault = "unknownLost";
  expect(await codeOf(send(group, ann, "b"))).toBe("outcome_unknown");
  fault = null;
  expect(await send(group, ann, "a", "b")).toEqual([3, 4]);
  expect(gateway.published.map(([seq]) => seq)).toEqual([1, 2, 3, 4]);
});

test("a throw behind the commit ends that activation alone, and the next one publishes what it did not", async () => {
  const { create, send, gateway, faults } = await world();
  const group = await create("group", ann, "g", [bob]);
  const entries = gateway.entries.bind(gateway);
  gateway.entries = () => {
    gateway.entries = entries;
    throw new Error("boom");
  };
  expect(await send(group, ann, "a")).toEqual([3]);
  expect(await codeOf(send(group, ann, "b"))).toBe("outcome_unknown");
  expect(await send(group, ann, "b")).toEqual([4]);
  expect(gateway.published.map(([seq]) => seq)).toEqual([1, 2, 3, 4]);
  expect(faults).toEqual(["boom"]);
});

test("a read mark whose outcome nobody knew is pushed to the person's devices once its repeat finds it stored", async () => {
  let fault: StoreFault | null = null;
  const { create, send, ask, gateway } = await world({ fault: (kind) => (kind === "commit" ? fault : null) });
  const group = await create("group", ann, "g", [bob]);
  await send(group, ann, "a");
  const pushed = () => gateway.pushes.filter(([user, name]) => user === bob && name === "cursor");
  fault = "unknownStored";
  expect(await codeOf(ask(group, "read", bob, "read", 3))).toBe("outcome_unknown");
  fault = null;
  expect(pushed()).toEqual([]);

  expect(await ask<Results["read"]>(group, "read", bob, "read", 3)).toEqual([[3, 1, 0], 0]);
  expect(pushed()).toEqual([[bob, "cursor", group, [3, 1, 0], 0]]);
});

test("nobody comes into more conversations than one person may have", async () => {
  const { create, ask, restart } = await world({ conversationsPerUserMax: 2 });
  const first = await create("group", ann, "1", [bob]);
  await create("group", ann, "2", []);
  await restart();
  expect(await codeOf(create("group", ann, "3", []))).toBe("limit_reached");
  const channel = await create("channel", cat, "news", [bob]);
  await restart();
  expect(await codeOf(ask(channel, "join", ann, "j"))).toBe("limit_reached");
  expect(await codeOf(ask(channel, "add", cat, "a", [ann], null))).toBe("limit_reached");
  expect(await ask(first, "leave", bob, "bye")).toEqual([3]);
});

test("what a later release's node may ask and this one does not know is refused by name", async () => {
  const { create, ask } = await world();
  const group = await create("group", ann, "g", [bob]);
  expect(await codeOf(ask(group, "knock", bob, "hello"))).toBe("unknown_operation");
});
