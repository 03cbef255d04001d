// Hostile bytes: whatever arrives is either a frame with checked arguments or one of two known errors (G11).
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Packr } from "msgpackr";
import { MalformedFrame, decodeFrames, encode } from "../../src/protocol/codec";
import { BadField } from "../../src/protocol/fields";
import { operations } from "../../src/protocol/operations";
import { goldenFrames } from "../golden/golden";
import { NotStrict, strictFrames } from "./strict-decoder";

const golden = await goldenFrames();
const names = Object.keys(operations) as (keyof typeof operations)[];

/** Decodes as a session does and checks arguments; answers what became of it. Any other throw fails the test. */
function handle(bytes: Uint8Array): "malformed" | "bad" | "good" {
  let frames: readonly (readonly unknown[])[];
  try {
    frames = decodeFrames(bytes);
  } catch (error) {
    if (error instanceof MalformedFrame) return "malformed";
    throw error;
  }
  return frames.every(argumentsPass) ? "good" : "bad";
}

function argumentsPass(frame: readonly unknown[]): boolean {
  const name = names.find((one) => one === frame[2]);
  const args = frame[3];
  if (name === undefined || !Array.isArray(args)) return false;
  try {
    for (const [i, field] of operations[name].args.entries()) field.read(args[i]);
    return true;
  } catch (error) {
    if (error instanceof BadField) return false;
    throw error;
  }
}

function strictly(bytes: Uint8Array): unknown {
  try {
    return strictFrames(bytes);
  } catch (error) {
    if (error instanceof NotStrict) return "refused";
    throw error;
  }
}

/** The reader's verdict and the strict decoder's must be one. */
function agree(bytes: Uint8Array): "malformed" | "bad" | "good" {
  const outcome = handle(bytes);
  const strict = strictly(bytes);
  if ((outcome === "malformed") !== (strict === "refused")) throw new Error(`one of two decoders refuses: ${outcome}`);
  if (strict !== "refused" && !Bun.deepEquals(decodeFrames(bytes), strict)) throw new Error("the decoders differ");
  return outcome;
}

const value = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    fc.constantFrom(null, true, false, 0, -1, 1.5, "", "x", "ada", "gpHk7wYxJv0m2c8QeR5tZ_A", "__proto__", 2 ** 53 - 1),
    fc.maxSafeInteger(),
    fc.double(),
    fc.string({ unit: "binary", maxLength: 40 }),
    fc.uint8Array({ maxLength: 20 }),
    fc.array(tie("value"), { maxLength: 5 }),
    fc.dictionary(fc.string({ maxLength: 6 }), tie("value"), { maxKeys: 4 }),
  ),
})).value;

/** Changes of bytes: `[where, what]`; below 0 cuts there, from 256 on inserts, else overwrites. */
const edits = fc.array(
  fc.tuple(fc.nat(10_000), fc.oneof(fc.integer({ min: -1, max: 511 }), fc.constantFrom(0xc1, 0xc7, 0xdd, 0xdf, 0xd3))),
  {
    minLength: 1,
    maxLength: 4,
  },
);

function edited(bytes: Uint8Array, changes: readonly (readonly [number, number])[]): Uint8Array {
  let result = Array.from(bytes);
  for (const [where, what] of changes) {
    const at = where % (result.length + 1);
    if (what < 0) result = result.slice(0, at);
    else result.splice(at, what > 255 ? 0 : 1, what & 0xff);
  }
  return Uint8Array.from(result);
}

test("90,000 damaged golden frames are refused or answered, and the strict decoder agrees about each", () => {
  const frame = fc.constantFrom(...golden.map(({ bytes }) => bytes));
  const outcomes = new Set<string>();
  fc.assert(
    fc.property(frame, edits, (bytes, changes) => void outcomes.add(agree(edited(bytes, changes)))),
    { numRuns: 90_000 },
  );
  // Else the edits would be too wild, or too tame, to show anything.
  expect([...outcomes].sort()).toEqual(["bad", "good", "malformed"]);
}, 60_000);

test("10,000 messages of random bytes are refused or answered, and the strict decoder agrees about each", () => {
  const message = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.uint8Array({ maxLength: 60 }).map((tail) => Uint8Array.of(0x94, 0, 1, ...tail)),
  );
  fc.assert(
    fc.property(message, (bytes) => void agree(bytes)),
    { numRuns: 10_000 },
  );
}, 60_000);

test("10,000 requests with arguments of any type are refused by their fields or pass, and nothing else is thrown", () => {
  const request = fc.tuple(
    fc.constant(0),
    fc.constant(1),
    fc.constantFrom(...names),
    fc.array(value, { maxLength: 6 }),
  );
  fc.assert(
    fc.property(request, (frame) => {
      argumentsPass(frame);
      agree(encode(frame));
    }),
    { numRuns: 10_000 },
  );
}, 60_000);

test("what the codec writes is what it reads, in the shortest form, and what a library reads", () => {
  const library = new Packr({ useRecords: false, int64AsType: "number" });
  fc.assert(
    fc.property(value, (data) => {
      const bytes = encode([data]);
      expect(decodeFrames(bytes)).toEqual(strictFrames(bytes, true));
      // The library renames this key, and drops a byte order mark.
      if (!/__proto__|\ufeff/.test(JSON.stringify(data))) expect(library.unpack(bytes)).toEqual(decodeFrames(bytes)[0]);
    }),
    { numRuns: 3_000 },
  );
}, 60_000);

test("counts that promise more than the message holds reserve no memory", () => {
  const lies = ["dd 00 03 ff fb", "df 00 01 ff fb", "dc ff ff", "de 7f ff"].map((hex) =>
    Buffer.from(hex.replaceAll(" ", ""), "hex"),
  );
  const before = process.memoryUsage().heapUsed;
  for (const lie of lies) {
    const message = new Uint8Array(256 * 1024).fill(0xc0);
    for (let depth = 0; depth < 31; depth++) message.set(lie, depth * lie.length);
    for (let i = 0; i < 20; i++) expect(handle(message)).toBe("malformed");
  }

  expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 1024 * 1024);
});
