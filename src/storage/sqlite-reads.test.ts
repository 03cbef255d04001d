import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import type { ConversationId, UserId } from "../protocol/ids";
import type { WorkerLink } from "./sqlite-link";
import { packBatch } from "./sqlite-packing";
import type { ReadAnswer } from "./sqlite-reader";
import { ReadLink } from "./sqlite-reads";
import type { RangeRequest } from "./store";

const room = "gAAAAAAAAAAAAAAAAAAAAAA" as ConversationId;
const ann = "ann" as UserId;

/** A reading thread whose every answer the test gives: the names it was handed, and how it answers the n-th hand-over. */
function thread() {
  const handed: string[][] = [];
  const answers: ((answered: readonly ReadAnswer[]) => void)[] = [];
  const ask = (_operation: string, asked: readonly (readonly [string, unknown])[]): Promise<Uint8Array> => {
    handed.push(asked.map(([name]) => name));
    return new Promise((resolve) => answers.push((answered) => resolve(packBatch(answered))));
  };
  const link = { ask, ended: new Promise(() => undefined), alive: true, terminate: () => undefined };
  const reads = new ReadLink(
    link as unknown as WorkerLink,
    { file: "unused", sharing: null },
    new VirtualClock(),
    () => undefined,
  );
  return {
    reads,
    handed,
    answer: (at: number, values: readonly unknown[]) => answers[at]?.(values.map((v) => [null, v])),
  };
}

const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

test("a read that may take long travels alone, and the others of its turn are answered before it", async () => {
  const { reads, handed, answer } = thread();
  const long = reads.read("countReaders", [room, 1, ann]);
  const short = [reads.read("unknownUsers", [[ann]]), reads.read("fullUsers", [[ann], 1])] as const;
  const second = reads.read("readReaders", [room, 1, null, 10]);
  await settle();
  expect(handed).toEqual([["unknownUsers", "fullUsers"], ["countReaders"]]);
  answer(0, [[ann], []]);
  expect(await Promise.all(short)).toEqual([[ann], []]);
  expect(handed).toHaveLength(2);
  answer(1, [7]);
  expect(await long).toBe(7);
  await settle();
  expect(handed[2]).toEqual(["readReaders"]);
  answer(2, [[]]);
  expect(await second).toEqual([]);
});

test("a range is short or long by the entries that it may look at", async () => {
  const { reads, handed } = thread();
  const range = (over: Partial<RangeRequest>): RangeRequest => {
    return { conversation: room, from: 1, direction: "up", limit: 50, bytesMax: 1, scanMax: 10_000, ...over };
  };
  void reads.read("readRanges", [[range({ kind: 1 })], 1]);
  void reads.read("readRanges", [[range({})], 1]);
  void reads.read("countOwn", [room, ann, 0, 900]);
  void reads.read("countOwn", [room, ann, 0, 10_000]);
  void reads.read("readRanges", [[range({ limit: 10_000 })], 1]);
  await settle();
  expect(handed).toEqual([["readRanges", "countOwn"], ["readRanges"]]);
});

test("what the thread left behind a slow read is handed over again, first of all, and answered in order", async () => {
  const { reads, handed, answer } = thread();
  const asked = Array.from({ length: 4 }, () => reads.read("unknownUsers", [[ann]]));
  await settle();
  answer(0, [["slow"]]);
  await settle();
  expect(await asked[0]).toEqual(["slow" as UserId]);
  const later = reads.read("fullUsers", [[ann], 1]);
  await settle();
  expect(handed).toEqual([Array(4).fill("unknownUsers"), Array(3).fill("unknownUsers"), ["fullUsers"]]);
  answer(1, [["a"], ["b"], ["c"]]);
  expect(await Promise.all(asked.slice(1))).toEqual([["a"], ["b"], ["c"]] as never);
  answer(2, [[]]);
  expect(await later).toEqual([]);
});

test("a thread that answers nothing at all fails the reads, and is asked on", async () => {
  const { reads, answer } = thread();
  const asked = reads.read("unknownUsers", [[ann]]);
  await settle();
  answer(0, []);
  await expect(asked).rejects.toThrow();
});
