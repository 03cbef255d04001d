// Joining a cluster by its note: who shares what is needed joins, who does not is refused, and what nobody needs is replaced.
import { expect, test } from "bun:test";
import { systemClock } from "../../src/lib/clock";
import type { ClusterNote } from "../../src/transport/cluster-note";
import type { NatsNode } from "../../src/transport/nats";
import { joinCluster, thisHost } from "../../src/transport/nats-cluster-note";
import { describeWith, shareNats } from "../services/services";
import { until } from "../until";
import { NatsWorld, Told } from "./world";

const note: ClusterNote = { partitions: 256, storeKind: "sqlite", generation: "g1", host: "box/aa" };
const elsewhere: ClusterNote = { ...note, host: "other/bb" };

async function cluster() {
  const share = await shareNats();
  const world = new NatsWorld(share.uri, { natsPrefix: share.name });
  return { world, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](share) };
}

/** @param heard what is said when the note turns out to be another's */
function join(node: NatsNode, self: string, mine: ClusterNote, heard: string[] = []): Promise<void> {
  const { claims, members } = node;
  const onForeign = (says: string): void => void heard.push(says);
  return joinCluster({ claims, members, clock: systemClock, self, lease: "draining 1", note: mine, onForeign });
}

/** Renews a lease as a node that lives does; the answered function ends that. */
function live(node: NatsNode, self: string): () => void {
  const timer = setInterval(() => void node.members.put(self, "serving 1"), 500);
  return () => clearInterval(timer);
}

async function storedNote({ claims }: NatsNode): Promise<unknown> {
  const entry = await claims.read("cluster");
  return entry === null || entry === "unknown" || entry.value === null ? entry : JSON.parse(entry.value);
}

describeWith("nats", "joining a cluster", () => {
  test("the first node notes what it has, and those with the same join it", async () => {
    await using nodes = await cluster();
    const [a, b] = [await nodes.world.open(), await nodes.world.open()];
    await Promise.all([join(a, "a", note), join(b, "b", note)]);
    expect(await storedNote(a)).toEqual(note);
    expect((await Told.of(a.members)).values).toEqual(
      new Map([
        ["a", "draining 1"],
        ["b", "draining 1"],
      ]),
    );
    await join(await nodes.world.open(), "c", note);
  });

  test.concurrent("a node with other data is refused while a member lives, and leaves no lease behind", async () => {
    await using nodes = await cluster();
    const [a, b] = [await nodes.world.open(), await nodes.world.open()];
    await join(a, "a", note);
    const stop = live(a, "a");
    expect(await join(b, "b", elsewhere).catch((error: Error) => `${error.name}: ${error.message}`)).toStartWith(
      "ClusterRefusal: the SQLite file of this cluster is used on the host box, and this is other;",
    );
    stop();
    expect(await storedNote(a)).toEqual(note);
    expect((await Told.of(a.members)).values.get("b") ?? null).toBeNull();
  }, 15_000);

  test.concurrent("of two that begin a cluster at once with different data one is refused", async () => {
    await using nodes = await cluster();
    const [a, b] = [await nodes.world.open(), await nodes.world.open()];
    const stops: (() => void)[] = [];
    const begin = (node: NatsNode, self: string, mine: ClusterNote) =>
      join(node, self, mine).then(
        () => stops.push(live(node, self)) > 0,
        () => false,
      );
    const joined = await Promise.all([begin(a, "a", note), begin(b, "b", elsewhere)]);
    for (const stop of stops) stop();
    expect(joined.toSorted()).toEqual([false, true]);
    expect(await storedNote(a)).toEqual(joined[0] ? note : elsewhere);
  }, 15_000);

  test.concurrent("when the last member has died its lease is waited for, and the note replaced; had it lived on it would hear of it", async () => {
    await using nodes = await cluster();
    const [a, b] = [await nodes.world.open(), await nodes.world.open()];
    const heard: string[] = [];
    await join(a, "a", note, heard);
    await Told.of(a.claims);
    await join(b, "b", elsewhere);
    expect(await storedNote(b)).toEqual(elsewhere);
    await until(() => heard.length > 0);
    expect(heard[0]).toStartWith("the SQLite file of this cluster is used on the host other, and this is box;");
  }, 15_000);

  test("a note that is lost with its bucket is written again by those who live", async () => {
    await using nodes = await cluster();
    const a = await nodes.world.open();
    await join(a, "a", note);
    const told = await Told.of(a.claims);
    await a.claims.delete("cluster", null);
    await until(async () => JSON.stringify(await storedNote(a)) === JSON.stringify(note));
    await until(() => told.events.length >= 5);
    expect(told.values.get("cluster")).toBe(JSON.stringify(note));
  });

  test("a host is told apart by more than its name", async () => {
    expect(await thisHost()).toMatch(/^[^/]+\/[0-9a-f]{16}$/);
    expect(await thisHost()).toBe(await thisHost());
  });
});
