import { expect, test } from "bun:test";
import { MemoryStore } from "../../test/sim/memory-store";
import { systemClock } from "../lib/clock";
import type { ClientId, UserId } from "../protocol/ids";
import { conversationKind } from "./conversation";
import { codeOf } from "./conversation.case";
import { conversationIdFor } from "./conversation-id";
import { builtInTypes } from "./conversation-types";
import { allPartitions } from "./local-placement";
import { createActorSystem } from "./system";
import { userKind } from "./user";

const ann = "ann" as UserId;
const bob = "bob" as UserId;
const group = conversationIdFor(false, ann, "g" as ClientId, [bob]);
const limits = { mailboxMax: 100, idleMs: 60_000, activeMax: 100 };

/** An owner who may be in doubt whether it still is one; a conversation of two, with two messages that ann has read. */
async function owner() {
  const store = new MemoryStore();
  const epoch = await store.claim(allPartitions);
  const state = { sure: true, published: 0, signedOut: 0 };
  const gateway = {
    publish: () => void state.published++,
    toUser: () => undefined,
    entries: () => undefined,
    headKnown: () => undefined,
    feedChanged: () => undefined,
    signedOut: () => void state.signedOut++,
  };
  const deps = { store, gateway, clock: systemClock, reopen: () => true };
  const types = new Map(Object.entries(builtInTypes));
  const system = createActorSystem({
    clock: systemClock,
    kinds: [conversationKind({ ...deps, types, onFault: () => undefined }, limits), userKind(deps, limits)],
    placement: { epochOf: () => epoch, suspect: () => undefined, mayAnswer: () => state.sure },
    events: { failed: () => undefined, dropped: () => undefined },
  });
  const ask = <T = unknown>(op: string, user: UserId, ...args: unknown[]): Promise<T> =>
    system.ask("conversation", group, { op, user, args: [group, ...args] }) as Promise<T>;
  const askUser = (message: object): Promise<unknown> => system.ask("user", ann, message);
  for (const user of [ann, bob]) await system.ask("user", user, { op: "ensure" });
  await system.ask("conversation", group, { op: "create", user: ann, args: ["group", "g", { name: "g" }, [bob]] });
  await ask("send", bob, [
    ["a", ["one"]],
    ["b", ["two"]],
  ]);
  await ask("read", ann, "read", 3);
  return { state, system, ask, askUser };
}

test("in doubt, a read mark is not answered from memory: another owner may have stored a later one", async () => {
  const { state, system, ask } = await owner();
  expect(await ask("read", ann, "read", 2)).toEqual([[3, 1, 0], 1]);
  state.sure = false;
  let answers = 0;
  const asked = [2, 4].map((seq) => ask("read", ann, "read", seq).finally(() => answers++));
  expect(await ask("signal", ann, "typing", null)).toEqual([]);
  expect(answers).toBe(0);
  state.sure = true;
  expect(await Promise.all(asked)).toEqual([
    [[3, 1, 0], 1],
    [[4, 2, 0], 0],
  ]);
  system.stop();
});

test("in doubt, a send is answered by its seqs, also where it is repeated", async () => {
  const { state, system, ask } = await owner();
  state.sure = false;
  expect(
    await ask<number[]>("send", bob, [
      ["b", ["two"]],
      ["c", ["three"]],
    ]),
  ).toEqual([4, 5]);
  system.stop();
});

test("in doubt, a signal is answered, so that nobody repeats what was pushed", async () => {
  const { state, system, ask } = await owner();
  state.sure = false;
  expect(await ask<[]>("signal", ann, "typing", null)).toEqual([]);
  expect(state.published).toBe(1);
  system.stop();
});

test("in doubt, a sign-out that is stored is answered, so that nobody repeats it over a later sign-in", async () => {
  const { state, system, askUser } = await owner();
  state.sure = false;
  expect(await askUser({ op: "signOut", device: null })).toEqual([]);
  expect(state.signedOut).toBe(1);
  expect(await askUser({ op: "ensure" })).toEqual({ created: false });
  expect(await codeOf(system.ask("user", ann, { op: "devices" }, 20))).toBe("outcome_unknown");
  system.stop();
});
