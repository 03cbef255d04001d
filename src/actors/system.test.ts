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

test("what an activation answers after its end is outcome_unknown: a successor may know better by then", () => {
  const replies: Reply[] = [];
  const { ask, trace, clock } = world({
    receive(message, reply, ctx) {
      if (message === "stop") ctx.stop();
      else if (message === "current") reply.ok("new");
      else replies.push(reply);
    },
  });
  for (const message of ["value", "refusal", "later", "stop", "current"]) ask("a", message);
  clock.settle();
  trace.length = 0;

  replies[0]?.ok("old");
  replies[1]?.fail(new AppError("no_access"));
  replies[2]?.fail(new AppError("store_unavailable"));
  clock.settle();

  expect(trace).toEqual(["a! outcome_unknown", "a! outcome_unknown", "a! store_unavailable"]);
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

test("an activation that ends after its message counts as recently active while it still handles it", () => {
  const gate = Promise.withResolvers<void>();
  const { ask, clock, system } = world({
    receive(_message, _reply, ctx) {
      ctx.stop();
      return gate.promise;
    },
  });
  ask("a", "stop");
  clock.settle();

  // Nobody can look at it any more, so nobody may think that what the store has is all.
  expect(system.peek("conversation", "a")).toBeNull();
  expect(system.recentlyActive("conversation", "a")).toBe(true);
  gate.resolve();
  clock.settle();
  expect(system.recentlyActive("conversation", "a")).toBe(true);
});

test("a stop tells every kind, once its activations were told to end", () => {
  const { ask, trace, system } = world({ stop: () => trace.push("stops") });
  ask("a", 1);
  trace.length = 0;
  system.stop();
  system.stop();
  expect(trace).toEqual(["a aborts: outcome_unknown", "stops"]);
});
