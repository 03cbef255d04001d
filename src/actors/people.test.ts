import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import type { Epoch, UserId } from "../protocol/ids";
import { People } from "./people";
import { hereTimes } from "./people-here";
import { ownerTimes } from "./people-owner";
import { peopleBatchMax } from "./people-wire";
import type { Incarnation } from "./placement-shares";

const [ada, bob] = ["ada", "bob"] as UserId[] as [UserId, UserId];
const { againMs, gatherMs, holdMs, tickMs } = hereTimes;
const { graceMs, settleMs, tooManyMs } = ownerTimes;

interface Node {
  readonly people: People;
  /** What the hub was told, in order. */
  readonly told: string[];
}

/** Nodes that all partitions move between; what one says to another arrives in the next turn, unless the test loses it. */
class World {
  readonly clock = new VirtualClock();
  readonly nodes = new Map<Incarnation, Node>();
  owner: Incarnation | null = "a";
  epoch: Epoch = 1;
  lost: (from: Incarnation, to: Incarnation) => boolean = () => false;
  messages = 0;
  ignored: string[] = [];

  node(self: Incarnation, sessionsMax = 20): Node {
    const told: string[] = [];
    const people = new People({
      self,
      clock: this.clock,
      links: {
        request: async (node, args) => {
          if (!this.#arrives(self, node)) return null;
          return this.nodes.get(node)?.people.asked(copyOf(args), self) ?? null;
        },
        send: (node, args) => {
          if (this.#arrives(self, node)) this.nodes.get(node)?.people.told(copyOf(args), self);
        },
      },
      ownerOf: () => this.owner,
      epochOf: () => (this.owner === self ? this.epoch : null),
      sessionsMax,
      meter: { ignored: (what) => this.ignored.push(what) },
    });
    people.begin({
      presence: (user) => told.push(`${user} ${people.isOnline(user) ? "online" : "away"}`),
      spread: (user, nodes) => told.push(`${user} on ${nodes}`),
      excess: (user, sessions) => told.push(`${user} has ${sessions} too many`),
    });
    const node = { people, told };
    this.nodes.set(self, node);
    return node;
  }

  #arrives(from: Incarnation, to: Incarnation): boolean {
    this.messages++;
    return this.nodes.has(to) && !this.lost(from, to);
  }

  /** The node's process is gone; whoever owns says so at once. */
  kill(node: Incarnation): void {
    this.nodes.get(node)?.people.stop();
    this.nodes.delete(node);
    for (const { people } of this.nodes.values()) people.nodeGone(node);
  }

  moveTo(owner: Incarnation): void {
    this.owner = owner;
    this.epoch++;
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 10) {
      this.clock.advance(Math.min(10, left));
      for (let i = 0; i < 6; i++) await Promise.resolve();
    }
  }
}

/** As it is after a way over a network. */
function copyOf(args: readonly unknown[]): readonly unknown[] {
  return JSON.parse(JSON.stringify(args)) as unknown[];
}

/** Longer than it takes to tell an owner and be told by it. */
const awhile = 3 * gatherMs + tickMs;

test("whoever watches learns of the first session anywhere, and of the last one's end after a moment of grace", async () => {
  const world = new World();
  world.node("a");
  const [b, c] = [world.node("b"), world.node("c")];
  await world.pass(settleMs + tickMs);
  b.people.watch(ada);
  await b.people.look([ada]);
  expect(b.people.isOnline(ada)).toBe(false);
  c.people.here(ada, 1);
  await world.pass(awhile);
  c.people.here(ada, 2);
  await world.pass(awhile);
  expect(b.told).toEqual(["ada online"]);
  c.people.here(ada, 0);
  await world.pass(graceMs - awhile);
  expect(b.told).toEqual(["ada online"]);
  await world.pass(2 * awhile);
  expect(b.told).toEqual(["ada online", "ada away"]);
  b.people.unwatch(ada);
  await world.pass(awhile);
  expect(world.nodes.get("a")?.people.known).toBe(0);
});

test("a look at somebody who is elsewhere answers at once, and at the latest when nobody answers", async () => {
  const world = new World();
  world.node("a").people.here(ada, 1);
  const b = world.node("b");
  await world.pass(awhile);
  b.people.watch(ada);
  await b.people.look([ada]);
  expect(b.people.isOnline(ada)).toBe(true);
  world.lost = () => true;
  b.people.watch(bob);
  const looked = b.people.look([bob]);
  await world.pass(hereTimes.lookMs + 10);
  await looked;
  expect(b.people.isOnline(bob)).toBe(false);
});

test("a person who goes from one node to another, even to one that outlives theirs, was never away", async () => {
  const world = new World();
  const [a, b, c] = [world.node("a"), world.node("b"), world.node("c")];
  a.people.watch(ada);
  b.people.here(ada, 1);
  await world.pass(settleMs + awhile);
  c.people.here(ada, 1);
  b.people.here(ada, 0);
  await world.pass(awhile);
  world.kill("c");
  await world.pass(graceMs / 2);
  b.people.here(ada, 1);
  await world.pass(2 * graceMs);
  expect(a.told).toEqual(["ada online"]);
  world.kill("b");
  await world.pass(graceMs + awhile);
  expect(a.told).toEqual(["ada online", "ada away"]);
});

test("a new owner is told everything by everybody, and says nothing of those it may not have heard of", async () => {
  const world = new World();
  world.node("a");
  const [b, c, d] = [world.node("b"), world.node("c"), world.node("d")];
  d.people.watch(ada);
  d.people.watch(bob);
  b.people.here(ada, 1);
  await world.pass(settleMs + awhile);
  expect(d.told).toEqual(["ada online"]);
  // While nobody hears b, the owner dies and c takes over.
  world.lost = (from) => from === "b";
  world.moveTo("c");
  world.kill("a");
  await world.pass(settleMs / 2);
  world.lost = () => false;
  await world.pass(settleMs);
  expect([d.told, d.people.isOnline(ada), d.people.isOnline(bob)]).toEqual([["ada online"], true, false]);
  b.people.here(ada, 0);
  c.people.here(bob, 1);
  await world.pass(graceMs + awhile);
  expect(d.told).toEqual(["ada online", "bob online", "ada away"]);
});

test("who was gone while an owner took over is away once it has heard everybody", async () => {
  const world = new World();
  world.node("a");
  const [b, c] = [world.node("b"), world.node("c")];
  c.people.watch(ada);
  b.people.here(ada, 1);
  await world.pass(settleMs + awhile);
  world.moveTo("c");
  world.kill("b");
  await world.pass(settleMs + graceMs + awhile);
  expect(c.told).toEqual(["ada online", "ada away"]);
});

test("each node learns on how many nodes its people are, and nobody else does", async () => {
  const world = new World();
  const [a, b, c] = [world.node("a"), world.node("b"), world.node("c")];
  b.people.here(ada, 1);
  await world.pass(awhile);
  c.people.here(ada, 3);
  await world.pass(awhile);
  b.people.here(ada, 0);
  await world.pass(awhile);
  expect([a.told, b.told, c.told]).toEqual([[], ["ada on 2"], ["ada on 2", "ada on 1"]]);
});

test("of sessions that are too many over all nodes, those that came last are named, until they are fewer", async () => {
  const world = new World();
  const [a, b] = [world.node("a", 5), world.node("b", 5)];
  a.people.here(ada, 3);
  await world.pass(awhile);
  b.people.here(ada, 2);
  await world.pass(2 * tooManyMs);
  expect([a.told, b.told]).toEqual([["ada on 2"], ["ada on 2"]]);
  b.people.here(ada, 4);
  await world.pass(tooManyMs - tickMs);
  expect(b.told).toEqual(["ada on 2"]);
  await world.pass(2 * tooManyMs);
  expect(b.told).toEqual(["ada on 2", "ada has 2 too many", "ada has 2 too many"]);
  b.people.here(ada, 2);
  await world.pass(3 * tooManyMs);
  expect([a.told.length, b.told.length]).toEqual([1, 3]);
});

test("whoever comes back at another node is not one too many for the sessions of the node that died", async () => {
  const world = new World();
  world.node("a", 1);
  const [b, c] = [world.node("b", 1), world.node("c", 1)];
  b.people.here(ada, 1);
  await world.pass(awhile);
  c.people.here(ada, 1);
  await world.pass(tooManyMs / 2);
  world.kill("b");
  await world.pass(3 * tooManyMs);
  expect(c.told).toEqual(["ada on 2", "ada on 1"]);
});

test("what was lost on the way is mended: by telling again, at once after a gap, and by telling everything now and then", async () => {
  const world = new World();
  world.node("a");
  const [b, c] = [world.node("b"), world.node("c")];
  b.people.watch(ada);
  await world.pass(settleMs + awhile);
  world.lost = (from) => from === "c";
  c.people.here(ada, 1);
  await world.pass(awhile);
  world.lost = (from, to) => from === "a" && to === "b";
  await world.pass(2 * tickMs);
  world.lost = () => false;
  expect(b.told).toEqual([]);
  b.people.gap("a");
  await world.pass(awhile);
  expect(b.told).toEqual(["ada online"]);
  world.lost = (from, to) => from === "a" && to === "b";
  c.people.here(ada, 0);
  await world.pass(graceMs + awhile);
  world.lost = () => false;
  await world.pass(againMs);
  expect(b.told).toEqual(["ada online", "ada away"]);
});

test("without a word of anybody for long, only a node's own truth counts, until owners speak again", async () => {
  const world = new World();
  world.node("a");
  const [b, c] = [world.node("b"), world.node("c")];
  b.people.watch(ada);
  c.people.here(ada, 1);
  await world.pass(awhile);
  world.lost = () => true;
  await world.pass(holdMs - awhile);
  expect(b.told).toEqual(["ada online"]);
  await world.pass(2 * awhile);
  expect(b.told).toEqual(["ada online", "ada away"]);
  world.lost = () => false;
  await world.pass(awhile);
  expect(b.told.at(-1)).toBe("ada online");
});

test("many people travel in batches, one under way to each owner", async () => {
  const world = new World();
  world.node("a");
  const b = world.node("b");
  const count = 3 * peopleBatchMax + 1;
  for (let i = 0; i < count; i++) b.people.here(`p${i}` as UserId, 1);
  await world.pass(6 * gatherMs);
  expect(world.nodes.get("a")?.people.known).toBe(count);
  expect(world.messages).toBe(4);
});

test("what comes late or is no word about people changes nothing", async () => {
  const world = new World();
  const [a, b] = [world.node("a"), world.node("b")];
  b.people.here(ada, 1);
  await world.pass(awhile);
  expect(a.people.asked([1, []], "b")).toBeNull();
  for (const junk of [[], [7], ["x", 3], [9, [[1]]], [9, [[1, 2, [["no user", 3, 4]], []]]]])
    expect(a.people.asked(junk, "b")).toBeNull();
  for (const junk of [[], [7], [[["x"]]]]) b.people.told(junk, "a");
  expect(world.ignored).toEqual(["late", ...Array.from({ length: 8 }, () => "malformed")]);
  expect([a.people.known, b.told]).toEqual([1, []]);
});
