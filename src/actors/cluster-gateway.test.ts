import { expect, test } from "bun:test";
import { MemoryNet } from "../../test/sim/memory-bus";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { partitionOf } from "../lib/hash";
import { encode, encodeEntriesPush, encodePush } from "../protocol/codec";
import type { Seq, UserId } from "../protocol/ids";
import { ClusterGateway } from "./cluster-gateway";
import { ann, bob, entry, GrowingLog, NotedSessions, notedMeter, room } from "./interest.case";
import type { Looks } from "./interest";
import { looking } from "./interest-here";
import { linkTimes } from "./node-links";

const at = partitionOf("conversation", room);

/** One node: what its sessions received, and what was recorded. */
function nodeOf(net: MemoryNet, clock: VirtualClock, self: string, log: GrowingLog, owns: () => boolean) {
  const sessions = new NotedSessions();
  const metered: string[] = [];
  const bus = net.join(self);
  const gateway = new ClusterGateway({
    self,
    bus,
    clock,
    store: {
      readRange: log.readRange,
      readHeads: async ([conversation]) =>
        conversation === undefined ? [] : [{ conversation, seq: log.entries.length, open: false }],
      readFeed: async () => ({ changes: [], user: null }),
      conversationsOf: async () => [room],
    },
    meter: notedMeter(metered),
    sessions,
    owned: { epochOf: () => (owns() ? 5 : null), mayAnswer: owns },
    peek: () => null,
    local: { standing: () => ({ state: "quiet" }), holds: () => true },
  });
  gateway.start();
  return { bus, gateway, sessions, metered };
}

/** An owner, and a node whose sessions are interested in the room at 2. */
async function pair() {
  const clock = new VirtualClock();
  const net = new MemoryNet({ clock, delayMs: () => 1 });
  const log = new GrowingLog();
  log.grow(2);
  const [owner, other] = [nodeOf(net, clock, "a", log, () => true), nodeOf(net, clock, "b", log, () => false)];
  owner.gateway.owned(at, 5);
  clock.advance(20);
  const show = async (): Promise<Looks> => {
    const looking = other.gateway.interest.look(ann, [room], 500);
    clock.advance(10);
    const looks = await looking;
    looks.shows(room, log.entries.length);
    return looks;
  };
  const looks = await show();
  const say = (last: Seq, gone: readonly UserId[] = []): void => {
    const first = log.entries.length + 1;
    log.grow(last, gone.length > 0 ? { [last]: gone } : {});
    const rows = log.entries.slice(first - 1).map(({ bytes }) => bytes);
    owner.gateway.entries(room, encodeEntriesPush(room, rows), { first, last, gone });
  };
  return { clock, log, owner, other, looks, show, say };
}

test("what an owner says reaches the sessions of interested nodes, in order, and removals with it", async () => {
  const { clock, owner, other, say } = await pair();
  say(4);
  say(5, [bob]);
  say(6);
  owner.gateway.publish(room, encodePush("signal", room, ann, "typing", null));
  owner.gateway.toUser(ann, encodePush("readCount", room, 3, 1), room);
  clock.advance(10);
  expect(other.sessions.notes).toEqual(["3 4", "5", "without bob", "6", "signal", "to ann"]);
  // Nobody here receives it: what has no place in the log goes to whoever it meets.
  expect(owner.sessions.notes).toEqual(["signal", "to ann"]);
});

test("a node where nobody receives it any more forgets it, tells the owner, and is sent nothing", async () => {
  const { clock, owner, other, say, looks } = await pair();
  expect(owner.gateway.owner.nodesOf(room)).toEqual(["b"]);
  other.sessions.receivers = 0;
  clock.advance(looking.idleMs + looking.sweepParts * looking.sweepMs + 10);
  expect(owner.gateway.owner.nodesOf(room)).toEqual([]);
  say(3);
  clock.advance(10);
  expect([other.sessions.notes, looks.standing(room, ann, 9, 1).state]).toEqual([[], "away"]);
});

test("a goodbye that was stuck in an older connection takes nobody's interest away", async () => {
  const { clock, owner, other, show } = await pair();
  const { connection } = other.bus;
  other.bus.disconnect();
  other.bus.reconnect();
  clock.advance(50);
  await show();
  other.gateway.links.tell("a", "forget", [connection, at, [room], []]);
  clock.advance(10);
  expect([owner.gateway.owner.nodesOf(room), owner.metered.includes("ignored late")]).toEqual([["b"], true]);
});

test("an owner that goes on sending what nobody wants is told so again", async () => {
  const { clock, owner, other, say } = await pair();
  other.sessions.receivers = 0;
  const { tell } = other.gateway.links;
  other.gateway.links.tell = () => true;
  clock.advance(looking.idleMs + looking.sweepParts * looking.sweepMs + 10);
  other.gateway.links.tell = tell;
  say(3);
  clock.advance(6_000);
  expect([other.metered.includes("ignored unwanted"), owner.gateway.owner.nodesOf(room)]).toEqual([true, []]);
});

test("a node that was taken for dead registers again, and reads what it missed", async () => {
  const { clock, owner, other, say, looks } = await pair();
  owner.gateway.nodeGone("b");
  say(4);
  clock.advance(linkTimes.beatMs + 50);
  expect(owner.gateway.owner.nodesOf(room)).toEqual(["b"]);
  expect(other.sessions.notes.slice(0, 1)).toEqual(["3 4"]);
  clock.advance(100);
  expect([other.sessions.notes, looks.standing(room, ann, 9, 1).state]).toEqual([["3 4", "doubted"], "away"]);
});

test("what has no number and was said before a node knew of the new owner follows once it has registered", async () => {
  const { clock, owner, other, show } = await pair();
  owner.gateway.lost(at, true);
  clock.advance(50);
  owner.gateway.owned(at, 6);
  owner.gateway.toUser(bob, encodePush("readCount", room, 3, 1), room);
  owner.gateway.toUser(bob, encodePush("readCount", room, 3, 2), room);
  clock.advance(50);
  expect(other.sessions.notes).toEqual(["to bob"]);
  // Whoever is registered has heard it, and is not told again.
  await show();
  expect(other.sessions.notes).toEqual(["to bob"]);
});

test("a partition that was taken from its owner is doubted, one that was given away in order is not", async () => {
  for (const graceful of [true, false]) {
    const { clock, owner, other } = await pair();
    owner.gateway.lost(at, graceful);
    clock.advance(50);
    owner.gateway.owned(at, 6);
    clock.advance(50);
    expect(other.sessions.notes).toEqual(graceful ? [] : ["doubted"]);
  }
});

test("an owner that stood still while another took over says too late what has no number", async () => {
  const { clock, owner, other } = await pair();
  other.metered.length = 0;
  const mark = encodePush("readCount", room, 3, 1);
  owner.gateway.links.send(["b"], ["u", ann, room, 4, mark]);
  owner.gateway.links.send(["b"], ["c", room, 4, encodePush("signal", room, ann, "typing", null)]);
  owner.gateway.links.send(["b"], ["u", ann, room, 5, mark]);
  clock.advance(10);
  expect([other.sessions.notes, other.metered]).toEqual([["to ann"], ["ignored late", "ignored late"]]);
});

test("a person signs in once their owner knows of it, and not where nobody owns them", async () => {
  const { clock, owner, other } = await pair();
  const arriving = Promise.allSettled([other.gateway.interest.arrive(ann, 300)]);
  clock.advance(500);
  expect(await arriving).toMatchObject([{ status: "rejected", reason: { code: "store_unavailable" } }]);
  owner.gateway.owned(partitionOf("user", ann), 5);
  clock.advance(50);
  const arrived = other.gateway.interest.arrive(ann, 300);
  clock.advance(50);
  await arrived;
  expect(owner.gateway.owner.nodesOfUser(ann)).toEqual(["b"]);
  owner.gateway.feedChanged(ann, [[1, "settings", room, [true, false]]]);
  owner.gateway.signedOut(ann, "phone");
  clock.advance(10);
  expect(other.sessions.notes).toEqual(["ann: 1", "ann signed out: phone"]);
});

test("items and requests that are not understood are counted, and change nothing", async () => {
  const { clock, owner, other } = await pair();
  const items = [
    ["e", "no id", 1, 2, new Uint8Array(0), []],
    ["e", room, 1, 2, "text", []],
    ["c", room, 9, 5],
    ["c", room, "epoch", new Uint8Array(0)],
    ["u", 5, room, 9, new Uint8Array(0)],
    ["u", ann, "no id", 9, new Uint8Array(0)],
    ["f", ann, [[1, "settings", room, []], [3, "settings", room, []]]],
    ["f", ann, "changes"],
    ["o", ann, 9, 7],
    ["h", room, -1],
  ] as const; // biome-ignore format: one a line
  for (const item of items) owner.gateway.links.send(["b"], item);
  owner.bus.publish("gw.b", encode(["look", "a", "connection", []]));
  owner.bus.publish("gw.b", encode(["look", "a", 1, [[null, [["partition"]]]]]));
  owner.bus.publish("gw.b", encode(["forget", "a", 1]));
  clock.advance(10);
  expect(other.metered.filter((note) => note === "ignored malformed").length).toBe(items.length + 3);
  expect([other.sessions.notes, entry(1).seq]).toEqual([[], 1]);
});
