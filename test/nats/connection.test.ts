// A connection to NATS that is lost, stuck or flooded: nothing throws, nothing vanishes without a word, and it comes back.
import { expect, test } from "bun:test";
import { natsLimits } from "../../src/transport/nats-connection";
import { describeWith, startNats } from "../services/services";
import { until } from "../until";
import { byte, NatsWorld } from "./world";

const patience = 5_000;

describeWith("own nats", "a connection to NATS", () => {
  test("nothing is taken while it is lost, what was asked is silent, and subscriptions stand again with the next one", async () => {
    await using service = await startNats();
    await using world = new NatsWorld(service.uri);
    const [a, b] = [await world.open(), await world.open()];
    const heard: number[] = [];
    b.bus.subscribe("p.1", ({ bytes, answer }) => {
      heard.push(bytes[0] ?? -1);
      if (bytes[0] !== 1) answer(bytes);
    });
    await b.bus.flush();
    const unanswered = a.bus.request("p.1", byte(1), 60_000);
    await until(() => heard.length === 1);

    await service.kill9();

    expect(await unanswered).toEqual({ outcome: "silent" });
    await until(() => !a.bus.connected && !b.bus.connected);
    expect(a.bus.publish("p.1", byte(2))).toBe(false);
    expect(await a.bus.request("p.1", byte(2), patience)).toEqual({ outcome: "away" });
    expect(await a.bus.flush()).toBe(false);
    expect(await a.claims.put("1", "x")).toEqual({ outcome: "unknown" });
    await a.claims.delete("1", null);
    const early = a.bus.subscribe("p.2", ({ bytes, answer }) => answer(bytes));
    const brief = a.bus.subscribe("p.3", () => undefined);
    await brief.drain();
    expect([a.bus.connection, b.bus.connection]).toEqual([1, 1]);

    await service.start();
    await until(() => a.bus.connected && b.bus.connected);
    await Promise.all([a.bus.flush(), b.bus.flush()]);

    expect([a.bus.connection, b.bus.connection]).toEqual([2, 2]);
    expect(await a.bus.request("p.1", byte(3), patience)).toMatchObject({ outcome: "answered" });
    expect(await b.bus.request("p.2", byte(4), patience)).toMatchObject({ outcome: "answered" });
    expect(await b.bus.request("p.3", byte(4), patience)).toEqual({ outcome: "absent" });
    expect(heard).toEqual([1, 3]);
    early.unsubscribe();
  });

  test("listeners hear the state at once and every change, before the watches begin afresh and before anything arrives", async () => {
    await using service = await startNats();
    await using world = new NatsWorld(service.uri);
    const [a, b] = [await world.open(), await world.open()];
    const events: string[] = [];
    a.claims.watch({ restarted: () => void events.push("watch"), entry: () => undefined, current: () => undefined });
    a.bus.onConnection((stands) => void events.push(stands ? "stands" : "lost"));
    expect(events).toEqual(["stands"]);
    await until(() => events.length === 2);
    a.bus.subscribe("gw.a", () => void (events.at(-1) !== "message" && events.push("message")));

    await service.kill9();
    await until(() => !a.bus.connected);
    await service.start();
    await until(() => {
      b.bus.publish("gw.a", byte(1));
      return events.includes("message") && events.filter((event) => event === "watch").length === 2;
    });

    expect(events.slice(0, 4)).toEqual(["stands", "watch", "lost", "stands"]);
    expect(events.slice(4)).toContain("watch");
  });

  test("a server that takes nothing more is left for another, and what waits for it stays bounded", async () => {
    await using one = await startNats();
    await using two = await startNats();
    await using world = new NatsWorld(`${one.uri},${two.uri}`);
    const node = await world.open();
    const [stuck, other] = one.uri.endsWith(node.server) ? [one, two] : [two, one];
    const large = new Uint8Array(512 * 1024);
    stuck.stopSignal();

    let taken = 0;
    while (node.bus.publish("gw.x", large)) taken += large.length;
    expect(taken).toBeLessThanOrEqual(natsLimits.bytesWaitingMax);
    expect(taken).toBeGreaterThanOrEqual(natsLimits.bytesWaitingMax - large.length);
    expect(await node.bus.flush()).toBe(false);
    await until(() => node.bus.connection === 2 && node.bus.connected);

    expect(other.uri).toEndWith(node.server);
    expect(node.stats().bytesWaiting).toBeLessThan(large.length);
    expect(node.bus.publish("gw.x", large)).toBe(true);
    expect(await node.bus.flush()).toBe(true);
  }, 20_000);

  test("what the server has confirmed makes room again", async () => {
    await using service = await startNats();
    await using world = new NatsWorld(service.uri);
    const node = await world.open();
    const large = new Uint8Array(512 * 1024);
    while (node.bus.publish("gw.x", large));
    await until(() => node.bus.publish("gw.x", large));
    await until(() => node.stats().bytesWaiting === 0);
    // A little is asked about by and by, too.
    node.bus.publish("gw.x", byte(1));
    expect(node.stats().bytesWaiting).toBe(1);
    await until(() => node.stats().bytesWaiting === 0);
  });

  test("a start waits for a server that comes later, and says so", async () => {
    await using service = await startNats();
    await using world = new NatsWorld(service.uri);
    await service.kill9();
    const opening = world.open({}, 60_000);
    await until(() => world.lines.some((line) => line.includes("trying again for up to 60 s")));
    await service.start();
    expect((await opening).bus.connected).toBe(true);
  });

  test("a start without a server is refused in words that say where and what to do", async () => {
    await using world = new NatsWorld("nats://someone:hidden@127.0.0.1:1");
    const says = await world.refusal({}, 0);
    expect(says).toBe("cannot use the NATS at 127.0.0.1:1: connection refused; start it, or correct PARLEY_NATS");
  });

  test("after closing nothing is taken, and closing again does nothing", async () => {
    await using service = await startNats();
    await using world = new NatsWorld(service.uri);
    const [a, b] = [await world.open(), await world.open()];
    const heard: number[] = [];
    b.bus.subscribe("gw.b", ({ bytes }) => void heard.push(bytes[0] ?? -1));
    await b.bus.flush();
    a.bus.publish("gw.b", byte(5));
    await a.close();
    await a.close();
    await until(() => heard.length === 1);
    expect([a.bus.connected, a.bus.publish("gw.b", byte(6)), await a.bus.flush()]).toEqual([false, false, false]);
    expect(await a.bus.request("gw.b", byte(6), patience)).toEqual({ outcome: "away" });
    const late = a.bus.subscribe("gw.c", () => undefined);
    await late.drain();
    late.unsubscribe();
  });
});
