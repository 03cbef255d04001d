import { expect, test } from "bun:test";
import {
  anything,
  BadField,
  freeMap,
  integer,
  list,
  nameText,
  oneOf,
  optional,
  record,
  reserved,
  text,
  tuple,
  userId,
  utf8Length,
  weigh,
} from "./fields";
import type { Field } from "./fields";
import { encode } from "./codec";
import { limits } from "./limits";
import { messageBody, operations } from "./operations";

function refusal(field: Field<unknown>, value: unknown): BadField {
  try {
    field.read(value);
  } catch (error) {
    if (error instanceof BadField) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

test("text is measured in bytes of UTF-8 and never holds half a character", () => {
  expect(text(4).read("éé")).toBe("éé");
  expect(refusal(text(4), "ééé").code).toBe("too_large");
  expect(refusal(text(4, 1), "").code).toBe("bad_request");
  expect(refusal(text(10), "\ud800").code).toBe("bad_request");
  for (const one of ["", "a", "é", "€", "👋", "aé€👋"]) expect(utf8Length(one)).toBe(Buffer.byteLength(one));
});

test("names come out normalized and without control characters, measured as they come out", () => {
  expect(nameText(10).read("e\u0301")).toBe("é");
  for (const name of ["a\nb", "a\u0000", "\u2028", "\u009f"])
    expect(refusal(nameText(10), name).code).toBe("bad_request");
  expect(refusal(nameText(4), "\u0958\u0958").code).toBe("too_large"); // three bytes each, six when normalized
});

test("integers may come as whole floats, minus zero comes out as zero", () => {
  expect(integer(0, 10).read(3)).toBe(3);
  expect(Object.is(integer(0, 10).read(-0), 0)).toBeTrue();
  for (const value of [-1, 11, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "3", null, true, 3n])
    expect(refusal(integer(0, 10), value).code).toBe("bad_request");
});

test("user ids have their letters and are not the server's own", () => {
  expect(userId.read("ada@example.com|7") as string).toBe("ada@example.com|7");
  for (const value of ["", "a b", "é", "parley:system", "a".repeat(129), 7, null])
    expect(refusal(userId, value).code).toBe("bad_request");
});

test("a refusal says where in the arguments it stands", () => {
  const inner = list(tuple(integer(0, 9), optional(record({ name: text(3) }))), 5);

  expect(refusal(inner, [[1], [2, { name: "long" }]]).path).toBe("[1][1].name");
  expect(refusal(inner, [[1], ["x"]]).path).toBe("[1][0]");
  expect(refusal(inner, "x").path).toBe("");
});

test("tuples ignore what they do not know and read what is missing as nil", () => {
  const pair = tuple(integer(0, 9), optional(text(3)));

  expect(pair.read([1, "a", "later"])).toEqual([1, "a"]);
  expect(pair.read([1])).toEqual([1, null]);
  expect(refusal(pair, { 0: 1 }).code).toBe("bad_request");
});

test("records keep absent keys absent, ignore unknown ones and take nothing from a prototype", () => {
  const some = record({ name: optional(text(3)), toString: optional(text(3)), later: reserved });

  expect<unknown>(some.read({ name: null, other: 1 })).toEqual({ name: null });
  expect(some.read({ later: null })).toEqual({});
  expect(refusal(some, { later: 1 }).code).toBe("reserved");
  expect(some.read(JSON.parse('{"__proto__": {"name": "x"}}'))).toEqual({});
  for (const value of [[], null, "x", new Uint8Array(1)]) expect(refusal(some, value).code).toBe("bad_request");
});

test("one of some names is exactly one of them", () => {
  expect(oneOf("a", "b").read("a")).toBe("a");
  for (const value of ["A", "c", 0, null, ["a"]]) expect(refusal(oneOf("a", "b"), value).code).toBe("bad_request");
});

test("free data is bounded in bytes and in depth, and its weight is never below its encoding", () => {
  const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);

  expect(anything(1000).read(nested(limits.valueNestingMax))).toEqual(nested(limits.valueNestingMax));
  expect(refusal(anything(1000), nested(limits.valueNestingMax + 1)).code).toBe("bad_request");
  expect(refusal(anything(10), "x".repeat(11)).code).toBe("too_large");
  expect(refusal(freeMap(10), { key: "x".repeat(11) }).code).toBe("too_large");
  for (const value of [
    0,
    2 ** 53 - 1,
    1.5,
    "é".repeat(200),
    [1, [2]],
    { a: { b: new Uint8Array(70_000) } },
    null,
    true,
  ])
    expect(weigh(value)).toBeGreaterThanOrEqual(encode(value).length);
});

test("a body comes out without trailing nils, whatever its length came in", () => {
  expect(messageBody.read(["hi"])).toEqual(["hi"]);
  expect(messageBody.read(["hi", null, null, null, null, null, null, "later"])).toEqual(["hi"]);
  expect<unknown>(messageBody.read([null, ["t", null]])).toEqual([null, ["t", null]]);
  expect(messageBody.read([])).toEqual([]);
});

test("the parts of a body are bounded together", () => {
  const attachment = { data: "x".repeat(limits.fieldsBytesMax - 100) };
  const fits = Math.floor(limits.bodyBytesMax / limits.fieldsBytesMax);

  expect(messageBody.read([null, null, Array(fits).fill(attachment)]).length).toBe(3);
  expect(refusal(messageBody, ["x".repeat(10_000), null, Array(fits).fill(attachment)]).code).toBe("too_large");
});

test("no argument of any operation takes a value of a wrong type", () => {
  const wrong = [true, -1, 1.5, Number.NaN, "\ud800", new Uint8Array(3), [[[]]], { unknown: { deep: 1 } }];
  for (const [name, { args }] of Object.entries(operations))
    for (const [i, field] of (args as readonly Field<unknown>[]).entries())
      expect([name, i, wrong.some((value) => refuses(field, value))]).toEqual([name, i, true]);
});

function refuses(field: Field<unknown>, value: unknown): boolean {
  try {
    field.read(value);
    return false;
  } catch (error) {
    return error instanceof BadField;
  }
}
