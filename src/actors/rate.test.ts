import { expect, test } from "bun:test";
import { Rate } from "./rate";

const rule = { perSecond: 10, burst: 3 };

test("takes a burst at once, then refuses and says how long to wait", () => {
  const rate = new Rate(rule, 0);
  expect([1, 2, 3].map(() => rate.take(rule, 0))).toEqual([0, 0, 0]);
  const wait = rate.take(rule, 0);
  expect(wait).toBe(200);
  expect(rate.take(rule, wait)).toBe(0);
});

test("fills up to the burst and no further", () => {
  const rate = new Rate(rule, 0);
  const answers = [1, 2, 3, 4].map(() => rate.take(rule, 3_600_000));
  expect(answers.map((wait) => wait > 0)).toEqual([false, false, false, true]);
});

test("calls it a flood when a whole burst of refusals was ignored", () => {
  const rate = new Rate(rule, 0);
  const floods = [1, 2, 3, 4, 5, 6, 7].map(() => {
    rate.take(rule, 0);
    return rate.flooded(rule);
  });
  expect(floods).toEqual([false, false, false, false, false, false, true]);
});
