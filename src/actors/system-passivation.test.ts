import { expect, test } from "bun:test";
import { AppError } from "../lib/errors";
import { partitionOf } from "../lib/hash";
import { world } from "./system.case";

test("an idle actor is passivated after its time without a message, and remembered for ten seconds", () => {
  const { ask, trace, clock, system } = world({ limits: { idleMs: 1000 } });
  ask("a", 1);
  clock.advance(900);
  ask("a", 2);
  clock.advance(900);
  expect(trace).not.toContain("a passivates");
  expect(system.peek("conversation", "a")).not.toBeNull();
  expect(system.recentlyActive("conversation", "a")).toBe(false);

  clock.advance(300);
  expect(trace.at(-1)).toBe("a passivates");
  expect(system.peek("conversation", "a")).toBeNull();
  expect(system.recentlyActive("conversation", "a")).toBe(true);
  expect(system.stats().kinds.conversation?.cells).toBe(0);
  clock.advance(11_000);

  expect(system.recentlyActive("conversation", "a")).toBe(false);
});

test("past activeMax the least recently used is passivated", () => {
  const { ask, trace, clock } = world({ limits: { activeMax: 2 } });
  for (const key of ["a", "b", "a", "c"]) ask(key, 1);
  clock.settle();

  expect(trace.filter((note) => note.endsWith("passivates"))).toEqual(["b passivates"]);
});

test("far past activeMax, when nothing can be passivated, new keys are refused and known ones served", () => {
  const { ask, trace } = world({ limits: { activeMax: 2 }, passivate: () => false });
  for (const key of ["a", "b", "c", "d"]) ask(key, 1);
  trace.length = 0;

  ask("e", 1);
  expect(trace).toEqual(["e dropped 1: tooManyActive", "e! overloaded"]);
  trace.length = 0;
  ask("a", 2);

  expect(trace).toEqual(["a: echo 2"]);
});

test("messages that come while an actor passivates wait for its next activation", () => {
  const gate = Promise.withResolvers<boolean>();
  const { ask, trace, clock } = world({ limits: { idleMs: 1000 }, passivate: () => gate.promise });
  ask("a", 1);
  clock.advance(2000);
  trace.length = 0;

  ask("a", 2);
  expect(trace).toEqual([]);
  gate.resolve(true);
  clock.settle();

  expect(trace).toEqual(["a activates", "a: echo 2"]);
});

test("an actor that says not now goes on with what came meanwhile", () => {
  const gate = Promise.withResolvers<boolean>();
  const { ask, trace, clock } = world({ limits: { idleMs: 1000 }, passivate: () => gate.promise });
  ask("a", 1);
  clock.advance(2000);
  ask("a", 2);
  trace.length = 0;

  gate.resolve(false);
  clock.settle();

  expect(trace).toEqual(["a: echo 2"]);
});

test("a passivation that throws ends the activation, and what waits gets the next one", () => {
  const gate = Promise.withResolvers<boolean>();
  const { ask, trace, clock } = world({ limits: { idleMs: 1000 }, passivate: () => gate.promise });
  ask("a", 1);
  clock.advance(2000);
  ask("a", 2);
  trace.length = 0;

  gate.reject(new Error("boom"));
  clock.settle();

  expect(trace).toEqual(["a failed to passivate", "a aborts: internal", "a activates", "a: echo 2"]);
});

test("a drain passivates everything, asks the unready again, and refuses new asks", () => {
  let ready = false;
  const { ask, trace, clock, system } = world({ passivate: ({ key }) => key !== "busy" || ready });
  ask("a", 1);
  ask("busy", 1);
  trace.length = 0;

  const drained = system.drain(5000);
  void drained.then(({ left }) => trace.push(`drained, ${left} left`));
  ask("a", 2);
  clock.advance(100);
  expect(trace.slice(0, 3)).toEqual(["a passivates", "busy passivates", "a! shutting_down"]);
  ready = true;
  clock.advance(100);

  expect(trace.at(-1)).toBe("drained, 0 left");
});

test("a drain past its deadline names what is left", async () => {
  const { ask, clock, system } = world({ passivate: () => false });
  ask("a", 1);

  const drained = system.drain(1000);
  clock.advance(1100);

  expect(await drained).toEqual({ left: 1, names: ["conversation a"] });
});

test("during a drain actors still tell each other, so that they can finish", () => {
  const { ask, trace, clock, system } = world({
    receive(message, reply, ctx) {
      if (message === "finish") ctx.tell("conversation", "b", "note");
      else trace.push(`${ctx.key} got ${String(message)}`);
      reply.ok(null);
    },
  });
  ask("a", "start");
  void system.drain(5000);
  system.tell("conversation", "a", "finish");
  clock.advance(1000);

  expect(trace).toContain("b got note");
  expect(system.stats().kinds.conversation?.cells).toBe(0);
});

test("a stop answers what waits as retryable, what was received as unknown, and everything later as shutting down", () => {
  const gate = Promise.withResolvers<void>();
  const { ask, trace, clock, system } = world({
    receive: (message) => (message === "slow" ? gate.promise : undefined),
  });
  ask("a", "slow");
  ask("a", "waits");
  ask("b", "received");
  trace.length = 0;

  system.stop();
  clock.settle();
  ask("c", "late");
  expect(trace.toSorted()).toEqual(
    [
      "a dropped 1: stopped",
      "b aborts: outcome_unknown",
      "a! shutting_down",
      "b! outcome_unknown",
      "a! outcome_unknown",
      "c! shutting_down",
    ].toSorted(),
  );
  gate.resolve();
  clock.settle();

  expect(trace.at(-1)).toBe("a aborts: outcome_unknown");
  expect(clock.pending).toBe(0);
});

test("a stop ends an activation that is still loading as soon as it is loaded", () => {
  const gate = Promise.withResolvers<void>();
  const { ask, trace, clock, system } = world({ activate: () => gate.promise });
  ask("a", 1);
  system.stop();
  gate.resolve();
  clock.settle();

  expect(trace).toEqual(["a activates", "a dropped 1: stopped", "a! shutting_down", "a aborts: outcome_unknown"]);
});

test("where this node owns nothing, asks are answered retryable without an activation", () => {
  const { ask, trace, system } = world({ epoch: () => null });
  ask("a", 1);

  expect(trace).toEqual(["a dropped 1: stopped", "a! shutting_down"]);
  expect(system.stats().kinds.conversation?.cells).toBe(0);
});

test("a partition's release passivates its actors and leaves the others alone", async () => {
  const { ask, clock, system, trace } = world();
  ask("a", "1");
  ask("b", "1");
  clock.settle();
  trace.length = 0;
  const released = system.release(partitionOf("conversation", "a"), 100);
  clock.advance(20);
  await released;
  expect(trace).toEqual(["a passivates"]);
});

test("what is not ready when a release is over is ended, and whoever waits is sent on", async () => {
  const { ask, clock, system, trace } = world({ passivate: () => false });
  ask("a", "1");
  clock.settle();
  trace.length = 0;
  const released = system.release(partitionOf("conversation", "a"), 12);
  clock.advance(30);
  await released;
  expect(trace.at(-1)).toBe("a aborts: outcome_unknown");
});

test("answers and refusals without rows of their own stay here while ownership is in doubt, and leave once it is not", () => {
  let sure = true;
  const isBacked = (message: unknown): boolean => message === "backed";
  const refused = new AppError("no_access");
  const { ask, clock, trace } = world({
    mayAnswer: () => sure,
    isBacked,
    receive: (message, reply) => (message === "refused" ? reply.fail(refused) : reply.ok(message)),
  });
  ask("a", "plain");
  sure = false;
  for (const message of ["plain", "backed", "refused"]) ask("a", message);
  clock.advance(100);
  expect(trace).toEqual(["a activates", "a: plain", "a: backed"]);

  sure = true;
  clock.advance(20);
  expect(trace.slice(3)).toEqual(["a: plain", "a! no_access"]);
});

test("an answer that is held is given up with its activation, and by its deadline", () => {
  const { ask, clock, trace, system } = world({ mayAnswer: () => false });
  ask("a", 1, 300);
  clock.advance(1000);
  ask("a", 2);
  system.end(new Set([partitionOf("conversation", "a")]));
  clock.advance(1000);
  expect(trace.filter((line) => line.startsWith("a!"))).toEqual(["a! outcome_unknown", "a! outcome_unknown"]);
});

test("only so many answers are held; what is past them is to be asked again", () => {
  let sure = false;
  const { ask, clock, trace } = world({ mayAnswer: () => sure, limits: { activeMax: 5_000 } });
  for (let i = 0; i <= 4_000; i++) ask(`k${i}`, i);
  clock.settle();
  expect(trace.filter((line) => line.includes("!"))).toEqual(["k4000! outcome_unknown"]);
  sure = true;
  clock.advance(20);
  expect(trace.filter((line) => line.includes(": "))).toHaveLength(4_000);
});

test("an activation that another owner's epoch ended as it passivated is not looked at any more", () => {
  const gate = Promise.withResolvers<boolean>();
  const { ask, clock, system } = world({ passivate: () => gate.promise, limits: { idleMs: 1000 } });
  ask("a", 1);
  clock.advance(1200);
  expect(system.peek("conversation", "a")).not.toBeNull();

  system.end(new Set([partitionOf("conversation", "a")]));
  expect(system.peek("conversation", "a")).toBeNull();
  expect(system.recentlyActive("conversation", "a")).toBe(true);
  gate.resolve(true);
});
