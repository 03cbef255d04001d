import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { encodeEntriesPush } from "../protocol/codec";
import type { Seq, UserId } from "../protocol/ids";
import { bob, GrowingLog, NotedSessions, notedMeter, room } from "./interest.case";
import { catchUpLimits, EntriesHere } from "./interest-entries";
import { InterestTable } from "./interest-table";

class World {
  readonly clock = new VirtualClock();
  readonly sessions = new NotedSessions();
  readonly log = new GrowingLog();
  readonly table = new InterestTable();
  readonly metered: string[] = [];
  readonly entries = new EntriesHere({
    table: this.table,
    sessions: this.sessions,
    store: this.log,
    clock: this.clock,
    meter: notedMeter(this.metered),
  });

  /** @param through what was shown last; null: nobody receives it yet */
  constructor(through: Seq | null) {
    const partition = this.table.partitionOf(room);
    this.table.touch(partition, room, 0);
    const here = this.table.conversation(room);
    if (here) here.through = through;
  }

  get through(): Seq | null {
    return this.table.conversation(room)?.through ?? null;
  }

  /** Entries arrive from their owner; `last` ends the memberships of `gone`. */
  take(first: Seq, last: Seq, gone: readonly UserId[] = []): boolean {
    this.log.grow(last, gone.length > 0 ? { [last]: gone } : {});
    const rows = this.log.entries.slice(first - 1, last).map(({ bytes }) => bytes);
    return this.entries.take(room, encodeEntriesPush(room, rows), { first, last, gone });
  }

  settle(): readonly string[] {
    this.clock.advance(1);
    return this.sessions.notes;
  }
}

test("what follows is published as it comes, and what has passed is not published again", () => {
  const world = new World(2);
  world.take(3, 4);
  world.take(3, 4);
  world.take(5, 5, [bob]);
  world.take(6, 6);
  expect(world.settle()).toEqual(["3 4", "5", "without bob", "6"]);
  expect(world.log.reads).toBe(0);
});

test("what is missing in between is read, in order, with the removals in it", () => {
  const world = new World(1);
  world.log.grow(5, { 3: [bob] });
  world.take(6, 6);
  world.take(7, 7);
  expect(world.settle()).toEqual(["2 3", "without bob", "4 5 6", "7"]);
  world.take(8, 8);
  expect(world.settle().at(-1)).toBe("8");
});

test("a frame that holds something that has passed is read from the store, not published with it", () => {
  const world = new World(3);
  world.take(2, 5);
  expect(world.settle()).toEqual(["4 5"]);
});

test("a removal that has passed removes nobody who came back since", () => {
  const world = new World(9);
  world.take(8, 8, [bob]);
  expect(world.settle()).toEqual([]);
});

test("a head that is known before its entries come has them read, once", () => {
  const world = new World(2);
  world.log.grow(4);
  world.entries.headKnown(room, 4);
  world.entries.headKnown(room, 4);
  expect(world.settle()).toEqual(["3 4"]);
  world.take(3, 4);
  expect(world.settle()).toEqual(["3 4"]);
});

test("while nobody receives it nothing is published or read, and rows must reach as far as is known", () => {
  const world = new World(null);
  world.entries.headKnown(room, 9);
  world.take(5, 6);
  expect([world.through, world.settle(), world.log.reads]).toEqual([9, [], 0]);
  const other = new World(null);
  other.take(5, 6);
  expect([other.through, other.settle()]).toEqual([6, []]);
});

test("a conversation whose last receiver has gone is not caught up with", () => {
  const world = new World(2);
  world.sessions.receivers = 0;
  world.take(9, 9);
  expect([world.settle(), world.through]).toEqual([[], null]);
});

test("a store that does not answer is waited for", () => {
  const world = new World(1);
  world.log.fails = 200;
  world.take(3, 3);
  world.clock.advance(200 * catchUpLimits.retryMs + 1);
  expect(world.sessions.notes).toEqual(["2 3"]);
});

test("an entry that the store does not show yet is waited for, and not for ever", () => {
  const world = new World(1);
  world.log.grow(2);
  world.entries.headKnown(room, 3);
  world.settle();
  world.log.grow(3);
  world.clock.advance(catchUpLimits.retryMs);
  expect(world.sessions.notes).toEqual(["2", "3"]);
  world.entries.headKnown(room, 4);
  world.clock.advance((catchUpLimits.triesMax + 2) * catchUpLimits.retryMs);
  expect([world.sessions.notes.at(-1), world.through]).toEqual(["sent away: 1", null]);
});

test("what is too far behind is left to its clients", () => {
  const world = new World(1);
  world.entries.headKnown(room, catchUpLimits.entriesMax + 2);
  expect([world.settle(), world.through]).toEqual([["sent away: 1"], null]);
  expect(world.metered).toEqual(["caughtTooFar"]);
});

test("entries of a conversation that nobody here is interested in are not taken", () => {
  const world = new World(1);
  world.table.partitionOf(room).conversations.clear();
  expect(world.take(2, 2)).toBe(false);
});
