import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { YoungItems, youngLimits } from "./interest-young";

/** Notes that `text` was said for a key, about something. */
function note(young: YoungItems, key: string, about: string, text: string): void {
  young.note(
    7,
    key,
    () => about,
    () => ["x", text],
  );
}

test("of what was said since a partition came the newest is kept for those who register soon, by key", () => {
  const young = new YoungItems(new VirtualClock());
  young.begin(7);
  note(young, "a", "mark of ann", "1");
  note(young, "a", "mark of bob", "2");
  note(young, "a", "mark of ann", "3");
  note(young, "b", "mark of ann", "4");
  expect(young.since(7, ["a", "c"])).toEqual([
    ["x", "3"],
    ["x", "2"],
  ]);
  expect(young.since(7, ["c"])).toEqual([]);
});

test("later, or where there was more than is kept, nobody can tell", () => {
  const clock = new VirtualClock();
  const young = new YoungItems(clock);
  young.begin(7);
  expect([young.since(7, ["a"]), young.since(8, ["a"])]).toEqual([[], null]);
  for (let at = 0; at <= youngLimits.itemsMax; at++) note(young, "a", `${at}`, "1");
  expect(young.since(7, ["a"])).toBeNull();
  young.begin(7);
  note(young, "a", "", "1");
  expect(young.since(7, ["a"])).toEqual([["x", "1"]]);
  clock.advance(youngLimits.forMs);
  note(young, "a", "", "2");
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
