// The fake store keeps the same contract as the real ones, and its faults do what they say.
import { expect, test } from "bun:test";
import { storeContract } from "../../src/storage/store.case";
import { append, conversationNamed, entries } from "../../src/storage/store-samples.case";
import type { Committed } from "../../src/storage/store";
import { MemoryData } from "./memory-data";
import { MemoryStore, type StoreFault } from "./memory-store";

storeContract("memory", async () => {
  const data = new MemoryData();
  return {
    store: new MemoryStore({ data }),
    reopen: async () => new MemoryStore({ data }),
    second: async () => new MemoryStore({ data }),
    dispose: async () => {},
  };
});

const room = conversationNamed("room");

test("each fault of a write stores, or does not store, what it says", async () => {
  const kept: [StoreFault, Committed["outcome"], number][] = [
    ["refused", "refused", 0],
    ["conflict", "conflict", 0],
    ["fenced", "fenced", 0],
    ["unknownLost", "unknown", 0],
    ["unknownStored", "unknown", 1],
  ];
  for (const [fault, outcome, seq] of kept) {
    const data = new MemoryData();
    const store = new MemoryStore({ data, fault: ({ kind }) => (kind === "commit" ? fault : null) });
    const answer = await store.commit(append(room, data.claim([...Array(256).keys()]), entries(1, 1)));
    expect([answer.outcome, data.log(room)?.head.seq ?? 0]).toEqual([outcome, seq]);
  }
});

test("a crash between doing and answering leaves what was done and answers nothing", async () => {
  const data = new MemoryData();
  const steps: (() => void)[] = [];
  const store = new MemoryStore({ data, schedule: (step) => void steps.push(step) });
  const epoch = data.claim([...Array(256).keys()]);
  let answered = false;
  void store.commit(append(room, epoch, entries(1, 1))).then(() => (answered = true));

  steps.shift()?.();
  store.crash();
  for (const step of steps) step();
  await Promise.resolve();

  expect(data.log(room)?.head.seq).toBe(1);
  expect(answered).toBe(false);
});

test("a fault on a read rejects with store_unavailable", async () => {
  const store = new MemoryStore({ fault: () => "refused" });
  expect(store.openConversation(room, 1, 1)).rejects.toMatchObject({ code: "store_unavailable" });
});
