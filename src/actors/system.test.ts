import { expect, test } from "bun:test";
import { AppError } from "../lib/errors";
import type { Reply } from "./actor";
import { world } from "./system.case";

test("an ask activates its actor and brings its answer", () => {
  const { ask, trace } = world();

  ask("a", 1);
  ask("a", 2);

  expect(trace).toEqual(["a activates", "a: echo 1", "a: echo 2"]);
});

test("messages wait in order while their actor activates", () => {
  const gate = Promise.withResolvers<void>();
  const { ask, trace, clock } = world({ activate: () => gate.promise });
  ask("a", 1);
  ask("a", 2);
  expect(trace).toEqual(["a activates"]);

  gate.resolve();
  clock.settle();

  expect(trace).toEqual(["a activates", "a: echo 1", "a: echo 2"]);
});

test("a failed activation answers what waits with its error, and the next message tries again", () => {
  let broken = true;
  const { ask, trace, clock } = world({
    activate() {
      if (broken) throw new AppError("store_unavailable");
    },
  });

  ask("a", 1);
  clock.advance(10_000);
  expect(trace).toEqual([
    "a activates",
    "a failed to activate",
    "suspects",
    "a dropped 1: activationFailed",
    "a! store_unavailable",
  ]);
  broken = false;
  trace.length = 0;
  ask("a", 2);

  expect(trace).toEqual(["a activates", "a: echo 2"]);
});

test("a throw ends that activation alone: its waiting asks are answered internal, the next one starts afresh", () => {
  const gate = Promise.withResolvers<void>();
  const { ask, trace, clock } = world({
    async receive(message, reply) {
      if (message === "bad") {
        await gate.promise;
        throw new Error("boom");
      }
      reply.ok(message);
    },
  });
  ask("b", "fine");
  ask("a", "bad");
  ask("a", "waits");
  trace.length = 0;

  gate.resolve();
  clock.settle();
  expect(trace).toEqual([
    "a failed to receive",
    "a aborts: internal",
    "a dropped 1: actorEnded",
    "a! internal",
    "a! internal",
  ]);
  trace.length = 0;
  ask("a", "again");
  ask("b", "still");

  expect(trace).toEqual(["a activates", "a: again", "b: still"]);
});

test("an ask without an answer is answered outcome_unknown after its deadline, five seconds where none is named", () => {
  const replies: Reply[] = [];
  const { ask, trace, clock, system } = world({ receive: (_message, reply) => void replies.push(reply) });
  ask("a", "short", 300);
  ask("a", "usual");
  clock.advance(250);
  expect(trace).toEqual(["a activates"]);

  clock.advance(300);
  expect(trace).toEqual(["a activates", "a! outcome_unknown"]);
  clock.advance(4400);
  expect(trace).toHaveLength(2);
  clock.advance(500);
  for (const reply of replies) reply.ok("too late");
  clock.settle();

  expect(trace).toEqual(["a activates", "a! outcome_unknown", "a! outcome_unknown"]);
  expect(system.stats().asksWaiting).toBe(0);
});

test("an ask whose deadline passed while it waited is not handled any more", () => {
  const gate = Promise.withResolvers<void>();
  const received: unknown[] = [];
  const { ask, clock } = world({
    receive(message) {
      received.push(message);
      return gate.promise;
    },
  });
  ask("a", "first");
  ask("a", "waits", 100);
  clock.advance(1000);
  gate.resolve();
  clock.settle();

  expect(received).toEqual(["first"]);
});

test("only the first answer counts", () => {
  const { ask, trace } = world({
    receive(_message, reply) {
      reply.ok("first");
      reply.fail(new AppError("internal"));
      reply.ok("second");
    },
  });

  ask("a", 1);

  expect(trace).toEqual(["a activates", "a: first"]);
});

test("past a full mailbox an ask is answered overloaded and a tell is dropped, both counted", () => {
  const gate = Promise.withResolvers<void>();
  const { ask, trace, system } = world({ receive: () => gate.promise, limits: { mailboxMax: 1 } });
  ask("a", "handled");
  ask("a", "waits");
  trace.length = 0;

  ask("a", "too many");
  system.tell("conversation", "a", "too many");

  expect(trace).toEqual(["a dropped 1: mailboxFull", "a! overloaded", "a dropped 1: mailboxFull"]);
  expect(system.stats().kinds.conversation).toMatchObject({ cells: 1, active: 1, waiting: 1, deepest: 1 });
});

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

test("an actor that stops itself ends quietly after its message; what it owes comes from abort", () => {
  const { ask, trace, clock } = world({
    receive(message, reply, ctx) {
      if (message === "stop") ctx.stop();
      reply.ok(message);
    },
  });
  ask("a", "stop");
  clock.settle();
  ask("a", "again");

  expect(trace).toEqual(["a activates", "suspects", "a aborts: outcome_unknown", "a: stop", "a activates", "a: again"]);
});

test("a stop while the message is handled leaves no second activation behind", () => {
  const { ask, trace, clock, system } = world({
    receive: (message, reply, ctx) => (message === "stop" ? ctx.stop() : reply.ok(message)),
  });
  ask("a", 1);
  system.tell("conversation", "a", "stop");
  clock.settle();

  expect(trace.slice(2)).toEqual(["suspects", "a aborts: outcome_unknown"]);
  expect(system.stats().kinds.conversation?.cells).toBe(0);
});

test("an actor that stops itself between messages receives no other", () => {
  const { ask, trace, clock, system } = world({
    receive(message, reply, ctx) {
      ctx.clock.after(50, () => {
        ctx.stop();
        system.tell("conversation", "a", "late");
      });
      reply.ok(message);
    },
  });
  ask("a", 1);
  clock.advance(60);

  expect(trace).toEqual(["a activates", "a: 1", "suspects", "a aborts: outcome_unknown", "a dropped 1: actorEnded"]);
});

test("a message to oneself arrives after its time, unless cancelled or the activation ended first", () => {
  const received: unknown[] = [];
  const { ask, clock } = world({
    receive(message, reply, ctx) {
      received.push(message);
      if (message !== "start") return;
      ctx.tellSelf(100, "kept");
      const cancel = ctx.tellSelf(100, "cancelled");
      ctx.tellSelf(200, "last");
      ctx.tellSelf(300, "of an ended life");
      ctx.clock.after(50, cancel);
      ctx.clock.after(250, () => ctx.stop());
      reply.ok(null);
    },
  });
  ask("a", "start");
  clock.advance(1000);

  expect(received).toEqual(["start", "kept", "last"]);
});

test("a timer does not keep an idle actor active, and does not outlive it", () => {
  const received: unknown[] = [];
  const { ask, trace, clock } = world({
    limits: { idleMs: 1000 },
    receive(message, _reply, ctx) {
      received.push(message);
      ctx.tellSelf(400, "tick");
    },
  });
  ask("a", "start");
  clock.advance(5000);

  expect(trace).toContain("a passivates");
  expect(received).toEqual(["start", "tick", "tick"]);
});

test("an ended activation tells nobody", () => {
  const { ask, trace, clock } = world({
    receive(message, reply, ctx) {
      if (message === "end") {
        ctx.clock.after(100, () => ctx.tell("conversation", "b", "ghost"));
        ctx.stop();
      }
      reply.ok(null);
    },
  });
  ask("a", "end");
  clock.advance(200);

  expect(trace).not.toContain("b activates");
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
