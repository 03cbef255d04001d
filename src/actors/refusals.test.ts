import { expect, test } from "bun:test";
import { systemClock } from "../lib/clock";
import { AppError } from "../lib/errors";
import type { ClientId, ConversationId, UserId } from "../protocol/ids";
import { ann, bob, cat, codeOf, world } from "./conversation.case";
import { ConversationRefusals, refusalLimits, Refusals } from "./refusals";

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
  state.ms = 89_000;
  expect(codes(await send(group, cat, "new", "early"))).toEqual([4, "no_access"]);
  state.ms = 91_000;
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
  const leave = { op: "leave", user: ann, args: [conversation, "a" as ClientId] } as const;
  const told: string[] = [];
  const reply = { ok: () => undefined, fail: (error: unknown) => void told.push((error as AppError).code) };
  const state = { used: () => null };
  const [first, second] = [1, 2].map((epoch) => new ConversationRefusals(all, state, conversation, epoch));
  first?.keeping(leave, reply).fail(new AppError("store_unavailable"));
  expect(all.size).toBe(0);
  first?.keeping(leave, reply).fail(new AppError("forbidden"));
  expect(told).toEqual(["store_unavailable", "forbidden"]);
  expect(() => first?.assertNew(ann, "a" as ClientId)).toThrow("your role");
  expect(() => second?.assertNew(ann, "a" as ClientId)).not.toThrow();
});

test("a creation that was refused is made once whom it names exist", async () => {
  const { create, ensure } = await world();
  const eve = "eve" as UserId;
  expect(await codeOf(create("group", ann, "g", [eve]))).toBe("unknown_user");
  await ensure([eve]);
  expect(await codeOf(create("group", ann, "g", [eve]))).toBe("ok");
});

test("what was allowed while its refusal waited to be told is of unknown outcome, and its repetition learns where it stands", () => {
  const state = { used: () => ({ seq: 4 }) as never };
  const refusals = new ConversationRefusals(new Refusals(systemClock), state, "gX" as ConversationId, 1);
  const refused = new AppError("no_access").toTuple();
  expect(codes(refusals.kept(ann, [["x" as ClientId, ["text"]]], [refused]))).toEqual(["outcome_unknown"]);
  expect(() => refusals.assertNew(ann, "x" as ClientId)).not.toThrow();
});

test("one person's refusals do not push out those of others, and all of them are bounded", () => {
  const { state, clock } = movable();
  const all = new Refusals(clock);
  const error = new AppError("no_access");
  all.keep("bob's", bob, error);
  for (let at = 0; at < refusalLimits.ofPerson + 10; at++) all.keep(`ann's ${at}`, ann, error);
  expect(all.size).toBe(refusalLimits.ofPerson + 1);
  expect(all.find("bob's")?.code).toBe("no_access");
  state.ms = refusalLimits.keptMs + 1;
  expect(all.find("bob's")).toBeNull();
  for (let at = 0; at < 20; at++) all.find("none");
  expect(all.size).toBe(0);
  for (let at = 0; at < refusalLimits.most + 5; at++) all.keep(`${at}`, `p${at}` as UserId, error);
  expect(all.size).toBe(refusalLimits.most);
  expect(all.find("4")).toBeNull();
  expect(all.find("5")).not.toBeNull();
});
