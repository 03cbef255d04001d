// A bucket whose server dies, whose disk is wiped, whose stream or consumer is taken away: every watch begins afresh by itself.
import { expect, test } from "bun:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { ensureBucket } from "../../src/transport/nats-bucket";
import { JetStream } from "../../src/transport/nats-jetstream";
import { NatsRequests } from "../../src/transport/nats-requests";
import { describeWith, startNats, wipeJetStream } from "../services/services";
import type { Service } from "../services/services";
import { until } from "../until";
import { NatsWorld, Told } from "./world";

const stream = "KV_parley-claims";

async function manager(service: Service) {
  const client = await connect({ servers: service.uri });
  return Object.assign(await jetstreamManager(client), { [Symbol.asyncDispose]: () => client.close() });
}

describeWith("own nats", "a bucket in trouble", () => {
  test("after a server's death every watch tells all again: claims are kept, leases are not", async () => {
    await using service = await startNats();
    await using world = new NatsWorld(service.uri);
    const { claims, members } = await world.open();
    await claims.put("1", "a");
    await members.put("m", "serving 1");
    const [told, leases] = [await Told.of(claims), await Told.of(members)];
    await service.kill9();
    expect(await claims.update("1", "b", 1)).toEqual({ outcome: "unknown" });
    await service.start();
    await until(() => told.begun > 1 && told.isCurrent && leases.begun > 1 && leases.isCurrent);

    expect([...told.values]).toEqual([["1", "a"]]);
    expect([...leases.values]).toEqual([]);
    expect(await claims.update("1", "b", told.revisions.get("1") ?? 0)).toMatchObject({ outcome: "written" });
    await until(() => told.values.get("1") === "b");
  });

  test("a wiped folder gets its buckets again, raced by three nodes, and all of them hear that nothing stands", async () => {
    await using service = await startNats();
    await using world = new NatsWorld(service.uri);
    const nodes = [await world.open(), await world.open(), await world.open()];
    await nodes[0]?.claims.put("1", "a");
    const watches = await Promise.all(nodes.flatMap(({ claims, members }) => [Told.of(claims), Told.of(members)]));
    await service.kill9();
    wipeJetStream(service);
    await service.start();
    await until(() => watches.every((told) => told.begun > 1 && told.isCurrent && told.values.size === 0));

    const written = await Promise.all(nodes.map(({ claims }, i) => claims.update("1", String(i), 0)));
    expect(written.filter(({ outcome }) => outcome === "written")).toHaveLength(1);
    await until(() => watches.filter((told) => told.values.has("1")).length === nodes.length);
    expect(world.lines.join("")).toContain("a bucket was gone and is made anew");
  });

  test.concurrent("a bucket that is asked for although it is there stays as it is, with what stands in it", async () => {
    await using service = await startNats();
    await using world = new NatsWorld(service.uri);
    const { claims } = await world.open();
    await claims.put("1", "a");
    const link = await world.link();
    const jetStream = new JetStream(new NatsRequests(link, "parley.inbox.asks"));
    const plan = { name: "parley-claims", storage: "file", lifeMs: 0, replicas: 1 } as const;
    expect(await ensureBucket(jetStream, plan, false, true)).toMatchObject({ outcome: "ready", differs: [] });
    const other = { ...plan, storage: "memory" } as const;
    expect(await ensureBucket(jetStream, other, false, true)).toMatchObject({ outcome: "ready", created: false });
    expect(await claims.read("1")).toEqual({ value: "a", revision: 1 });
    await link.close();
  });

  test.concurrent("a bucket that is deleted under a running node comes back with its next write, and the watch begins afresh", async () => {
    await using service = await startNats();
    await using world = new NatsWorld(service.uri);
    const { claims } = await world.open();
    const told = await Told.of(claims);
    await claims.put("1", "a");
    await using streams = await manager(service);
    await streams.streams.delete(stream);
    expect(await claims.update("1", "b", 1)).toEqual({ outcome: "unknown" });
    await until(() => told.begun > 1 && told.isCurrent);
    expect(told.values.size).toBe(0);
    expect(await claims.update("1", "c", 0)).toMatchObject({ outcome: "written" });
    await until(() => told.values.get("1") === "c");
  }, 15_000);

  test.concurrent("a watch whose consumer is taken away notices, and loses nothing of what was written meanwhile", async () => {
    await using service = await startNats();
    await using world = new NatsWorld(service.uri);
    const { claims } = await world.open();
    const told = await Told.of(claims);
    await using streams = await manager(service);
    for await (const { name } of streams.consumers.list(stream)) await streams.consumers.delete(stream, name);
    await claims.put("1", "unheard");
    await until(() => told.values.get("1") === "unheard" && told.isCurrent);
    expect(told.begun).toBe(2);
  }, 15_000);

  test.concurrent("a server that stands still answers no write within about a second, and nothing rejects", async () => {
    await using service = await startNats();
    await using world = new NatsWorld(service.uri);
    const { claims, bus } = await world.open();
    service.stopSignal();
    // The signal takes its time.
    await until(async () => !(await bus.flush()));
    expect(
      await Promise.all([claims.put("1", "a"), claims.update("2", "a", 0), claims.delete("1", null), claims.read("1")]),
    ).toEqual([{ outcome: "unknown" }, { outcome: "unknown" }, undefined, "unknown"]);
    service.continue();
  });
});
