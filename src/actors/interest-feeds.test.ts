import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import type { UserSeq } from "../protocol/ids";
import type { FeedTuple } from "../protocol/operations";
import { ann, NotedSessions, notedMeter, room } from "./interest.case";
import { feedRepair, FeedsHere } from "./interest-feeds";
import { InterestTable } from "./interest-table";

class World {
  readonly clock = new VirtualClock();
  readonly sessions = new NotedSessions();
  readonly table = new InterestTable();
  /** The stored feed. */
  changes: FeedTuple[] = [];
  fails = 0;
  readonly heads: unknown[] = [];
  readonly feeds = new FeedsHere({
    table: this.table,
    sessions: this.sessions,
    entries: { headKnown: (...args) => void this.heads.push(args) },
    store: {
      readFeed: async (_user, after, limit) => {
        if (this.fails-- > 0) throw new Error("away");
        return { changes: this.changes.filter(([userSeq]) => userSeq > after).slice(0, limit), user: null };
      },
    },
    clock: this.clock,
    meter: notedMeter([]),
  });

  constructor(through: UserSeq | null) {
    this.table.touchPerson(this.table.partitionOfUser(ann), ann, 0);
    if (through !== null) this.feeds.at(ann, through);
  }
}

const muted = (userSeq: UserSeq): FeedTuple => [userSeq, "settings", room, [true, false]];
const removed = (userSeq: UserSeq, seq: number): FeedTuple => [
  userSeq,
  "membership",
  room,
  ["removed", seq, null, null, null, "bob"],
];
const out = (userSeq: UserSeq): FeedTuple => [userSeq, "device", "phone", ["signedOut", null]];

test("changes are handed on once, in order, whoever sends them again", () => {
  const world = new World(1);
  world.feeds.take(ann, [muted(2), muted(3)]);
  world.feeds.take(ann, [muted(3), muted(4)]);
  expect(world.sessions.notes).toEqual(["ann: 2 3", "ann: 4"]);
});

test("what is missing in between is read, and so is what came while it was", () => {
  const world = new World(1);
  world.changes = [muted(2), muted(3)];
  world.feeds.take(ann, [muted(3)]);
  world.changes.push(muted(4));
  world.fails = 2;
  world.feeds.take(ann, [muted(4)]);
  world.clock.advance(3 * feedRepair.retryMs);
  expect(world.sessions.notes).toEqual(["ann: 2 3", "ann: 4"]);
});

test("a sign-out that was missed has the device checked again: it may have signed in since", () => {
  const world = new World(1);
  world.changes = [out(2)];
  world.feeds.check(ann);
  world.clock.advance(1);
  expect(world.sessions.notes).toEqual(["ann: 2", "ann checked again: phone"]);
});

test("a removal says how far the log reaches, so that no older row is shown behind it", () => {
  const world = new World(1);
  world.feeds.take(ann, [removed(2, 7)]);
  expect(world.heads).toEqual([[room, 7]]);
});

test("before it is known where their feed stands nothing is read; a person who is not here has none", () => {
  const world = new World(null);
  world.changes = [muted(1)];
  world.feeds.check(ann);
  world.clock.advance(1);
  expect(world.sessions.notes).toEqual([]);
  world.table.partitionOfUser(ann).people.clear();
  expect(world.feeds.take(ann, [muted(2)])).toBe(false);
});
