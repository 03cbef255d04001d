// A deadline ends the wait, not the work, and leaves no timer behind.
import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { within } from "./deadline";

test("what comes in time is answered as it came, and the timer is gone", async () => {
  const clock = new VirtualClock();
  expect(await within(clock, 1000, Promise.resolve(7), "late")).toBe(7);
  await expect(within(clock, 1000, Promise.reject(new Error("broken")), "late")).rejects.toThrow("broken");
  expect(clock.pending).toBe(0);
});

test("what does not come in time is rejected as unavailable, and whatever comes later is dropped", async () => {
  const clock = new VirtualClock();
  const work = Promise.withResolvers<number>();
  const waiting = within(clock, 1000, work.promise, "the database does not answer");
  clock.advance(1000);
  await expect(waiting).rejects.toMatchObject({ code: "store_unavailable" });
  await expect(waiting).rejects.toThrow("the database does not answer");
  work.reject(new Error("too late"));
});
