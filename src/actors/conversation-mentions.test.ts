import { expect, test } from "bun:test";
import type { StoreCall } from "../../test/sim/memory-store";
import type { Seq, UserId } from "../protocol/ids";
import type { ErrorTuple } from "../protocol/operations";
import { ann, bob, cat, codeOf, dan, world } from "./conversation.case";

const mentioning = (id: string, ...named: string[]) => [id, [`text ${id}`, null, null, null, named]];
type Outcomes = readonly (Seq | ErrorTuple)[];

/** A world that notes whom the store is asked about, and may let such a question wait. */
async function asking() {
  const asked: string[] = [];
  const state = { held: null as (() => void)[] | null };
  const schedule = (step: () => void, call: StoreCall): void => {
    const isQuestion = call.kind === "read" && call.name === "unknownUsers";
    if (isQuestion) asked.push("unknownUsers");
    if (isQuestion && state.held) state.held.push(step);
    else queueMicrotask(step);
  };
  return { ...(await world({ schedule })), asked, state };
}

test("a message that mentions somebody who does not exist is refused alone, naming them", async () => {
  const { create, ask } = await asking();
  const group = await create("group", ann, "g", [bob]);
  const items = [mentioning("a", "bob", "zoe", "zoe", "dan", "yan"), mentioning("b", "dan"), mentioning("c", "bob")];
  const [first, ...others] = await ask<Outcomes>(group, "send", ann, items);
  expect((first as ErrorTuple)[0]).toBe("unknown_user");
  expect(first as ErrorTuple).toMatchObject({ 2: "final", 4: ["zoe", "yan"] });
  expect(others).toEqual([3, 4]);
});

test("the store is asked for nobody where no one or members alone are mentioned", async () => {
  const { create, ask, send, asked } = await asking();
  const group = await create("group", ann, "g", [bob, cat]);
  asked.length = 0;
  expect(await send(group, ann, "plain")).toEqual([3]);
  expect(await ask<Outcomes>(group, "send", ann, [mentioning("m", "bob", "cat", "ann")])).toEqual([4]);
  expect(asked).toEqual([]);
  expect(await ask<Outcomes>(group, "send", ann, [mentioning("n", "dan")])).toEqual([5]);
  expect(asked.length).toBeGreaterThan(0);
});

test("a send that waits for its mentions is not overtaken by later ones", async () => {
  const { create, ask, send, state } = await asking();
  const group = await create("group", ann, "g", [bob]);
  const questions: (() => void)[] = [];
  state.held = questions;
  const first = ask<Outcomes>(group, "send", ann, [mentioning("1", "dan"), mentioning("2", "zoe")]);
  const second = send(group, ann, "3");
  const third = send(group, bob, "4");
  const reads: Promise<unknown> = ask(group, "history", bob, "before", null, null, null);
  await new Promise((turn) => setImmediate(turn));
  expect(questions).toHaveLength(1);
  state.held = null;
  questions[0]?.();
  const [one, two] = await first;
  expect([one, (two as ErrorTuple)[0]]).toEqual([3, "unknown_user"]);
  expect([await second, await third]).toEqual([[4], [5]]);
  await reads;
});

test("a repeated message is answered its seq, whoever it mentions, and a stranger is refused as before", async () => {
  const { create, ask } = await asking();
  const group = await create("group", ann, "g", [bob]);
  expect(await ask<Outcomes>(group, "send", ann, [mentioning("a", "dan")])).toEqual([3]);
  expect(await ask<Outcomes>(group, "send", ann, [mentioning("a", "dan")])).toEqual([3]);
  const [refused] = await ask<Outcomes>(group, "send", dan, [mentioning("a", "zoe")]);
  expect((refused as ErrorTuple)[0]).toBe("no_access");
});

test("a store that cannot say who exists makes the whole send wait, and nothing of it is appended", async () => {
  let isAway = false;
  const { create, ask, send } = await world({ fault: (kind) => (kind === "read" && isAway ? "refused" : null) });
  const group = await create("group", ann, "g", [bob]);
  isAway = true;
  expect(await codeOf(ask(group, "send", ann, [mentioning("a", "bob"), mentioning("b", "dan")]))).toBe(
    "store_unavailable",
  );
  expect(await ask<Outcomes>(group, "send", ann, [mentioning("c", "bob" as UserId)])).toEqual([3]);
  isAway = false;
  expect(await send(group, ann, "d")).toEqual([4]);
});
