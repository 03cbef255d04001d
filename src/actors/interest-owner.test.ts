import { expect, test } from "bun:test";
import { partitionOf } from "../lib/hash";
import type { ConversationId, UserId } from "../protocol/ids";
import type { PlacedActor } from "./actor";
import { ann, bob, room } from "./interest.case";
import { InterestOwner } from "./interest-owner";
import { seenIn } from "./interest-wire";

const at = partitionOf("conversation", room);
const home = partitionOf("user", ann);

class World {
  speaks = true;
  /** Members of the active room; null: it is not active. */
  members: readonly UserId[] | null = null;
  text = "hello";
  readonly owner = new InterestOwner({ owned: { mayAnswer: () => this.speaks }, peek: () => this.#actor() });

  constructor() {
    this.owner.begin(at, 3);
    this.owner.begin(home, 3);
  }

  look(
    node: string | null,
    viewer: UserId | null = null,
    epoch = 3,
    conversations: readonly ConversationId[] = [room],
  ) {
    return this.owner.look(node, viewer, [{ partition: at, epoch, conversations, people: [] }], { left: 400_000 })[0];
  }

  person(node: string, user = ann) {
    return this.owner.look(node, null, [{ partition: home, epoch: 3, conversations: [], people: [user] }], {
      left: 0,
    })[0];
  }

  #actor(): PlacedActor | null {
    const { members, text } = this;
    if (members === null) return null;
    const seen = {
      info: ["group", text, null, null, 2, null],
      membership: ["member", [1, 0, 0], 1],
      head: [7, 5, 1, null],
      totalsThrough: 4,
      sentSince: 1,
    };
    return { headSeq: 7, peek: (user: UserId) => (members.includes(user) ? seen : null) } as unknown as PlacedActor;
  }
}

test("nodes are registered by key, once each, until they say that nobody is interested any more", () => {
  const world = new World();
  for (const node of ["b", "c", "b"]) world.look(node);
  expect([world.owner.nodesOf(room), world.owner.keys]).toEqual([["b", "c"], 2]);
  world.owner.forget("b", at, [room], []);
  expect([world.owner.nodesOf(room), world.owner.keys]).toEqual([["c"], 1]);
});

test("a partition under another epoch, or that may not speak now, takes nobody", () => {
  const world = new World();
  expect(world.look("b", null, 2)?.taken).toBe(false);
  world.speaks = false;
  expect(world.look("b")?.taken).toBe(false);
  world.owner.end(at, true);
  world.speaks = true;
  expect(world.look("b")?.taken).toBe(false);
  expect(world.owner.nodesOf(room)).toEqual([]);
});

test("of an active conversation the head is told, and a member's row to who asks for it", () => {
  const world = new World();
  expect(world.look("b")?.active).toEqual([]);
  world.members = [ann];
  expect(world.look("b")?.active).toEqual([{ conversation: room, head: 7, seen: "unseen" }]);
  expect(world.look("b", bob)?.active).toEqual([{ conversation: room, head: 7, seen: "stranger" }]);
  const seen = world.look("b", ann)?.active[0]?.seen;
  expect(seenIn(seen as Uint8Array)).toMatchObject({ head: [7, 5, 1, null], totalsThrough: 4, sentSince: 1 });
});

test("rows in one answer are bounded in bytes; the others must be asked for", () => {
  const world = new World();
  world.members = [ann];
  world.text = "x".repeat(300_000);
  const other = `g${"B".repeat(22)}` as ConversationId;
  expect(world.look("b", ann, 3, [room, other])?.active.map(({ seen }) => typeof seen)).toEqual(["object", "string"]);
});

test("a partition that ends, or a node that is gone, leaves nobody registered", () => {
  const world = new World();
  world.look("b");
  world.person("b");
  world.person("c");
  world.owner.nodeGone("b");
  expect([world.owner.nodesOf(room), world.owner.nodesOfUser(ann)]).toEqual([[], ["c"]]);
  world.owner.end(home, true);
  expect([world.owner.nodesOfUser(ann), world.owner.keys, world.owner.list()]).toEqual([[], 0, [[at, 3]]]);
});

test("a node that looks at what is its own is not registered", () => {
  const world = new World();
  world.members = [ann];
  expect(world.look(null)?.active.map(({ head }) => head)).toEqual([7]);
  expect(world.owner.keys).toBe(0);
});

test("a partition that was taken away is named under its old epoch until it comes back; one that was given away is not", () => {
  const world = new World();
  world.owner.end(at, false);
  world.owner.end(home, true);
  expect([world.owner.list(), world.owner.taken()]).toEqual([[], [[at, 3]]]);
  expect([world.owner.epochOf(at), world.look("b")?.taken]).toEqual([0, false]);
  world.owner.begin(at, 5);
  expect([world.owner.list(), world.owner.taken()]).toEqual([[[at, 5]], []]);
});
