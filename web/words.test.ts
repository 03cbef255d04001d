import { expect, test } from "bun:test";
import { badge, dayLabel, initials, names, plural, tint } from "./words";

test("a list of names stays short and reads as a sentence", () => {
  expect([[], ["ann"], ["ann", "bob"], ["ann", "bob", "cleo", "dora"]].map((list) => names(list))).toEqual([
    "",
    "ann",
    "ann and bob",
    "ann, bob, cleo and dora",
  ]);
  expect(names(["ann", "bob", "cleo", "dora", "emil"])).toBe("ann, bob, cleo and 2 others");
});

test("days near to now have names, others a date", () => {
  const now = new Date(2026, 4, 12, 9).getTime();
  expect(dayLabel(new Date(2026, 4, 12, 0, 1).getTime(), now)).toBe("Today");
  expect(dayLabel(new Date(2026, 4, 11, 23, 59).getTime(), now)).toBe("Yesterday");
  expect(dayLabel(new Date(2025, 4, 12).getTime(), now)).toContain("2025");
});

test("yesterday is found across a change of the clocks", () => {
  const now = new Date(2026, 2, 29, 12).getTime();
  expect(dayLabel(new Date(2026, 2, 28, 0, 30).getTime(), now)).toBe("Yesterday");
});

test("initials come from the first and last word, whole characters of any script", () => {
  expect(["bob", "Jürgen.K", "dora@yard", "😀smile", "", "мария"].map(initials)).toEqual([
    "B",
    "JK",
    "DY",
    "😀",
    "?",
    "М",
  ]);
});

test("a tint is stable and within the palette", () => {
  const tints = ["ann", "bob", "cleo", "dora", "emil", "🙂"].map((name) => tint(name, 8));
  expect(tints.every((one) => Number.isInteger(one) && one >= 0 && one < 8)).toBe(true);
  expect(tint("ann", 8)).toBe(tint("ann", 8));
  expect(new Set(tints).size).toBeGreaterThan(2);
});

test("counts are narrow and agree with their noun", () => {
  expect([badge(99), badge(100), plural(1, "member"), plural(2, "member")]).toEqual([
    "99",
    "99+",
    "1 member",
    "2 members",
  ]);
});
