import { expect, test } from "bun:test";
import type { Seq } from "../protocol/ids";
import { ann, room } from "./interest.case";
import { ClusterLooks } from "./interest-looks";
import { InterestTable } from "./interest-table";
import { seenOut } from "./interest-wire";
import type { LookedConversation } from "./interest-wire";
import type { RowPart } from "./messages";
import type { Peeked, Standing } from "./standing";

const quiet: Standing = { state: "quiet" };

function seen(head: Seq, join: Seq): Peeked {
  return {
    info: ["group", null, null, null, 2, null],
    membership: ["member", [join, 0, 0], 1],
    head: [head, head, 1, null],
    totalsThrough: 0,
    sentSince: 0,
  };
}

function part(head: Seq, join: Seq): RowPart {
  return { ...seen(head, join), cursor: [0, 0, 0], myTotal: 0 };
}

class World {
  readonly table = new InterestTable();
  readonly partition = this.table.partitionOf(room);
  readonly heads: unknown[] = [];
  epoch = 3;
  here: Standing = quiet;
  holdsHere = true;
  readonly looks = new ClusterLooks({
    self: "me",
    table: this.table,
    entries: { headKnown: (...args: unknown[]) => void this.heads.push(args) } as never,
    owned: { epochOf: () => this.epoch },
    local: { standing: () => this.here, holds: () => this.holdsHere },
  });

  /** @param through what was published or shown last */
  constructor(owner: string, through: Seq | null, active: LookedConversation["seen"] | null = null) {
    this.table.touch(this.partition, room, 0);
    this.partition.owner = owner;
    this.partition.epoch = 3;
    this.through = through;
    const told = active === null ? [] : [{ conversation: room, head: 9, seen: active }];
    this.looks.answered(this.partition.number, { owner, epoch: 3, doubts: 0 }, [room], told);
  }

  set through(through: Seq | null) {
    const here = this.table.conversation(room);
    if (here) here.through = through;
  }

  get through(): Seq | null {
    return this.table.conversation(room)?.through ?? null;
  }

  state(head: Seq, join: Seq | null = 1): Standing["state"] {
    return this.looks.standing(room, ann, head, join).state;
  }
}

test("a stored row of a quiet conversation is right unless more than it shows has passed, or less than its reader's join", () => {
  const world = new World("other", 9);
  expect([world.state(8), world.state(9), world.state(12)]).toEqual(["recent", "quiet", "quiet"]);
  expect([world.state(12, 10), world.state(12, 11), world.state(12, null)]).toEqual(["quiet", "recent", "quiet"]);
  world.through = null;
  expect(world.state(1)).toBe("quiet");
});

test("what is known to exist and is being read is not hidden by an older row", () => {
  const world = new World("other", 5);
  const here = world.table.conversation(room);
  if (here) here.target = 9;
  expect([world.state(8), world.state(9)]).toEqual(["recent", "quiet"]);
});

test("an owner's word on an active conversation stands while nothing behind it has passed", () => {
  const world = new World("other", 9, seenOut(seen(9, 1)));
  expect(world.looks.standing(room, ann, 3, 1)).toEqual({ state: "active", seen: seen(9, 1) });
  world.through = 10;
  expect(world.state(3)).toBe("recent");
  expect(new World("other", 9, "stranger").looks.standing(room, ann, 3, 1)).toEqual({ state: "active", seen: null });
  expect(new World("other", 9, "unseen").state(9)).toBe("recent");
  expect(new World("other", 9, new Uint8Array([0xc1])).state(9)).toBe("recent");
});

test("after a gap, under another owner or epoch, or once it was forgotten, nothing that was learnt before counts", () => {
  const spoil: ((world: World) => void)[] = [
    (world) => void world.partition.doubts++,
    (world) => {
      world.partition.owner = "third";
    },
    (world) => void world.partition.epoch++,
    (world) => world.partition.conversations.clear(),
  ];
  for (const one of spoil) {
    const world = new World("other", null);
    expect([world.state(5), world.looks.holds(room, ann, part(5, 1))]).toEqual(["quiet", true]);
    one(world);
    expect([world.state(5), world.looks.holds(room, ann, part(5, 1))]).toEqual(["away", false]);
  }
});

test("what lives here is judged by this node's own word, while it owns it, and by what has passed", () => {
  const world = new World("me", 9);
  expect([world.state(9), world.state(8)]).toEqual(["quiet", "recent"]);
  world.here = { state: "active", seen: seen(9, 1) };
  expect(world.state(3)).toBe("active");
  world.here = { state: "active", seen: seen(8, 1) };
  expect(world.state(3)).toBe("recent");
  world.holdsHere = false;
  expect(world.looks.holds(room, ann, part(9, 1))).toBe(false);
  world.epoch = 4;
  expect(world.state(9)).toBe("away");
});

test("an owner's answer that is ahead has what lies between read, for whoever receives it already", () => {
  const world = new World("other", 5);
  expect(world.looks.holds(room, ann, part(9, 8))).toBe(false);
  expect(world.heads).toEqual([[room, 9]]);
  expect(world.looks.holds(room, ann, part(9, 6))).toBe(true);
});

test("what is shown first is where receiving begins", () => {
  const world = new World("other", null);
  world.looks.shows(room, 7);
  world.looks.shows(room, 9);
  expect(world.through).toBe(7);
});
