import { expect, test } from "bun:test";
import { decodeFrames, encodeEntriesPush, encodeEntry } from "../src/protocol/codec";
import type { EntryTuple } from "../src/protocol/entry";
import type { ClientId, ConversationId, UserId } from "../src/protocol/ids";
import { Histogram } from "./histogram";
import { PushTemplate, peekSeq, readPayload, readSends, SendTemplate, textBytes } from "./messages";

const conversation = "gAAAAAAAAAAAAAAAAAAAAAA" as ConversationId;

function push(first: number, count: number, sentUs: number): Uint8Array {
  const text = `${String(sentUs).padStart(12, "0")}${"x".repeat(textBytes - 12)}`;
  const entries = Array.from({ length: count }, (_, i): EntryTuple => {
    const seq = first + i;
    return [seq, seq, 1, true, 1, "ann" as UserId, null, `c${seq}` as ClientId, null, [text]];
  });
  return encodeEntriesPush(conversation, entries.map(encodeEntry));
}

test("a request from the template is a send that the protocol knows, with ids that never repeat", () => {
  const template = new SendTemplate(conversation, "aaaaaaaa", 3);
  template.fill(6, 3, () => 1);
  const [frame] = decodeFrames(template.fill(7, 2, (item) => 100 + item));
  const [type, id, operation, args] = frame as [number, number, string, [string, [string, [string]][]]];

  expect([type, id, operation, args[0]]).toEqual([0, 7, "send", conversation]);
  expect(args[1].map(([clientId]) => clientId)).toEqual(["aaaaaaaa00000003", "aaaaaaaa00000004"]);
  expect(args[1].map(([, [text]]) => [text.length, text.slice(0, 12)])).toEqual([
    [textBytes, "000000000100"],
    [textBytes, "000000000101"],
  ]);
});

test("the raw server reads from a request how many messages it has and when they were sent", () => {
  const bytes = new SendTemplate(conversation, "aaaaaaaa", 3).fill(7, 2, (item) => 100 + item);
  const { items, timeAt } = readSends(bytes);

  expect(items).toBe(2);
  expect(Buffer.from(timeAt(1)).toString()).toBe("000000000101");
});

test("a push of the raw server is one that the protocol knows", () => {
  const bytes = new PushTemplate(conversation).fill(9, Buffer.from("000000000123"));

  expect(peekSeq(bytes, 0)).toBe(9);
  expect(readPayload(bytes).batch).toEqual({ bytes: bytes.length, first: 9, count: 1, oldestUs: 123 });
});

for (const seq of [1, 127, 128, 300, 70_000]) {
  test(`the first seq of a push is found without decoding it: ${seq}`, () => {
    expect(peekSeq(push(seq, 2, 5), 0)).toBe(seq);
  });
}

test("several pushes in one message are one batch, and other frames are handed on", () => {
  const message = Buffer.concat([push(5, 2, 70), push(7, 3, 50), Buffer.from([0x93, 1, 9, 0x90])]);
  const { batch, others } = readPayload(message);

  expect(batch).toEqual({ bytes: message.length, first: 5, count: 5, oldestUs: 50 });
  expect(others).toEqual([[1, 9, []]]);
  expect(peekSeq(Buffer.from([0x93, 1, 9, 0x90]), 0)).toBe(null);
});

test("percentiles of a histogram are within 2 % of the samples", () => {
  const histogram = new Histogram();
  for (let us = 1; us <= 100_000; us++) histogram.add(us);

  expect(Math.abs(histogram.percentileMs(0.5) / 50 - 1)).toBeLessThan(0.02);
  expect(Math.abs(histogram.percentileMs(0.99) / 99 - 1)).toBeLessThan(0.02);
});
