import { expect, test } from "bun:test";
import { systemClock } from "../lib/clock";
import type { Clock } from "../lib/clock";
import { entryKinds, messageFlags } from "../protocol/entry";
import type { MembersBody } from "../protocol/entry";
import type { ConversationId, UserId } from "../protocol/ids";
import { limits } from "../protocol/limits";
import type { Results } from "../protocol/operations";
import { ann, bob, cat, codeOf, dan, world } from "./conversation.case";

const crowd = (size: number): UserId[] => Array.from({ length: size }, (_, i) => `p${i}` as UserId);

/** The system's clock, whose wall time and whose seconds the test moves: longer timers wait for {@link fire}. */
class HeldClock implements Clock {
  offsetMs = 0;
  readonly held: (() => void)[] = [];
  readonly now = (): number => systemClock.now() + this.offsetMs;
  readonly monotonic = (): number => systemClock.monotonic();
  readonly endOfTurn = (call: () => void): void => systemClock.endOfTurn(call);
  readonly after = (ms: number, call: () => void) => {
    if (ms !== 1000) return systemClock.after(ms, call);
    this.held.push(call);
    return () => void this.held.splice(this.held.indexOf(call), 1);
  };
}

test("a client id used again for another change of members, or another name, is refused, also after a restart", async () => {
  const { create, ask, restart } = await world();
  const group = await create("group", ann, "g", [bob]);
  expect(await ask(group, "add", ann, "1", [bob, cat], null)).toEqual([3]);
  expect(await ask(group, "update", ann, "2", { name: "One" })).toEqual([4]);
  expect(await ask(group, "role", ann, "3", bob, "admin")).toEqual([5]);
  const again = async () => {
    expect(await ask(group, "add", ann, "1", [bob, cat], null)).toEqual([3]);
    expect(await ask(group, "update", ann, "2", { name: "One" })).toEqual([4]);
    expect(await ask(group, "role", ann, "3", bob, "admin")).toEqual([5]);
    expect(await codeOf(ask(group, "add", ann, "1", [dan], null))).toBe("id_reused");
    expect(await codeOf(ask(group, "add", ann, "1", [bob, cat], "admin"))).toBe("id_reused");
    expect(await codeOf(ask(group, "remove", ann, "1", [cat]))).toBe("id_reused");
    expect(await codeOf(ask(group, "update", ann, "2", { name: "Two" }))).toBe("id_reused");
    expect(await codeOf(ask(group, "role", ann, "3", cat, "admin"))).toBe("id_reused");
  };
  await again();
  await restart();
  await again();
});

test("a client id used again is refused also where only people differ who were passed over, and after a restart", async () => {
  const { create, ask, restart, ensure, gateway } = await world();
  const many = crowd(limits.entryPeopleMax + 20);
  await ensure(many);
  const group = await create("group", ann, "g", [bob]);
  expect(await ask(group, "add", ann, "some", [bob, cat], null)).toEqual([3]);
  expect(await ask(group, "add", ann, "all", [dan], null)).toEqual([4]);
  expect(await ask(group, "remove", ann, "gone", [dan, "p0"])).toEqual([5]);
  expect(await ask(group, "add", ann, "many", many, null)).toEqual([6]);
  const again = async () => {
    expect(await ask(group, "add", ann, "some", [cat, bob, cat], null)).toEqual([3]);
    expect(await ask(group, "remove", ann, "gone", ["p0", dan])).toEqual([5]);
    expect(await ask(group, "add", ann, "many", many.toReversed(), null)).toEqual([6]);
    const others: [string, string, readonly string[]][] = [
      ["add", "some", [cat]],
      ["add", "some", [dan, cat]],
      ["add", "some", [bob, cat, dan]],
      ["add", "all", [dan, bob]],
      ["remove", "gone", [dan]],
      ["remove", "gone", [dan, cat]],
      ["add", "many", [...many.slice(1), "cat"]],
      ["add", "many", many.slice(0, limits.entryPeopleMax)],
    ];
    for (const [op, id, users] of others) {
      const answer = codeOf(op === "add" ? ask(group, op, ann, id, users, null) : ask(group, op, ann, id, users));
      expect([op, id, users.length, await answer]).toEqual([op, id, users.length, "id_reused"]);
    }
  };
  await again();
  await restart();
  await again();
  expect(gateway.published.slice(3, 4).map((entry) => (entry[9] as MembersBody)[0]?.length)).toEqual([4]);
});

test("uncounted messages move no number, silent ones do, and both are messages", async () => {
  const { create, ask, row } = await world();
  const group = await create("group", ann, "g", [bob]);
  const flagged = (name: string, flags: number) => [name, [name, null, null, null, null, null, flags]];
  const items = [flagged("u", messageFlags.uncounted), flagged("s", messageFlags.silent), flagged("later", 1 << 9)];
  expect(await ask<unknown>(group, "send", ann, items)).toEqual([3, 4, 5]);
  const [messages] = await ask<Results["history"]>(group, "history", bob, "before", null, null, null);
  expect(messages.map(([entry]) => [entry[3], entry[1], (entry[9] as unknown[])[6]])).toEqual([
    [false, 0, messageFlags.uncounted],
    [true, 1, messageFlags.silent],
    [true, 2, 1 << 9],
  ]);
  expect((await ask<Results["read"]>(group, "read", bob, "read", 3))[1]).toBe(2);
  expect((await row(group, ann)).myTotal).toBe(2);
});

test("time never decreases within a conversation, though the clock steps back, also across a restart", async () => {
  const clock = new HeldClock();
  const { create, send, restart, gateway } = await world({ clock });
  const group = await create("group", ann, "g", []);
  await send(group, ann, "a");
  clock.offsetMs = -3_600_000;
  await send(group, ann, "b");
  await restart();
  await send(group, ann, "c");
  const times = gateway.published.map((entry) => entry[4]);
  expect(times).toHaveLength(5);
  expect(times.slice(-3)).toEqual([times[2], times[2], times[2]] as number[]);
});

test("entries name at most so many people, and one operation's first entry carries its client id", async () => {
  const { create, ask, ensure, gateway } = await world();
  const people = crowd(2 * limits.entryPeopleMax + 1);
  await ensure(people);
  const group = await create("group", ann, "g", []);
  expect(await ask(group, "add", ann, "many", people, null)).toEqual([3]);
  expect(await ask(group, "add", ann, "many", people, null)).toEqual([3]);
  expect(await ask(group, "remove", ann, "none", people)).toEqual([6]);
  const changes = gateway.published.slice(2);
  expect(
    changes.map(([, , kind, , , , , clientId, , body]) => [kind, `${clientId}`, (body as MembersBody).length]),
  ).toEqual([
    [entryKinds.members, "many", limits.entryPeopleMax],
    [entryKinds.members, "null", limits.entryPeopleMax],
    [entryKinds.members, "null", 1],
    [entryKinds.members, "none", limits.entryPeopleMax],
    [entryKinds.members, "null", limits.entryPeopleMax],
    [entryKinds.members, "null", 1],
  ]);
});

test("a conversation takes no more members than its type's membersMax", async () => {
  const { create, ask } = await world();
  const small = await create("small", ann, "s", [bob]);
  expect(await codeOf(create("small", ann, "t", [bob, cat, dan]))).toBe("limit_reached");
  expect(await codeOf(ask(small, "add", ann, "1", [cat, dan], null))).toBe("limit_reached");
  expect(await ask(small, "add", ann, "2", [cat], null)).toEqual([3]);
  expect(await codeOf(ask(small, "add", ann, "3", [dan], null))).toBe("limit_reached");
});

/** A group of `receiptMembersMax` people, and one more when `grow` is called. */
async function atTheLimit() {
  const clock = new HeldClock();
  const state = await world({ clock });
  const people = crowd(limits.receiptMembersMax - 1);
  await state.ensure(people);
  const group = await state.create("group", ann, "g", people);
  const grow = () => state.ask(group, "add", ann, "grow", [bob], null);
  return { ...state, clock, people, group, grow };
}

/** Waits until `found` answers something. */
async function eventually<T>(found: () => T | undefined): Promise<T> {
  for (;;) {
    const value = found();
    if (value !== undefined) return value;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test("receipts go to everybody up to the limit of members; above it the author alone gets a count, once a second", async () => {
  const { ask, send, gateway, clock, people, group, grow } = await atTheLimit();
  const [first] = await send(group, ann, "a");
  await ask(group, "read", people[0] as UserId, "read", first);
  const receipts = await eventually(() => gateway.pushes.find(([name]) => name === "receipts"));
  expect(receipts).toEqual(["receipts", group, [[people[0], first]]]);

  await grow();
  const [second] = await send(group, ann, "b");
  const before = clock.held.length;
  for (const person of people.slice(0, 50)) await ask(group, "read", person, "read", second);
  const counts = () => gateway.pushes.filter(([, name]) => name === "readCount");
  expect([clock.held.length - before, counts()]).toEqual([1, []]);
  clock.held.at(-1)?.();
  await eventually(() => counts()[0]);
  expect(counts()).toEqual([[ann, "readCount", group as ConversationId, second, 50]]);
  expect(gateway.pushes.filter(([name]) => name === "receipts")).toHaveLength(1);
  const [readers, next] = await ask<Results["readers"]>(group, "readers", ann, second, null, 30);
  expect([readers.length, next]).toEqual([30, readers.at(-1)?.[0] as UserId]);
});

test("signals are passed on up to the limit of members, and refused above it or where the type has none", async () => {
  const { create, ask, gateway, group, grow } = await atTheLimit();
  expect(await ask<unknown>(group, "signal", ann, "typing", null)).toEqual([]);
  expect(gateway.pushes).toEqual([["signal", group, ann, "typing", null]]);
  await grow();
  expect(await codeOf(ask(group, "signal", ann, "typing", null))).toBe("not_supported");
  const channel = await create("channel", ann, "news", []);
  expect(await codeOf(ask(channel, "signal", ann, "typing", null))).toBe("not_supported");
});

test("a page is bounded in bytes, says that there is more, and the pages together are the log", async () => {
  const { create, ask } = await world();
  const group = await create("group", ann, "g", []);
  const text = "x".repeat(60_000);
  for (let i = 0; i < 6; i++) await ask(group, "send", ann, [[`m${i}`, [text]]]);
  const seen: number[] = [];
  for (let before: number | null = null, more = true; more; ) {
    const page: Results["history"] = await ask(group, "history", ann, "before", before, limits.pageMax, null);
    const [messages, hasBefore, , first] = page;
    expect(messages.length * text.length).toBeLessThan(limits.pageBytesMax);
    seen.unshift(...messages.map(([entry]) => entry[0]));
    [before, more] = [first, hasBefore];
  }
  expect(seen).toEqual([3, 4, 5, 6, 7, 8]);
  const [entries, head] = await ask<Results["entries"]>(group, "entries", ann, 1, limits.pageMax);
  expect([entries.length < 8, head]).toEqual([true, 8]);
});
