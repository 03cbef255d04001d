// A bucket over real JetStream: compare-and-set, what a watch tells and does not, and what the buckets are.
import { expect, test } from "bun:test";
import { Kvm } from "@nats-io/kv";
import { connect } from "@nats-io/transport-node";
import type { KvWritten } from "../../src/actors/placement-kv";
import { describeWith, shareNats } from "../services/services";
import { until } from "../until";
import { NatsWorld, Told } from "./world";

async function oneNode() {
  const share = await shareNats();
  const world = new NatsWorld(share.uri, { natsPrefix: share.name });
  const node = await world.open();
  const bucket = async (name: string) => {
    const client = await connect({ servers: share.uri });
    const opened = await new Kvm(client).open(`${share.name}-${name}`);
    return Object.assign(opened, { [Symbol.asyncDispose]: () => client.close() });
  };
  return { world, ...node, share, bucket, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](share) };
}

function revisionOf(written: KvWritten): number {
  if (written.outcome !== "written") throw new Error(`the write was answered: ${written.outcome}`);
  return written.revision;
}

describeWith("nats", "a bucket of leases or claims", () => {
  test("a key is written at its revision only, and created where there is none", async () => {
    await using node = await oneNode();
    const { claims } = node;
    const first = revisionOf(await claims.update("1", "a", 0));
    expect(await claims.update("1", "b", 0)).toEqual({ outcome: "conflict" });
    expect(await claims.update("1", "b", first + 1)).toEqual({ outcome: "conflict" });
    expect(await claims.update("2", "b", first)).toEqual({ outcome: "conflict" });
    const second = revisionOf(await claims.update("1", "b", first));
    expect(second).toBeGreaterThan(first);
    expect(await claims.update("1", "c", first)).toEqual({ outcome: "conflict" });
    expect(await claims.read("1")).toEqual({ value: "b", revision: second });
    expect(await claims.read("2")).toBeNull();
  });

  test("a deleted key is created again, and its deletion is told with a revision that can be written at", async () => {
    await using node = await oneNode();
    const { claims } = node;
    const told = await Told.of(claims);
    const first = revisionOf(await claims.update("1", "a", 0));
    await claims.delete("1", first + 1);
    expect(await claims.read("1")).toEqual({ value: "a", revision: first });
    await claims.delete("1", first);
    await until(() => told.events.at(-1) === "1=null");

    expect(await claims.update("1", "b", 0)).toMatchObject({ outcome: "written" });
    await claims.delete("1", null);
    await until(() => told.events.at(-1) === "1=null");
    expect(await claims.update("1", "c", told.revisions.get("1") ?? 0)).toMatchObject({ outcome: "written" });
    await until(() => told.values.get("1") === "c");
    expect(told.events).toEqual(["restarted", "current", "1=a", "1=null", "1=b", "1=null", "1=c"]);
  });

  test("of three that race for a key one wins, each time", async () => {
    await using node = await oneNode();
    const { world } = node;
    const claims = [node.claims, (await world.open()).claims, (await world.open()).claims];
    for (let race = 0; race < 60; race++) {
      const key = String(race % 30);
      const before = await node.claims.read(key);
      const revision = before === null || before === "unknown" ? 0 : before.revision;
      const written = await Promise.all(claims.map((each, i) => each.update(key, String(i), revision)));
      expect(written.map(({ outcome }) => outcome).toSorted()).toEqual(["conflict", "conflict", "written"]);
    }
  });

  test("a watch tells what stands in the order of revisions, then that this was all, then every change", async () => {
    await using node = await oneNode();
    const { claims } = node;
    for (const key of ["3", "1", "2"]) await claims.update(key, `first of ${key}`, 0);
    await claims.put("3", "second of 3");
    const told = await Told.of(claims);
    expect(told.events).toEqual(["restarted", "1=first of 1", "2=first of 2", "3=second of 3", "current"]);

    await claims.put("1", "second of 1");
    await until(() => told.events.length === 6);
    expect(told.events[5]).toBe("1=second of 1");
    expect([...told.revisions.values()].toSorted()).toEqual([3, 4, 5]);
  });

  test("a watch of an empty bucket is current at once, and one that is begun afresh tells everything again", async () => {
    await using node = await oneNode();
    const { claims } = node;
    const told = await Told.of(claims);
    expect(told.events).toEqual(["restarted", "current"]);
    await claims.put("1", "a");
    await until(() => told.values.get("1") === "a");

    told.watch.restart();
    await until(() => told.begun === 2 && told.isCurrent);
    expect(told.events.slice(3)).toEqual(["restarted", "1=a", "current"]);
  });

  test("a stopped watch tells nothing any more", async () => {
    await using node = await oneNode();
    const { claims } = node;
    const [stopped, other] = [await Told.of(claims), await Told.of(claims)];
    stopped.watch.stop();
    stopped.watch.stop();
    stopped.watch.restart();
    await claims.put("1", "a");
    await until(() => other.values.get("1") === "a");
    expect(stopped.events).toEqual(["restarted", "current"]);
  });

  test("hundreds of keys written while watches begin are all told, once each, by every watch", async () => {
    await using node = await oneNode();
    const { claims } = node;
    const keys = Array.from({ length: 300 }, (_, i) => String(i));
    const writing = Promise.all(keys.map((key) => claims.update(key, key, 0)));
    const watches = await Promise.all([Told.of(claims), Told.of(claims), Told.of(claims)]);
    await writing;
    for (const told of watches) {
      await until(() => told.values.size === keys.length);
      expect(told.events.filter((event) => event.includes("=")).toSorted()).toEqual(
        keys.map((key) => `${key}=${key}`).toSorted(),
      );
    }
  });

  test("a lease that is not renewed is gone, and nobody is told; one that is taken back is told", async () => {
    await using node = await oneNode();
    const { members } = node;
    await members.put("left", "serving 1");
    await members.put("silent", "serving 1");
    const told = await Told.of(members);
    await members.delete("left", null);
    await until(() => told.values.get("left") === null);
    for (const key of ["silent", "left"]) await until(async () => (await members.read(key)) === null);

    const later = await Told.of(members);
    expect(told.events.slice(1)).toEqual(["left=serving 1", "silent=serving 1", "current", "left=null"]);
    expect(later.events).toEqual(["restarted", "current"]);
    // An expired key is no key: it is created, not written over.
    expect(await members.update("silent", "serving 2", 0)).toMatchObject({ outcome: "written" });
  });

  test("what a tool purges is told as deleted", async () => {
    await using node = await oneNode();
    await using bucket = await node.bucket("claims");
    const told = await Told.of(node.claims);
    await bucket.put("1", "theirs");
    await until(() => told.values.get("1") === "theirs");
    await bucket.purge("1");
    await until(() => told.values.get("1") === null);
    expect(await node.claims.update("1", "ours", 0)).toMatchObject({ outcome: "written" });
    expect((await bucket.get("1"))?.string()).toBe("ours");
  });

  test("the buckets are what placement rests on, and open to the tools for buckets", async () => {
    await using node = await oneNode();
    await using claims = await node.bucket("claims");
    await using members = await node.bucket("members");
    const facts = async (bucket: typeof claims) => {
      const { storage, ttl, history, replicas } = await bucket.status();
      return { storage, ttl, history, replicas };
    };
    expect(await facts(claims)).toEqual({ storage: "file", ttl: 0, history: 1, replicas: 1 } as never);
    expect(await facts(members)).toEqual({ storage: "memory", ttl: 3000, history: 1, replicas: 1 } as never);
  });

  test("nodes that start at once share the buckets that the first of them makes", async () => {
    await using share = await shareNats();
    await using world = new NatsWorld(share.uri, { natsPrefix: share.name });
    const nodes = await Promise.all(Array.from({ length: 6 }, () => world.open()));
    const written = await Promise.all(nodes.map(({ claims }, i) => claims.update("1", String(i), 0)));
    expect(written.filter(({ outcome }) => outcome === "written")).toHaveLength(1);
  });

  test("a bucket whose entries live for another time is refused; what merely differs is told", async () => {
    await using share = await shareNats();
    const client = await connect({ servers: share.uri });
    const buckets = new Kvm(client);
    await using world = new NatsWorld(share.uri, { natsPrefix: share.name });
    await buckets.create(`${share.name}-claims`, { ttl: 60_000 });
    expect(await world.refusal()).toBe(
      `entries of the bucket ${share.name}-claims live for 60000 ms instead of ever; ` +
        "stop every node and delete it: the next start makes it anew",
    );

    await buckets.create(`${share.name}-x-claims`, { history: 5 });
    await world.open({ natsPrefix: `${share.name}-x` });
    expect(world.lines.join("")).toContain("its history is 5, not 1");
    await client.close();
  });
});
