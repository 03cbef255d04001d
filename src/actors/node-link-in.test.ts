import { expect, test } from "bun:test";
import { LinkIn } from "./node-link-in";

test("numbers in a row miss nothing; a jump is a gap, and what belongs into it comes late", () => {
  const link = new LinkIn();
  expect(link.told(7)).toBe("same");
  expect([8, 9, 11, 10, 12].map((number) => link.message(number))).toEqual(["next", "next", "gap", "late", "next"]);
});

test("a first message before anything was told may follow one that was lost", () => {
  expect(new LinkIn().message(5)).toBe("gap");
});

test("a sender that says another number than was heard last has sent something that is missing, or begins anew", () => {
  const link = new LinkIn();
  link.told(3);
  expect([link.told(3), link.told(5), link.message(6), link.told(2), link.message(3)]).toEqual([
    "same",
    "gap",
    "next",
    "gap",
    "next",
  ]);
});

test("a sender that has forgotten the link has forgotten what was registered", () => {
  const link = new LinkIn();
  expect(link.told(null)).toBe("same");
  link.told(3);
  expect([link.told(null), link.told(null)]).toEqual(["gap", "same"]);
});

test("a number in an answer may be older than messages that overtook it", () => {
  const link = new LinkIn();
  link.told(3);
  link.message(4);
  expect([link.toldOnce(3), link.toldOnce(4), link.toldOnce(6), link.message(7)]).toEqual([
    "same",
    "same",
    "gap",
    "next",
  ]);
});
