import { expect, test } from "bun:test";
import { decodeFrames, encode } from "../../src/protocol/codec";
import { errorCodes } from "../../src/protocol/codes";
import type { ErrorCode } from "../../src/protocol/codes";
import { operations } from "../../src/protocol/operations";
import type { OperationName } from "../../src/protocol/operations";
import { goldenFrames } from "../golden/golden";
import { errorShape, pushShapes, resultShapes } from "./shapes";
import { strictFrames } from "./strict-decoder";

const golden = await goldenFrames();
const framesOf = (from: "client" | "server", type: number) =>
  golden.filter((one) => one.from === from && one.frame[0] === type).map((one) => one.frame);

test("each golden frame decodes to its value", () => {
  for (const { name, bytes, frame } of golden) expect<unknown>([name, ...decodeFrames(bytes)]).toEqual([name, frame]);
});

test("each golden value encodes to its bytes", () => {
  for (const { name, bytes, frame } of golden) expect<unknown>([name, encode(frame)]).toEqual([name, bytes]);
});

test("the strict decoder reads each golden frame as the codec does, in its shortest form", () => {
  for (const { name, bytes, frame } of golden)
    expect<unknown>([name, ...strictFrames(bytes, true)]).toEqual([name, frame]);
});

test("all golden frames stand in one message", () => {
  const message = Uint8Array.from(golden.flatMap(({ bytes }) => [...bytes]));

  expect(decodeFrames(message)).toEqual(golden.map(({ frame }) => frame));
});

test("golden requests have arguments that the operations accept", () => {
  for (const frame of framesOf("client", 0)) {
    const [, , name, args] = frame as readonly [0, number, OperationName, readonly unknown[]];
    for (const [i, field] of operations[name].args.entries()) field.read(args[i]);
  }
});

test("golden replies, pushes and errors have the shapes of their tables", () => {
  const asked = new Map(framesOf("client", 0).map(([, id, name]) => [id, name as OperationName]));
  asked.set(23, "signal"); // a signal is asked without an id in the golden frames; its empty reply is shown by itself
  for (const [, id, result] of framesOf("server", 1)) resultShapes[asked.get(id) as OperationName](result, String(id));
  for (const [, name, ...rest] of framesOf("server", 3))
    pushShapes[name as keyof typeof pushShapes](rest, String(name));
  for (const [, , error] of framesOf("server", 2)) {
    errorShape(error, "error");
    const [code, , outcome] = error as readonly [ErrorCode, string, string];
    expect(errorCodes[code].outcome as string).toBe(outcome);
  }
});

test("every operation, its reply, every push and every other kind of frame has a golden frame", () => {
  const names = new Set(golden.map(({ name }) => name));
  const wanted = [
    ...Object.keys(operations).flatMap((name) => [`request ${name}`, `reply ${name}`]),
    ...Object.keys(pushShapes).map((name) => `push ${name}`),
    "ping",
    "pong",
  ];

  expect(wanted.filter((name) => !names.has(name))).toEqual([]);
  expect(framesOf("server", 2)).not.toBeEmpty();
});
