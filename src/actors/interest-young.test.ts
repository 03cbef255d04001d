import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { YoungItems, youngLimits } from "./interest-young";

const item = (text: string) => () => ["x", text] as const;

test("what was said since a partition came is kept for those who register soon, by key", () => {
  const young = new YoungItems(new VirtualClock());
  young.begin(7);
  young.note(7, "a", item("1"));
  young.note(7, "b", item("2"));
  young.note(8, "a", item("3"));
  expect([young.since(7, ["a", "c"]), young.since(7, ["c"])]).toEqual([[["x", "1"]], []]);
});

test("later, or where there was more than is kept, nobody can tell", () => {
  const clock = new VirtualClock();
  const young = new YoungItems(clock);
  young.begin(7);
  expect([young.since(7, ["a"]), young.since(8, ["a"])]).toEqual([[], null]);
  for (let at = 0; at <= youngLimits.itemsMax; at++) young.note(7, "a", item("1"));
  expect(young.since(7, ["a"])).toBeNull();
  young.begin(7);
  young.note(7, "a", item("1"));
  expect(young.since(7, ["a"])).toEqual([["x", "1"]]);
  clock.advance(youngLimits.forMs);
  young.note(7, "a", item("2"));
  expect(young.since(7, ["a"])).toBeNull();
});

test("a partition that comes again begins afresh, for its full time", () => {
  const clock = new VirtualClock();
  const young = new YoungItems(clock);
  young.begin(7);
  clock.advance(youngLimits.forMs / 2);
  young.begin(7);
  clock.advance(youngLimits.forMs / 2 + 1);
  expect(young.since(7, ["a"])).toEqual([]);
});
