// The bus over a real nats-server: each outcome of a request, order, what a drain keeps, and deployments that never meet.
import { expect, test } from "bun:test";
import type { BusMessage } from "../../src/actors/bus";
import { describeWith, shareNats } from "../services/services";
import { until } from "../until";
import { byte, NatsWorld } from "./world";

async function twoNodes() {
  const share = await shareNats();
  const world = new NatsWorld(share.uri, { natsPrefix: share.name });
  return {
    world,
    a: await world.open(),
    b: await world.open(),
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](share),
  };
}

const patience = 5_000;

describeWith("nats", "messages between nodes", () => {
  test("a request is answered by who listens, and absent where nobody does", async () => {
    await using nodes = await twoNodes();
    const { a, b } = nodes;
    b.bus.subscribe("p.1", ({ bytes, answer }) => answer(Uint8Array.from([...bytes, 9])));
    expect(await b.bus.flush()).toBe(true);

    const answered = await a.bus.request("p.1", byte(7), patience);
    if (answered.outcome !== "answered") throw new Error(answered.outcome);
    expect([...answered.bytes]).toEqual([7, 9]);
    expect(await a.bus.request("p.2", byte(7), patience)).toEqual({ outcome: "absent" });
  });

  test("an empty answer is an answer, not an absence", async () => {
    await using nodes = await twoNodes();
    const { a, b } = nodes;
    b.bus.subscribe("p.1", ({ answer }) => answer(new Uint8Array(0)));
    await b.bus.flush();

    expect(await a.bus.request("p.1", byte(1), patience)).toMatchObject({ outcome: "answered" });
  });

  test("a request that nobody answers is silent when its time is over, and a late or second answer changes nothing", async () => {
    await using nodes = await twoNodes();
    const { a, b } = nodes;
    const kept: BusMessage[] = [];
    b.bus.subscribe("p.1", (message) => void kept.push(message));
    b.bus.subscribe("p.2", ({ answer }) => {
      answer(byte(1));
      answer(byte(2));
    });
    await b.bus.flush();

    expect(await a.bus.request("p.1", byte(7), 30)).toEqual({ outcome: "silent" });
    kept[0]?.answer(byte(9));
    const answers = await Promise.all([1, 2, 3].map(() => a.bus.request("p.2", byte(0), patience)));
    expect(answers.map((answer) => answer.outcome === "answered" && answer.bytes[0])).toEqual([1, 1, 1]);
  });

  test("thousands of requests under way at once get their own answers", async () => {
    await using nodes = await twoNodes();
    const { a, b } = nodes;
    b.bus.subscribe("p.1", ({ bytes, answer }) => answer(bytes));
    await b.bus.flush();

    const numbers = Array.from({ length: 3000 }, (_, i) => Uint8Array.of(i >> 8, i & 255));
    const answers = await Promise.all(numbers.map((bytes) => a.bus.request("p.1", bytes, patience)));

    expect(answers.map((answer) => (answer.outcome === "answered" ? [...answer.bytes] : []))).toEqual(
      numbers.map((bytes) => [...bytes]),
    );
  });

  test("messages of one sender arrive in the order sent, and the sender hears its own", async () => {
    await using nodes = await twoNodes();
    const { a, b } = nodes;
    const heard = { a: [] as number[], b: [] as number[] };
    a.bus.subscribe("gw.all", ({ bytes }) => void heard.a.push(bytes[0] ?? -1));
    b.bus.subscribe("gw.all", ({ bytes }) => void heard.b.push(bytes[0] ?? -1));
    await Promise.all([a.bus.flush(), b.bus.flush()]);

    const sent = Array.from({ length: 200 }, (_, i) => i);
    for (const i of sent) expect(a.bus.publish("gw.all", byte(i))).toBe(true);
    await until(() => heard.b.length === sent.length && heard.a.length === sent.length);

    expect(heard).toEqual({ a: sent, b: sent });
  });

  test("a drain takes no more and hands out all that was sent before it", async () => {
    await using nodes = await twoNodes();
    const { a, b } = nodes;
    const heard: number[] = [];
    const subscription = b.bus.subscribe("p.1", ({ bytes, answer }) => {
      heard.push(bytes[0] ?? -1);
      answer(bytes);
    });
    await b.bus.flush();
    const sent = Array.from({ length: 200 }, (_, i) => i);
    const asked = sent.map((i) => a.bus.request("p.1", byte(i), patience));
    await a.bus.flush();

    await subscription.drain();

    expect(heard).toEqual(sent);
    expect((await Promise.all(asked)).every(({ outcome }) => outcome === "answered")).toBe(true);
    expect(await a.bus.request("p.1", byte(0), patience)).toEqual({ outcome: "absent" });
  });

  test("what an unsubscription leaves behind is not handed out", async () => {
    await using nodes = await twoNodes();
    const { a, b } = nodes;
    const heard: number[] = [];
    const subscription = b.bus.subscribe("p.1", ({ bytes }) => {
      heard.push(bytes[0] ?? -1);
      subscription.unsubscribe();
    });
    await b.bus.flush();
    for (let i = 0; i < 50; i++) a.bus.publish("p.1", byte(i));
    await until(() => heard.length > 0);
    await b.bus.flush();

    expect(heard).toEqual([0]);
    subscription.unsubscribe();
  });

  test("a handler that throws is told to the log, and harms nobody else", async () => {
    await using nodes = await twoNodes();
    const { a, b, world } = nodes;
    b.bus.subscribe("p.1", () => {
      throw new Error("boom");
    });
    b.bus.subscribe("p.2", ({ bytes, answer }) => answer(bytes));
    await b.bus.flush();
    a.bus.publish("p.1", byte(1));

    expect(await a.bus.request("p.2", byte(1), patience)).toMatchObject({ outcome: "answered" });
    expect(world.lines.filter((line) => line.includes("boom"))).toHaveLength(1);
  });

  test("a message larger than the server takes is not taken, which is told, and one that fits is", async () => {
    await using nodes = await twoNodes();
    const { a, b, world } = nodes;
    const heard: number[] = [];
    b.bus.subscribe("p.1", ({ bytes }) => void heard.push(bytes.length));
    await b.bus.flush();

    expect(a.bus.publish("p.1", new Uint8Array(a.maxBytes + 1))).toBe(false);
    expect(await a.bus.request("p.1", new Uint8Array(a.maxBytes + 1), patience)).toEqual({ outcome: "away" });
    expect(a.stats().refused).toBe(2);
    // Whoever sends such a thing does so again and again.
    expect(world.lines.filter((line) => line.includes("are too many for one message"))).toHaveLength(1);
    expect(a.bus.publish("p.1", new Uint8Array(a.maxBytes))).toBe(true);
    await until(() => heard.length === 1);
    expect(heard).toEqual([a.maxBytes]);
  });

  test("two deployments on one NATS never meet", async () => {
    await using share = await shareNats();
    await using world = new NatsWorld(share.uri);
    const a = await world.open({ natsPrefix: share.name });
    const other = await world.open({ natsPrefix: `${share.name}-x` });
    const heard: string[] = [];
    other.bus.subscribe("gw.all", () => void heard.push("all"));
    other.bus.subscribe("p.1", ({ answer }) => answer(byte(1)));
    await other.bus.flush();

    a.bus.publish("gw.all", byte(1));
    expect(await a.bus.request("p.1", byte(1), patience)).toEqual({ outcome: "absent" });
    expect(await a.claims.update("1", "a", 0)).toMatchObject({ outcome: "written" });
    expect(await other.claims.update("1", "b", 0)).toMatchObject({ outcome: "written" });
    expect(await other.claims.read("1")).toMatchObject({ value: "b" });
    await other.bus.flush();
    expect(heard).toEqual([]);
  });
});
