import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { LostActivations } from "./lost-activations";

test("an actor is activated again and again until an activation takes over", async () => {
  const clock = new VirtualClock();
  const reopened: string[] = [];
  const lost = new LostActivations(clock, (key) => reopened.push(key) > 0);
  lost.lost("a", 7);
  clock.advance(1_200);
  expect(reopened).toEqual(["a", "a", "a"]);
  expect(await lost.takeOver("a", async (after) => after)).toBe(7);
  clock.advance(1_200);
  expect(reopened).toEqual(["a", "a", "a"]);
  expect(clock.pending).toBe(0);
});

test("after a stop no timer is left, and what ends later starts none", () => {
  const clock = new VirtualClock();
  const reopened: string[] = [];
  const lost = new LostActivations(clock, (key) => reopened.push(key) > 0);
  lost.lost("a", 1);
  lost.stop();
  expect(clock.pending).toBe(0);
  lost.lost("b", 2);
  clock.advance(10_000);
  expect(reopened).toEqual(["a"]);
  expect(clock.pending).toBe(0);
});

test("what another node owns by now is forgotten, for its opening finds what is left", () => {
  const clock = new VirtualClock();
  let here = true;
  let told = 0;
  const lost = new LostActivations(clock, () => {
    told += 1;
    return here;
  });
  lost.lost("a", 1);
  here = false;
  clock.advance(1_200);
  expect(told).toBe(2);
  expect(clock.pending).toBe(0);
});
