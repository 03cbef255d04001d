// Three nats-servers as one: copies of the buckets, races that have one winner, and what dies or is wiped comes back.
import { expect, test } from "bun:test";
import { Kvm } from "@nats-io/kv";
import { connect } from "@nats-io/transport-node";
import type { NatsNode } from "../../src/transport/nats";
import { describeWith, startNatsCluster, wipeJetStream } from "../services/services";
import { until } from "../until";
import { NatsWorld, Told } from "./world";

/** Servers that lost one of them take some seconds to elect another leader. */
const electionMs = 60_000;

async function copiesOf(uri: string, bucket: string): Promise<number> {
  const client = await connect({ servers: uri });
  const { replicas } = await (await new Kvm(client).open(bucket)).status();
  await client.close();
  return replicas;
}

/** Each server learns a little later than the first where a new bucket is written. */
async function untilWritable(nodes: readonly NatsNode[]): Promise<void> {
  for (const { claims } of nodes) {
    await until(async () => (await claims.put("x", "")).outcome === "written");
    await claims.delete("x", null);
  }
}

describeWith("own nats", "a cluster of nats-servers", () => {
  test(
    "buckets have three copies, and of three nodes that race for a key one wins, each time",
    async () => {
      await using servers = await startNatsCluster();
      await using world = new NatsWorld(servers.uri);
      const nodes = await Promise.all(servers.servers.map(({ uri }) => world.open({ nats: uri })));
      expect(nodes.map(({ clustered }) => clustered)).toEqual([true, true, true]);
      const uri = servers.servers[0]?.uri ?? "";
      expect([await copiesOf(uri, "parley-claims"), await copiesOf(uri, "parley-members")]).toEqual([3, 3]);
      await untilWritable(nodes);

      const told = await Told.of(nodes[0]?.claims as (typeof nodes)[0]["claims"]);
      for (let race = 0; race < 100; race++) {
        const key = String(race % 20);
        const revision = told.revisions.get(key) ?? 0;
        const written = await Promise.all(nodes.map(({ claims }, i) => claims.update(key, `${race} ${i}`, revision)));
        expect(written.map(({ outcome }) => outcome).toSorted()).toEqual(["conflict", "conflict", "written"]);
        await until(() => told.values.get(key)?.startsWith(`${race} `) ?? false);
      }
      expect(told.begun).toBe(1);
    },
    electionMs,
  );

  test(
    "when the server that a node uses dies it goes on with another, claims stand, and every watch is current again",
    async () => {
      await using servers = await startNatsCluster();
      await using world = new NatsWorld(servers.uri);
      const nodes = [await world.open(), await world.open()];
      const [first] = nodes;
      if (!first) throw new Error("there is a first node");
      await untilWritable(nodes);
      await first.claims.put("1", "a");
      const watches = await Promise.all(nodes.map(({ claims }) => Told.of(claims)));
      const dead = servers.servers.find(({ uri }) => uri.endsWith(first.server));
      await dead?.kill9();

      await until(async () => (await first.claims.put("2", "b")).outcome === "written");
      await until(() => watches.every((told) => told.isCurrent && told.values.get("2") === "b"));
      expect(dead?.uri).not.toEndWith(first.server);
      for (const told of watches) expect(told.values.get("1")).toBe("a");

      // Its folder is lost as well: the others give back what it had.
      if (dead) wipeJetStream(dead);
      await dead?.start();
      await servers.ready();
      const alone = await world.open({ nats: dead?.uri ?? "" });
      expect([...(await Told.of(alone.claims)).values].filter(([, value]) => value !== null)).toEqual([
        ["1", "a"],
        ["2", "b"],
      ]);
    },
    electionMs,
  );

  test(
    "when every folder is wiped the buckets are made anew, with their copies, by nodes that race for it",
    async () => {
      await using servers = await startNatsCluster();
      await using world = new NatsWorld(servers.uri);
      const nodes = [await world.open(), await world.open(), await world.open()];
      await nodes[0]?.claims.put("1", "a");
      const watches = await Promise.all(nodes.flatMap(({ claims, members }) => [Told.of(claims), Told.of(members)]));
      await Promise.all(servers.servers.map((server) => server.kill9()));
      for (const server of servers.servers) wipeJetStream(server);
      await Promise.all(servers.servers.map((server) => server.start()));
      await servers.ready();
      await until(() => watches.every((told) => told.begun > 1 && told.isCurrent && !told.values.has("1")));

      await untilWritable(nodes);
      const written = await Promise.all(nodes.map(({ claims }, i) => claims.update("1", String(i), 0)));
      expect(written.filter(({ outcome }) => outcome === "written")).toHaveLength(1);
      expect(await copiesOf(servers.servers[0]?.uri ?? "", "parley-claims")).toBe(3);
    },
    electionMs,
  );

  test(
    "a cluster of two keeps one copy, as three are not to be had",
    async () => {
      await using servers = await startNatsCluster(2);
      await using world = new NatsWorld(servers.uri);
      await world.open({}, 0);
      expect(await copiesOf(servers.servers[0]?.uri ?? "", "parley-claims")).toBe(1);
    },
    electionMs,
  );
});
