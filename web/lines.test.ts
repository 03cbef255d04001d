import { expect, test } from "bun:test";
import type { Message } from "../src/client/types";
import { arrange } from "./lines";

const noon = new Date(2026, 4, 12, 12).getTime();
const minute = 60_000;

function message(sender: string, seq: number, time: number): Message {
  return { key: `m${seq}`, sender, seq, time, mine: sender === "ann" } as Message;
}

function shape(messages: readonly Message[], newAfter: number | null = null): readonly string[] {
  return arrange(messages, newAfter).map((line) => {
    if (line.kind !== "message") return line.kind;
    return `${line.message.key}${line.first ? " first" : ""}${line.last ? " last" : ""}`;
  });
}

test("messages of one sender within five minutes are one run", () => {
  const talk = [message("bob", 1, noon), message("bob", 2, noon + minute), message("ann", 3, noon + 2 * minute)];
  expect(shape(talk)).toEqual(["day", "m1 first", "m2 last", "m3 first last"]);
});

test("a pause of five minutes begins another run", () => {
  expect(shape([message("bob", 1, noon), message("bob", 2, noon + 5 * minute)])).toEqual([
    "day",
    "m1 first last",
    "m2 first last",
  ]);
});

test("a new day begins with its name and another run", () => {
  const midnight = new Date(2026, 4, 13).getTime();
  expect(shape([message("bob", 1, midnight - 1), message("bob", 2, midnight)])).toEqual([
    "day",
    "m1 first last",
    "day",
    "m2 first last",
  ]);
});

test("the mark stands before the first message of others after what was read", () => {
  const talk = [message("bob", 1, noon), message("ann", 2, noon), message("bob", 3, noon), message("bob", 4, noon)];
  expect(shape(talk, 1)).toEqual(["day", "m1 first last", "m2 first last", "new", "m3 first", "m4 last"]);
});

test("there is no mark when only my own messages came after what was read", () => {
  expect(shape([message("bob", 1, noon), message("ann", 2, noon)], 1)).not.toContain("new");
});
