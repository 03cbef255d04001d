import { expect, test } from "bun:test";
import { PersonRate, Rate } from "./rate";

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

test("what was spent elsewhere is charged, down to a debt of a second, and a tenth of the rate is kept", () => {
  const rate = new PersonRate(rule, 0);
  rate.charge(rule, 1, 0);
  expect([1, 2].map(() => rate.take(rule, 0))).toEqual([0, 0]);
  expect(rate.take(rule, 0)).toBe(100);
  const lied = new PersonRate(rule, 0);
  lied.charge(rule, 1e9, 0);
  expect(lied.take(rule, 0)).toBe(700); // 0.3 of the kept part is there, and 1 a second comes
  expect(lied.take(rule, 700)).toBe(0);
  expect(lied.take(rule, 1_100)).toBe(0);
});

test("others' word narrows a rate and never widens it", () => {
  const [alone, charged] = [new PersonRate(rule, 0), new PersonRate(rule, 0)];
  charged.charge(rule, 0, 0);
  for (const now of [0, 0, 0, 0, 10, 150, 400, 400, 400, 400, 400, 9_000])
    expect(charged.take(rule, now)).toBeGreaterThanOrEqual(alone.take(rule, now));
});
