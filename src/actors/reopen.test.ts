import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { AppError } from "../lib/errors";
import type { ConversationId } from "../protocol/ids";
import type { PlacedActor } from "./actor";
import { allPartitions } from "./local-placement";
import { reopenAll, reopenInFlightMax } from "./reopen";

const actor: PlacedActor = { receive: () => undefined, passivate: async () => true, abort: () => undefined };

/** Open conversations, a router that activates what it is told when the test says so, and a running reopening. */
function reopening(
  count: number,
  given: { listOpenFails?: number; active?: readonly number[]; recent?: readonly number[] } = {},
) {
  const clock = new VirtualClock();
  const ids = Array.from({ length: count }, (_, i) => `g${String(i).padStart(22, "0")}` as ConversationId);
  const told: string[] = [];
  const active = new Set<string>(given.active?.map((i) => ids[i] as string));
  const recent = new Set<string>(given.recent?.map((i) => ids[i] as string));
  const delays: number[] = [];
  const abort = new AbortController();
  let done: number | null = null;
  let failures = given.listOpenFails ?? 0;
  void reopenAll({
    clock,
    partitions: () => allPartitions,
    signal: abort.signal,
    onDelay: (_failed, retryMs) => void delays.push(retryMs),
    router: {
      tell: (_kind, key) => void told.push(key),
      peek: (_kind, key) => (active.has(key) ? actor : null),
      recentlyActive: (_kind, key) => recent.has(key),
    },
    store: {
      async listOpen(_partitions, after, limit) {
        if (failures-- > 0) throw new AppError("store_unavailable");
        return ids.filter((id) => after === null || id > after).slice(0, limit);
      },
    },
  }).then((reopened) => {
    done = reopened;
  });
  clock.settle();
  return { clock, told, active, recent, delays, abort, done: () => done };
}

test("every open conversation is told once, a bounded number at a time", () => {
  const { clock, told, active, done } = reopening(600);
  let seen = 0;
  while (done() === null) {
    expect(told.length - seen).toBeLessThanOrEqual(reopenInFlightMax);
    seen = told.length;
    for (const key of told) active.add(key);
    clock.advance(10);
  }

  expect(done()).toBe(600);
  expect(new Set(told).size).toBe(600);
  expect(told).toHaveLength(600);
});

test("one that is active already is left alone", () => {
  const { clock, told, active, done } = reopening(3, { active: [1] });
  expect(told.map((key) => key.at(-1))).toEqual(["0", "2"]);
  for (const key of told) active.add(key);
  clock.advance(10);

  expect(done()).toBe(2);
});

test("one whose activation ended here under an older epoch is told, and waited for until it is active again", () => {
  const { clock, told, active, done } = reopening(1, { recent: [0] });
  expect(told).toHaveLength(1);
  clock.advance(20);
  expect(done()).toBeNull();

  active.add(told[0] ?? "");
  clock.advance(10);
  expect(done()).toBe(1);
});

test("one that was active and ended again since it was told is done", () => {
  const { clock, told, recent, done } = reopening(1);
  recent.add(told[0] ?? "");
  clock.advance(10);
  expect(done()).toBe(1);
});

test("while the store is away it waits, longer each time, and goes on", () => {
  const { clock, told, delays } = reopening(1, { listOpenFails: 3 });
  clock.advance(10_000);

  expect(delays.slice(0, 3)).toEqual([1000, 2000, 4000]);
  expect(told.length).toBeGreaterThan(0);
});

test("a conversation that does not become active is told again in a later pass", () => {
  const { clock, told, active, done } = reopening(2);
  active.add(told[0] ?? "");
  clock.advance(5000);
  expect(done()).toBeNull();
  clock.advance(1100);
  expect(told).toHaveLength(3);

  active.add(told[1] ?? "");
  clock.advance(10);

  expect(told[2]).toBe(told[1] ?? "");
  expect(done()).toBe(2);
});

test("it ends early when aborted", () => {
  const { clock, abort, done } = reopening(100);
  abort.abort();
  clock.advance(0);

  expect(done()).toBe(0);
});
