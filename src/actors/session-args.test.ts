import { describe, expect, test } from "bun:test";
import { toAppError } from "../lib/errors";
import { limits } from "../protocol/limits";
import type { OperationName } from "../protocol/operations";
import { readArgs, readDeadline } from "./session-args";

const group = "gAAAAAAAAAAAAAAAAAAAAAA";
const many = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);
const letters = (bytes: number): string => "x".repeat(bytes);
/** A value that weighs so many bytes: see `weigh` of fields.ts, which counts five for each text and each container. */
const mapOf = (bytes: number) => ({ k: letters(bytes - 16) });
const body = (text: string | null, ...parts: readonly unknown[]) => [group, [["id", [text, ...parts]]]];

type Case = readonly [operation: OperationName, args: (size: number) => readonly unknown[], code: string];

/** Each limit of arguments: what is exactly as large as it is taken, one more is refused. */
const cases: Partial<Record<keyof typeof limits, readonly Case[]>> = {
  textBytesMax: [["send", (size) => body(letters(size)), "too_large"]],
  bodyBytesMax: [["send", (size) => body(null, ["t", letters(size - 20)]), "too_large"]],
  sendItemsMax: [["send", (size) => [group, many(size, ["id", ["x"]])], "too_large"]],
  attachmentsMax: [["send", (size) => body("x", null, many(size, {})), "too_large"]],
  mentionsMax: [["send", (size) => body("x", null, null, null, many(size, "bob")), "too_large"]],
  fieldsBytesMax: [
    ["send", (size) => body("x", null, null, null, null, mapOf(size)), "too_large"],
    ["send", (size) => body("x", null, [mapOf(size)]), "too_large"],
    ["create", (size) => ["group", "id", { fields: mapOf(size) }], "too_large"],
  ],
  dataTypeBytesMax: [["send", (size) => body("x", [letters(size), 1]), "too_large"]],
  nameBytesMax: [["update", (size) => [group, "id", { name: letters(size) }], "too_large"]],
  pictureBytesMax: [["update", (size) => [group, "id", { picture: letters(size) }], "too_large"]],
  clientIdBytesMax: [
    ["send", (size) => [group, [[letters(size), ["x"]]]], "too_large"],
    ["join", (size) => [group, letters(size)], "too_large"],
  ],
  namedPeopleMax: [
    ["create", (size) => ["group", "id", null, many(size, "bob")], "too_large"],
    ["add", (size) => [group, "id", many(size, "bob")], "too_large"],
    ["remove", (size) => [group, "id", many(size, "bob")], "too_large"],
  ],
  syncPageMax: [
    ["sync", (size) => [null, many(size, [group, 1])], "too_large"],
    ["list", (size) => [null, size], "bad_request"],
  ],
  pageMax: [
    ["history", (size) => [group, "before", null, size], "bad_request"],
    ["entries", (size) => [group, 1, size], "bad_request"],
  ],
  peoplePageMax: [
    ["members", (size) => [group, null, size], "bad_request"],
    ["readers", (size) => [group, 1, null, size], "bad_request"],
    ["feed", (size) => [0, size], "bad_request"],
  ],
  watchMax: [["watch", (size) => [many(size, "bob")], "too_large"]],
  openMax: [["open", (size) => [many(size, group)], "too_large"]],
  signalBytesMax: [["signal", (size) => [group, "typing", letters(size - 5)], "too_large"]],
  tokenBytesMax: [["hello", (size) => [1, letters(size), "device"], "too_large"]],
};

/** Where the other limits are tested. A limit that stands nowhere fails the test below. */
const elsewhere: Partial<Record<keyof typeof limits, string>> = {
  frameBytesMax: "test/protocol/connecting.test.ts",
  messageFramesMax: "src/protocol/codec.test.ts",
  nestingMax: "src/protocol/codec.test.ts",
  valueNestingMax: "src/protocol/fields.test.ts",
  entryPeopleMax: "src/actors/conversation-rules.test.ts",
  membersMax: "src/actors/conversation-rules.test.ts",
  pageBytesMax: "src/actors/conversation-rules.test.ts",
  receiptMembersMax: "src/actors/conversation-rules.test.ts",
  conversationsPerUserMax: "src/actors/conversation.test.ts",
  resumeEntriesMax: "src/actors/sync.test.ts",
  devicesPerUserMax: "src/actors/user.test.ts",
};

function codeOf(read: () => unknown): string {
  try {
    read();
    return "ok";
  } catch (thrown) {
    return toAppError(thrown).code;
  }
}

describe("what is as large as its limit is taken, and one more is refused:", () => {
  for (const [name, ofLimit] of Object.entries(cases))
    for (const [operation, args, code] of ofLimit)
      test(`${name} in ${operation}`, () => {
        const max = limits[name as keyof typeof limits];
        expect(codeOf(() => readArgs(operation, args(max)))).toBe("ok");
        expect(codeOf(() => readArgs(operation, args(max + 1)))).toBe(code);
      });

  test("metaBytesMax in any request", () => {
    expect(codeOf(() => readDeadline(mapOf(limits.metaBytesMax)))).toBe("ok");
    expect(codeOf(() => readDeadline(mapOf(limits.metaBytesMax + 1)))).toBe("too_large");
  });
});

test("every limit of the wire is tested here or where the list says", async () => {
  const rest = Object.keys(limits).filter((name) => !(name in cases) && name !== "metaBytesMax");
  expect(rest.filter((name) => !(name in elsewhere))).toEqual([]);
  for (const [name, file] of Object.entries(elsewhere))
    expect([name, (await Bun.file(`${import.meta.dir}/../../${file}`).text()).includes(name)]).toEqual([name, true]);
});

test("names are kept in NFC, and none holds a control character", () => {
  const named = (name: string) => readArgs("update", [group, "id", { name }])[2].name;
  expect(named("Cafe\u0301")).toBe("Caf\u00e9");
  expect(codeOf(() => named("a\u0007b"))).toBe("bad_request");
  expect(codeOf(() => named("\ud800"))).toBe("bad_request");
});

test("a thread's parent is reserved", () => {
  expect(codeOf(() => readArgs("create", ["group", "id", { parent: [group, 1] }]))).toBe("reserved");
});
