import { expect, test } from "bun:test";
import { MemoryStore } from "../../test/sim/memory-store";
import type { StoreFault } from "../../test/sim/memory-store";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { toAppError } from "../lib/errors";
import { partitionCount } from "../lib/hash";
import type { ActorKind } from "./actor";
import { allPartitions } from "./local-placement";
import { startLocalRouter } from "./local-router";
import type { LocalRouter } from "./local-router";

/** Answers with the epoch it was activated under; `stop` ends it as a fenced one ends itself. */
const kind: ActorKind = {
  name: "conversation",
  mailboxMax: 10,
  idleMs: 60_000,
  activeMax: 10,
  activate: async (ctx) => ({
    receive(message, reply) {
      if (message === "stop") ctx.stop();
      reply.ok(ctx.epoch);
    },
    passivate: async () => true,
    abort: () => undefined,
  }),
};

function start() {
  const clock = new VirtualClock();
  const faults: { next: StoreFault | null } = { next: null };
  const store = new MemoryStore({ fault: () => faults.next });
  const trace: string[] = [];
  let router: LocalRouter | null = null;
  void startLocalRouter({
    store,
    clock,
    kinds: [kind],
    events: { failed: () => undefined, dropped: () => undefined },
    onSteppedDown: () => void trace.push("stepped down"),
  }).then((started) => {
    router = started;
  });
  clock.settle();
  const ask = (message: string): void => {
    router?.ask("conversation", "a", message).then(
      (value) => trace.push(String(value)),
      (error: unknown) => trace.push(toAppError(error).code),
    );
    clock.settle();
  };
  return { clock, store, faults, trace, ask, router: router as LocalRouter | null };
}

test("a start claims every partition, and activations carry that epoch", () => {
  const { store, ask, trace } = start();
  ask("hello");

  expect(trace).toEqual([String(store.data.epochOf(0))]);
  expect(new Set(allPartitions.map((partition) => store.data.epochOf(partition)))).toEqual(new Set([1]));
  expect(allPartitions).toHaveLength(partitionCount);
});

test("fenced by another server, it steps down once and answers everything retryable", () => {
  const { clock, store, ask, trace } = start();
  ask("hello");
  store.data.claim(allPartitions);
  clock.advance(1100);
  ask("hello");
  clock.advance(10_000);

  expect(trace).toEqual(["1", "stepped down", "shutting_down"]);
  expect(clock.pending).toBe(0);
});

test("an activation that ends itself makes the audit come at once", () => {
  const { clock, store, ask, trace } = start();
  store.data.claim(allPartitions);
  ask("stop");
  clock.advance(60);

  expect(trace).toEqual(["1", "stepped down"]);
});

test("a store that cannot answer the audit takes nothing away", () => {
  const { clock, faults, ask, trace } = start();
  faults.next = "refused";
  clock.advance(5000);
  ask("hello");

  expect(trace).toEqual(["1"]);
});

test("a stopped router audits nothing and answers shutting_down", () => {
  const { clock, router, ask, trace } = start();
  router?.stop();
  ask("hello");

  expect(trace).toEqual(["shutting_down"]);
  expect(clock.pending).toBe(0);
});
