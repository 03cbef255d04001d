import { expect, test } from "bun:test";
import { RecentMax } from "./recent-max";

test("the largest value is remembered for a while, and no longer", () => {
  let now = 0;
  const lag = new RecentMax(1_000, () => now);
  expect(lag.max).toBe(0);
  for (const value of [3, 7, 5]) lag.add(value);
  expect(lag.max).toBe(7);
  now = 1_500;
  lag.add(2);
  expect(lag.max).toBe(7);
  now = 2_600;
  expect(lag.max).toBe(2);
  now = 9_000;
  expect(lag.max).toBe(0);
});
