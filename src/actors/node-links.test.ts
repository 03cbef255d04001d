import { expect, test } from "bun:test";
import { MemoryNet } from "../../test/sim/memory-bus";
import type { MemoryBus } from "../../test/sim/memory-bus";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { AppError } from "../lib/errors";
import { encode } from "../protocol/codec";
import { notedMeter } from "./interest.case";
import { linkTimes, NodeLinks } from "./node-links";
import type { Owned } from "./node-links";

/** Several nodes, whose messages take a millisecond. */
class World {
  readonly clock = new VirtualClock();
  /** What is lost on its way, by subject. */
  loses = (_subject: string): boolean => false;
  readonly net = new MemoryNet({
    clock: this.clock,
    delayMs: () => 1,
    loses: (_from, _to, subject) => this.loses(subject),
  });

  node(name: string, owned: readonly Owned[] = [], taken: readonly Owned[] = []) {
    const bus: MemoryBus = this.net.join(name);
    const metered: string[] = [];
    const notes: string[] = [];
    const links = new NodeLinks({
      self: name,
      bus,
      clock: this.clock,
      meter: notedMeter(metered),
      owned: () => owned,
      taken: () => taken,
      heard: (from, list) => void notes.push(`${from} owns ${list.map(([partition]) => partition).join(" ")}`),
      gap: (from) => void notes.push(`gap of ${from}`),
      silent: (from) => void notes.push(`${from} is silent`),
    });
    const items: string[] = [];
    links.onItem("x", ([text], from, common) => {
      if (typeof text !== "string") throw new Error("no text");
      items.push(`${text} of ${from}${common ? " to all" : ""}`);
    });
    links.start();
    return { bus, links, metered, notes, items };
  }

  pass(ms = 10): void {
    this.clock.advance(ms);
  }
}

function three() {
  const world = new World();
  const [a, b, c] = [world.node("a", [[7, 1]]), world.node("b"), world.node("c")];
  // As when the others have registered with it.
  for (const name of ["b", "c"]) a.links.numbersFor(name);
  world.pass(linkTimes.beatMs + 10);
  for (const { notes, metered } of [a, b, c]) {
    notes.length = 0;
    metered.length = 0;
  }
  return { world, a, b, c };
}

test("what is sent in one turn is one message to a node, and one to all where half of them are meant", () => {
  const { world, a, b, c } = three();
  a.links.send(["b"], ["x", "1"]);
  a.links.send(["b"], ["x", "2"]);
  a.links.send(["b", "c"], ["x", "3"]);
  world.pass();
  expect(b.items.sort()).toEqual(["1 of a", "2 of a", "3 of a to all"]);
  expect(c.items).toEqual(["3 of a to all"]);
  expect(a.metered.sort()).toEqual(["fannedOut all", "fannedOut node"]);
});

test("what was taken from a node is told beside what it owns", () => {
  const world = new World();
  world.node("a", [[7, 3]], [[8, 1]]);
  const b = world.node("b");
  world.pass(linkTimes.beatMs + 10);
  expect(b.notes.at(-1)).toBe("a owns 7 8");
});

test("a beat says what a node owns; news of it do not wait for the next one", () => {
  const { world, a, b } = three();
  a.links.beatSoon();
  a.links.beatSoon();
  world.pass(20);
  expect(b.notes).toEqual(["a owns 7"]);
});

test("a message that is lost is a gap at the next one, or at the next beat", () => {
  const { world, a, b } = three();
  world.loses = (subject) => subject === "gw.b";
  a.links.send(["b"], ["x", "1"]);
  world.pass();
  world.loses = () => false;
  a.links.send(["b"], ["x", "2"]);
  world.pass();
  expect([b.items, b.notes]).toEqual([["2 of a"], ["gap of a"]]);
  b.notes.length = 0;
  world.loses = (subject) => subject === "gw.b";
  a.links.send(["b"], ["x", "3"]);
  world.pass();
  world.loses = () => false;
  world.pass(linkTimes.beatMs);
  expect(b.notes.filter((note) => note.startsWith("gap"))).toEqual(["gap of a"]);
});

test("what is said while a node is not connected is let go, and missed by those it was meant for", () => {
  const { world, a, b } = three();
  a.bus.disconnect();
  a.links.send(["b"], ["x", "1"]);
  world.pass();
  expect(a.metered).toEqual(["fanOutDropped"]);
  a.bus.reconnect();
  world.pass(50);
  expect([b.items, b.notes.includes("gap of a")]).toEqual([[], true]);
});

test("an item that is too large for a message is let go as a gap, and what comes with it is not", () => {
  const { world, a, b } = three();
  a.links.send(["b"], ["x", "1"]);
  a.links.send(["b"], ["x", "y".repeat(2_000_000)]);
  a.links.send(["b"], ["x", "2"]);
  world.pass();
  expect([b.items, b.notes]).toEqual([["1 of a", "2 of a"], ["gap of a"]]);
});

test("a node whose interest was dropped sees a gap", () => {
  const { world, a, b } = three();
  a.links.skip("b");
  world.pass(linkTimes.beatMs);
  expect(b.notes).toContain("gap of a");
});

test("a node that is not heard of for long is told as silent once, and as gone no longer once it speaks", () => {
  const { world, a, b } = three();
  a.bus.disconnect();
  world.pass(linkTimes.silentMs + 2 * linkTimes.beatMs);
  expect([b.notes.filter((note) => note === "a is silent").length, b.links.peers()]).toEqual([1, ["c"]]);
  a.bus.reconnect();
  world.pass(100);
  expect([...b.links.peers()].sort()).toEqual(["a", "c"]);
});

test("requests are answered, refused by their handler, or refused as unknown; a ping needs no handler", async () => {
  const { world, a, b } = three();
  b.links.on("add", ([left, right]) => (left as number) + (right as number));
  b.links.on("later", async () => "done");
  b.links.on("refuse", () => {
    throw new AppError("no_access");
  });
  const ask = async (kind: string, ...args: readonly unknown[]) => {
    const reply = a.links.request("b", kind, args, 500);
    world.pass();
    return reply;
  };
  expect(await ask("add", 1, 2)).toEqual({ outcome: "answered", value: 3 });
  expect(await ask("later")).toEqual({ outcome: "answered", value: "done" });
  expect(await ask("refuse")).toMatchObject({ outcome: "refused", error: { code: "no_access" } });
  expect(await ask("unknown")).toMatchObject({ outcome: "refused", error: { code: "not_supported" } });
  const ping = a.bus.request("gw.b", new Uint8Array(0), 300);
  world.pass();
  expect(await ping).toEqual({ outcome: "answered", bytes: new Uint8Array(0) });
  const nobody = a.links.request("d", "add", [], 500);
  world.pass();
  expect(await nobody).toEqual({ outcome: "absent" });
});

test("whatever a node sends that is not understood is counted and harms nothing", () => {
  const { world, a, b } = three();
  const junk = [
    new Uint8Array([0xc1, 1, 2]),
    encode("text"),
    encode([7, "a"]),
    encode(["items", "a", "no number", []]),
    encode(["items", "a", -1, []]),
    encode(["beat", "a", 1, [["b"]], []]),
    encode(["beat", "a", 1, [], [["no partition", 1]]]),
    encode(["items", "a"]),
  ];
  for (const bytes of junk) a.bus.publish("gw.b", bytes);
  world.pass();
  expect(b.metered).toEqual(junk.map(() => "ignored malformed"));
  b.metered.length = 0;
  a.links.send(["b"], ["x", 5]);
  a.links.send(["b"], ["unheard of", 5]);
  a.links.send(["b"], ["x", "1"]);
  world.pass();
  expect([b.items, b.metered.filter((note) => note !== "linkGap node")]).toEqual([
    ["1 of a"],
    ["ignored malformed", "ignored unknown"],
  ]);
});

test("a node that has stopped says and hears nothing", () => {
  const { world, a, b } = three();
  a.links.stop();
  a.links.send(["b"], ["x", "1"]);
  b.links.send(["a"], ["x", "2"]);
  world.pass(3 * linkTimes.beatMs);
  expect([a.items, b.items]).toEqual([[], []]);
});
