import { expect, test } from "bun:test";
import fc from "fast-check";
import type { EntryTuple } from "../protocol/entry";
import { Delivery } from "./delivery";

const entry = (seq: number): EntryTuple => [seq, seq, 1, true, 0, "u" as never, null, null, null, []];

test("whatever the order and however often they come, entries are delivered once, in order, without a gap", () => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 8 })), fc.nat(20), (batches, start) => {
      const seen: number[] = [];
      const delivery = new Delivery(([seq]) => void seen.push(seq));
      const half = Math.floor(batches.length / 2);
      for (const [i, batch] of batches.entries()) {
        if (i === half) delivery.start(start);
        delivery.offer(batch.map(entry), "pushed");
      }
      if (batches.length === 0) delivery.start(start);
      const came = new Set(batches.flat());
      let through = start;
      while (came.has(through + 1)) through++;
      expect(seen).toEqual(Array.from({ length: through - start }, (_, i) => start + 1 + i));
      expect(delivery.lastSeq).toBe(through);
      expect(delivery.missing).toBe(Math.max(0, Math.max(0, ...came) - through));
    }),
  );
});

test("what comes early is bounded, and what was let go is still missing", () => {
  const seen: number[] = [];
  const delivery = new Delivery(([seq]) => void seen.push(seq));
  delivery.start(0);
  delivery.offer(
    Array.from({ length: 2_000 }, (_, i) => entry(i + 2)),
    "pushed",
  );
  delivery.offer([entry(1)], "fetched");
  expect(seen).toHaveLength(513);
  expect(delivery.missing).toBe(2_001 - 513);
});
