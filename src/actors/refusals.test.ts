import { expect, test } from "bun:test";
import { systemClock } from "../lib/clock";
import { AppError } from "../lib/errors";
import type { ClientId, ConversationId } from "../protocol/ids";
import { ann, bob, cat, codeOf, world } from "./conversation.case";
import { ConversationRefusals, Refusals } from "./refusals";

/** A clock whose monotonic time the test moves on. */
function movable() {
  const state = { ms: 0 };
  return { state, clock: { ...systemClock, monotonic: () => systemClock.monotonic() + state.ms } };
}

const codes = (outcomes: readonly unknown[]): unknown[] =>
  outcomes.map((outcome) => (Array.isArray(outcome) ? outcome[0] : outcome));

test("a message that was refused is refused again when it comes once more, though its sender is a member by then", async () => {
  const { state, clock } = movable();
  const { create, ask, send } = await world({ clock });
  const group = await create("group", ann, "g", [bob]);
  expect(codes(await send(group, cat, "early", "other"))).toEqual(["no_access", "no_access"]);
  expect(await ask(group, "add", ann, "1", [cat], null)).toEqual([3]);
  state.ms = 29_000;
  expect(codes(await send(group, cat, "new", "early"))).toEqual([4, "no_access"]);
  state.ms = 60_000;
  expect(codes(await send(group, cat, "early", "new"))).toEqual([5, 4]);
});

test("a change that was refused is refused again, another one is not", async () => {
  const { create, ask } = await world();
  const group = await create("group", ann, "g", [bob]);
  const update = (id: string) => codeOf(ask(group, "update", bob, id, { name: "Ours" }));
  expect(await update("1")).toBe("forbidden");
  await ask(group, "role", ann, "2", bob, "admin");
  expect(await update("1")).toBe("forbidden");
  expect(await update("3")).toBe("ok");
});

test("what stands is answered with where it stands, whatever else was refused under its id", async () => {
  const { create, ask, send } = await world();
  const group = await create("group", ann, "g", [bob, cat]);
  expect(await send(group, cat, "x")).toEqual([3]);
  expect(await codeOf(ask(group, "update", cat, "x", { name: "Other" }))).toBe("id_reused");
  expect(await send(group, cat, "x")).toEqual([3]);
  await ask(group, "remove", ann, "1", [cat]);
  expect(await send(group, cat, "x")).toEqual([3]);
});

test("what may succeed when repeated is not kept, and another owner's time has refusals of its own", () => {
  const all = new Refusals(systemClock);
  const conversation = "gX" as ConversationId;
  const told: string[] = [];
  const reply = { ok: () => undefined, fail: (error: unknown) => void told.push((error as AppError).code) };
  const [first, second] = [1, 2].map((epoch) => new ConversationRefusals(all, conversation, epoch));
  first?.keeping(ann, "a" as ClientId, reply).fail(new AppError("store_unavailable"));
  expect(all.size).toBe(0);
  first?.keeping(ann, "a" as ClientId, reply).fail(new AppError("forbidden"));
  expect(told).toEqual(["store_unavailable", "forbidden"]);
  expect(() => first?.assertNew(ann, "a" as ClientId)).toThrow("your role");
  expect(() => second?.assertNew(ann, "a" as ClientId)).not.toThrow();
});
