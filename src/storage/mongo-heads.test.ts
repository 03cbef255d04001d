// One head is never written by two commands at once: the earlier one, overtaken, would look like another owner's work.
import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import type { MongoCommands, Update, Updated } from "./mongo-commands";
import { MongoHeads } from "./mongo-heads";
import type { Collections } from "./mongo-schema";
import { conversationNamed, head } from "./store-samples.case";

const room = conversationNamed("room");
const epoch = 7;
const flushMs = 5000;

test("while a head is written with its totals, it is not written lazily as well", async () => {
  const clock = new VirtualClock();
  const sent: (readonly Update[])[] = [];
  const replies: ((reply: Updated) => void)[] = [];
  const update = (_: string, updates: readonly Update[]): Promise<Updated> => {
    sent.push(updates);
    return new Promise((resolve) => replies.push(resolve));
  };
  const heads = new MongoHeads({} as Collections, { update } as unknown as MongoCommands, clock);
  const record = heads.put({
    conversation: room,
    epoch,
    lease: "lease",
    exists: true,
    revision: 1,
    seq: 2,
    open: null,
    clean: true,
    unflushed: 0,
    flushing: null,
  });
  heads.advance(record, { ...head(room, 2), openEpoch: epoch }, 2);

  const written = heads.write(record, { ...head(room, 2), openEpoch: epoch, totalsThrough: 2 });
  clock.advance(flushMs);
  expect(sent).toHaveLength(1);
  replies[0]?.({ matched: 1, duplicates: [] });
  expect(await written).toBe("written");

  clock.advance(flushMs);
  expect(sent).toHaveLength(1);
  heads.advance(record, { ...head(room, 3), openEpoch: epoch, totalsThrough: 2 }, 1);
  clock.advance(flushMs);
  expect(sent).toHaveLength(2);
});
