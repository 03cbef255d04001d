import { expect, test } from "bun:test";
import {
  MalformedFrame,
  decode,
  decodeFrames,
  encode,
  encodeEntriesPush,
  encodeEntry,
  encodeError,
  encodePush,
  encodeReply,
  packMessages,
} from "./codec";
import type { EntryTuple } from "./entry";
import type { ClientId, ConversationId, UserId } from "./ids";
import { limits } from "./limits";

const conversation = "gpHk7wYxJv0m2c8QeR5tZ_A" as ConversationId;
const entry = (seq: number, text: string): EntryTuple => [
  seq,
  seq,
  1,
  true,
  1767225600000,
  "ada" as UserId,
  null,
  `c${seq}` as ClientId,
  null,
  [text],
];
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const fromHex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));

test("integers are written as integers in the shortest form, to either end of what is safe, inside maps too", () => {
  expect(hex(encode([0, 127, 128, 65535, 65536, 4294967295]))).toBe("96007fcc80cdffffce00010000ceffffffff");
  expect(hex(encode({ at: 4294967296 }))).toBe("81a26174cf0000000100000000");
  expect(hex(encode(Number.MAX_SAFE_INTEGER))).toBe("cf001fffffffffffff");
  expect(hex(encode(Number.MIN_SAFE_INTEGER))).toBe("d3ffe0000000000001");
  expect(hex(encode([-1, -32, -33, -129, -32769, -2147483649]))).toBe("96ffe0d0dfd1ff7fd2ffff7fffd3ffffffff7fffffff");
  expect(hex(encode([-0, 1234567890123n]))).toBe("9200cf0000011f71fb04cb");
});

test("undefined is nil in a list and left out of a map", () => {
  expect(hex(encode([undefined, { a: undefined, b: 1 }]))).toBe("92c081a16201");
});

test("text keeps every code point, a byte order mark included, at every size of head", () => {
  for (const unit of ["a", "é", "€", "👋", "\ufeff"])
    for (const count of [1, 7, 8, 10, 15, 16, 31, 32, 85, 86, 255, 256, 21845, 21846, 65535, 65536]) {
      const text = unit.repeat(count);
      const bytes = encode(text);
      expect(decode(bytes) === text).toBeTrue();
      expect(Buffer.from(bytes).subarray(-Buffer.byteLength(text)).toString() === text).toBeTrue();
    }
});

test("a lone surrogate leaves as the replacement character", () => {
  for (const text of ["\ud800", `${"x".repeat(40)}\udc00`]) expect(decode(encode(text))).toBe(text.toWellFormed());
});

test("a value that has no form on the wire is a TypeError, one that contains itself a RangeError", () => {
  const loop: unknown[] = [];
  loop.push(loop);

  for (const value of [() => 1, Symbol("s"), new Date(0), new Map(), 2n ** 53n])
    expect(() => encode([value])).toThrow(TypeError);
  expect(() => encode(loop)).toThrow(RangeError);
  expect(hex(encode([1]))).toBe("9101"); // what was begun before the throw is gone
});

test("encoded bytes are not touched by what is encoded later", () => {
  const first = encode(["first"]);
  const before = hex(first);
  encode(["y".repeat(100_000)]);
  encode(["other"]);

  expect(hex(first)).toBe(before);
  expect(first.buffer.byteLength).toBe(first.length);
});

test("decoded binary is a copy of its own", () => {
  const message = encode([0, new Uint8Array([1, 2, 3])]);
  const [, data] = decode(message) as [number, Uint8Array];
  message.fill(0);

  expect(data).toEqual(new Uint8Array([1, 2, 3]));
});

test("a key named __proto__ is a key like any other and changes no prototype", () => {
  const value = decode(fromHex("81 a9 5f5f70726f746f5f5f 81 a5 61646d696e c3")) as Record<string, unknown>;

  expect(Object.keys(value)).toEqual(["__proto__"]);
  expect("admin" in value).toBeFalse();
  expect(hex(encode(value))).toBe("81a95f5f70726f746f5f5f81a561646d696ec3");
});

test("a view into a larger buffer is read from its own start to its own end", () => {
  const whole = new Uint8Array([0xff, 0x92, 0xcd, 0x01, 0x00, 0x05, 0xff]);

  expect(decodeFrames(whole.subarray(1, 6))).toEqual([[256, 5]]);
  expect(() => decodeFrames(whole.subarray(1, 5))).toThrow(MalformedFrame);
});

test("replies, errors and pushes open with their type", () => {
  expect(decodeFrames(encodeReply(7, [3]))).toEqual([[1, 7, [3]]]);
  expect(decodeFrames(encodeError(7, ["slow_down", "wait", "retry", 10, null]))).toEqual([
    [2, 7, ["slow_down", "wait", "retry", 10, null]],
  ]);
  expect(decodeFrames(encodePush("cursor", conversation, [3, 2, 1], 0))).toEqual([
    [3, "cursor", conversation, [3, 2, 1], 0],
  ]);
});

test("a push of encoded entries is the push of the entries, few or many", () => {
  for (const count of [0, 1, 15, 16, 300]) {
    const entries = Array.from({ length: count }, (_, i) => entry(i + 1, "x".repeat(i)));
    const push = encodeEntriesPush(conversation, entries.map(encodeEntry));
    expect(hex(push)).toBe(hex(encodePush("entries", conversation, entries)));
  }
});

test("frames are packed in order into messages within both limits", () => {
  const small = Array.from({ length: limits.messageFramesMax + 1 }, (_, i) => encodeReply(i, []));
  const large = Array.from({ length: 3 }, (_, i) => encodeReply(i, new Uint8Array(limits.frameBytesMax / 2)));

  expect(packMessages(small).map((message) => decodeFrames(message).length)).toEqual([limits.messageFramesMax, 1]);
  expect(
    packMessages(small)
      .flatMap(decodeFrames)
      .map(([, id]) => id),
  ).toEqual(small.map((_, i) => i));
  expect(packMessages(large).map((message) => decodeFrames(message).length)).toEqual([1, 1, 1]);
  expect(packMessages([])).toEqual([]);
});

const refused: Readonly<Record<string, string>> = {
  "no frame at all": "",
  "a frame that is no array": "81 a1 61 01",
  "bytes after the last frame": "90 c0",
  "an array that is cut": "92 01",
  "text that is cut": "91 a5 61",
  "a count that the bytes cannot hold": "dd ff ff ff ff",
  "a map that the bytes cannot hold": "91 df 7f ff ff ff",
  "binary that the bytes cannot hold": "91 c6 ff ff ff ff",
  "a head without its length": "91 da 01",
  "an integer without its bytes": "91 cf 00 00",
  "the head that is never used": "91 c1",
  "ext 8": "91 c7 01 01 00",
  "fixext 1": "91 d4 00 00",
  "a timestamp": "91 d6 ff 00 00 00 00",
  "a key that is a number": "91 81 01 01",
  "a key that is an array": "91 81 90 01",
  "an overlong slash": "91 a2 c0 af",
  "a surrogate": "91 a3 ed a0 80",
  "a code point past the last": "91 a4 f4 90 80 80",
  "a lone continuation byte": "91 a1 80",
  "a sequence that is cut": "91 a2 e2 82",
  "2^53": "91 cf 00 20 00 00 00 00 00 00",
  "2^64 − 1": "91 cf ff ff ff ff ff ff ff ff",
  "−2^53": "91 d3 ff e0 00 00 00 00 00 00",
  "−2^63": "91 d3 80 00 00 00 00 00 00 00",
  "2^62 as a signed integer": "91 d3 40 00 00 00 00 00 00 00",
};

for (const [what, bytes] of Object.entries(refused))
  test(`refuses ${what}`, () => {
    expect(() => decodeFrames(fromHex(bytes))).toThrow(MalformedFrame);
  });

test("accepts every integral encoding, and floats", () => {
  const bytes =
    "99 cc 01 cd 0001 ce 00000001 cf 0000000000000001 d0 01 d1 0001 d2 00000001 d3 0000000000000001 ca 3f800000";

  expect(decodeFrames(fromHex(bytes))).toEqual([[1, 1, 1, 1, 1, 1, 1, 1, 1]]);
  expect(decodeFrames(fromHex("91 cb 3fe0000000000000"))).toEqual([[0.5]]);
});

test("nesting is taken to its limit and no further, in either kind", () => {
  const nested = (depth: number) => fromHex(`${"91".repeat(depth - 1)}90`);
  const maps = (depth: number) => fromHex(`91${"81a161".repeat(depth - 1)}c0`);

  expect(decodeFrames(nested(limits.nestingMax)).length).toBe(1);
  expect(decodeFrames(maps(limits.nestingMax)).length).toBe(1);
  expect(() => decodeFrames(nested(limits.nestingMax + 1))).toThrow(MalformedFrame);
  expect(() => decodeFrames(maps(limits.nestingMax + 1))).toThrow(MalformedFrame);
  expect(() => decodeFrames(new Uint8Array(limits.frameBytesMax).fill(0x91))).toThrow(MalformedFrame);
});

test("a message holds its most frames and no more", () => {
  expect(decodeFrames(new Uint8Array(limits.messageFramesMax).fill(0x90)).length).toBe(limits.messageFramesMax);
  expect(() => decodeFrames(new Uint8Array(limits.messageFramesMax + 1).fill(0x90))).toThrow(MalformedFrame);
});
