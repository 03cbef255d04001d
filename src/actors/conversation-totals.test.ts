import { expect, test } from "bun:test";
import type { StoreCall, StoreFault } from "../../test/sim/memory-store";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { ann, bob, cat, world } from "./conversation.case";

/** A conversation of three on a clock that the test moves, and what was written of its totals. */
async function timed(options: { readonly fault?: (kind: string) => StoreFault | null } = {}) {
  const clock = new VirtualClock();
  const writes: StoreCall[] = [];
  let steps = 0;
  const schedule = (step: () => void, call: StoreCall): void => {
    if (call.kind === "commit" && steps++ % 2 === 0) writes.push(call);
    queueMicrotask(step);
  };
  const parts = await world({ ...options, clock, schedule });
  const timers = clock.pending;
  /** Lets the clock run until it is answered. */
  const run = async <T>(asked: Promise<T>): Promise<T> => {
    let isDone = false;
    const done = (): void => {
      isDone = true;
    };
    asked.then(done, done);
    clock.runUntil(() => isDone, 1_000, "an answer");
    return asked;
  };
  const group = await run(parts.create("group", ann, "g", [bob, cat]));
  const log = () => parts.store.data.log(group);
  const stored = (): readonly number[] => [log()?.head.seq ?? 0, log()?.head.totalsThrough ?? 0];
  const withTotals = (): number =>
    writes.filter((call) => call.kind === "commit" && call.write.totals.length > 0).length;
  return { ...parts, clock, timers, run, group, log, stored, withTotals };
}

test("totals are written five seconds after an entry that they lack, where no other commit comes", async () => {
  const { clock, run, send, group, stored, log } = await timed();
  clock.advance(20_000);
  expect(stored()).toEqual([2, 2]);
  await run(send(group, ann, "a", "b"));
  clock.advance(4_900);
  expect(stored()).toEqual([4, 2]);
  clock.advance(200);
  expect(stored()).toEqual([4, 4]);
  expect(log()?.cursors.get(ann)?.total).toBe(2);
});

test("a busy conversation writes totals once in five seconds, with its entries", async () => {
  const { clock, run, send, group, withTotals, stored } = await timed();
  const before = withTotals();
  for (let i = 0; i < 200; i++) {
    await run(send(group, i % 2 ? ann : bob, `m${i}`));
    clock.advance(100);
  }
  const refreshes = withTotals() - before;
  expect(refreshes).toBeGreaterThanOrEqual(3);
  expect(refreshes).toBeLessThanOrEqual(5);
  const [seq, through] = stored() as [number, number];
  expect(seq - through).toBeLessThanOrEqual(51);
});

test("senders whose rows are not in memory are loaded for it, and their old counts stay", async () => {
  const { clock, run, send, restart, group, stored, log, row } = await timed();
  await run(send(group, ann, "a"));
  await run(send(group, bob, "b"));
  await run(restart());
  await run(send(group, ann, "c"));
  clock.advance(5_100);
  expect(stored()).toEqual([5, 5]);
  expect([log()?.cursors.get(ann)?.total, log()?.cursors.get(bob)?.total]).toEqual([2, 1]);
  expect((await run(row(group, ann))).myTotal).toBe(2);
});

test("totals that the store refuses are written later", async () => {
  let fault: StoreFault | null = null;
  const { clock, run, send, group, stored } = await timed({ fault: (kind) => (kind === "commit" ? fault : null) });
  await run(send(group, ann, "a"));
  fault = "refused";
  clock.advance(12_000);
  expect(stored()).toEqual([3, 0]);
  fault = null;
  clock.advance(5_100);
  expect(stored()).toEqual([3, 3]);
});

test("no timer is left once totals are written, nor after an activation ended", async () => {
  const { clock, run, send, group, timers, log } = await timed();
  await run(send(group, ann, "a"));
  expect(clock.pending).toBeGreaterThan(timers);
  clock.advance(11_000);
  expect(clock.pending).toBe(timers);
  await run(send(group, ann, "b"));
  clock.advance(4_000);
  expect(clock.pending).toBeGreaterThan(timers);
  clock.advance(61_000);
  expect(log()?.head).toMatchObject({ openEpoch: 0, totalsThrough: 4 });
  expect(clock.pending).toBe(timers);
});

test("an activation that passivates within the five seconds takes its timer along", async () => {
  const { clock, run, send, group, restart, timers } = await timed();
  await run(send(group, ann, "a"));
  await run(restart());
  clock.advance(1_500); // the router that was drained ends, fenced by the next
  expect(clock.pending).toBe(timers);
});
