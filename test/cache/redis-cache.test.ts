// The Redis driver keeps the contract of the port on a real server, and stays harmless when that server does not behave.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { systemClock } from "../../src/lib/clock";
import type { Clock } from "../../src/lib/clock";
import { cacheLimits } from "../../src/storage/cache";
import { cacheContract } from "../../src/storage/cache.case";
import { RedisCache } from "../../src/storage/redis-cache";
import { linkLimits } from "../../src/storage/redis-link";
import { SteeredClock } from "../socket/steered-clock";
import { describeWith } from "../services/services";
import { Noted } from "./noted";
import { TestRedis } from "./redis";

let redis: TestRedis;

/** Ample: only tests with a clock of their own are about time. */
const timeoutMs = 5_000;

async function open(options: { url?: string; namespace?: string; clock?: Clock; timeoutMs?: number } = {}) {
  const noted = new Noted();
  const ready = noted.next("ready");
  const namespace = options.namespace ?? `test:${randomUUID()}`;
  const cache = new RedisCache({
    url: redis.url,
    clock: systemClock,
    timeoutMs,
    observer: noted,
    ...options,
    namespace,
  });
  return { cache, noted, namespace, ready, [Symbol.asyncDispose]: () => cache.close() };
}

/** How each type of Redis is put under a key. */
const garbage: Record<string, (key: string) => Promise<unknown>> = {
  text: (key) => redis.client.set(key, "garbage"),
  "a number of 40 digits": (key) => redis.client.set(key, "1".repeat(40)),
  "a negative number": (key) => redis.client.set(key, "-5"),
  "the largest number": (key) => redis.client.set(key, "9223372036854775807"),
  "MessagePack of another form": (key) => redis.client.set(key, Buffer.from([0x93, 2, 0xa1, 0x61, 1])),
  "a text of a megabyte": (key) => redis.client.set(key, Buffer.alloc(1 << 20)),
  list: (key) => redis.client.rpush(key, "a", "b"),
  hash: (key) => redis.client.hset(key, "a", "b"),
  "a set larger than a place": (key) =>
    redis.client.sadd(key, ...Array.from({ length: cacheLimits.membersMax + 1 }, (_, i) => `m${i}`)),
  "sorted set": (key) => redis.client.zadd(key, 1, "a"),
  stream: (key) => redis.client.xadd(key, "*", "a", "b"),
  hyperloglog: (key) => redis.client.pfadd(key, "a"),
};

describeWith("own redis", "the cache in Redis", () => {
  beforeAll(async () => {
    redis = await TestRedis.start();
  });
  afterAll(() => redis[Symbol.asyncDispose]());

  cacheContract("redis", async () => {
    const one = await open();
    const other = await open({ namespace: one.namespace });
    await Promise.all([one.ready, other.ready]);
    const dispose = async () => {
      await one.cache.close();
      await other.cache.close();
    };
    return { cache: one.cache, second: other.cache, [Symbol.asyncDispose]: dispose };
  });

  test("everything under our keys expires", async () => {
    await using world = await open();
    const { cache, ready, namespace } = world;
    await ready;
    await cache.put([{ key: "value", value: 1 }], 60_000);
    await cache.count([{ key: "counter", by: 1 }], 60_000);
    await cache.enter([{ key: "place", member: "node" }], 60_000);
    const keys = await redis.client.keys(`${namespace}:*`);
    expect(keys.length).toBe(3);
    for (const key of keys) expect(await redis.client.pttl(key)).toBeGreaterThan(0);
  });

  for (const [name, write] of Object.entries(garbage)) {
    test(`${name} under a key of ours is a miss, is counted, and is gone for the next one`, async () => {
      await using world = await open();
      const { cache, noted, ready, namespace } = world;
      await ready;
      await write(`${namespace}:value`);
      await write(`${namespace}:counter`);
      await write(`${namespace}:place`);
      expect(await cache.get(["value"])).toEqual([null]);
      const [sum] = await cache.count([{ key: "counter", by: 3 }], 60_000);
      const [members] = await cache.members(["place"]);
      expect([sum, members]).toEqual([null, null]);
      expect(noted.failures).toEqual(["garbage", "garbage", "garbage"]);
      // The same connection keeps order: what was removed behind the answers is gone by now.
      expect(await cache.count([{ key: "counter", by: 3 }], 60_000)).toEqual([3]);
      expect(await cache.members(["place"])).toEqual([[]]);
      expect(await redis.client.exists(`${namespace}:value`)).toBe(0);
    });
  }

  test("a value that was copied to another key, or cut, is a miss", async () => {
    await using world = await open();
    const { cache, ready, namespace } = world;
    await ready;
    await cache.put([{ key: "ada", value: true }], 60_000);
    await redis.client.copy(`${namespace}:ada`, `${namespace}:bob`);
    const bytes = (await redis.client.getBuffer(`${namespace}:ada`)) as Buffer;
    await redis.client.set(`${namespace}:cut`, bytes.subarray(0, -1));
    expect(await cache.get(["ada", "bob", "cut"])).toEqual([true, null, null]);
  });

  test("a refusal of Redis is a miss and counted, and the cache goes on", async () => {
    await using world = await open();
    const { cache, noted, ready } = world;
    await ready;
    await redis.client.config("SET", "maxmemory", "1");
    await cache.put([{ key: "a", value: 1 }], 60_000);
    expect(await cache.count([{ key: "c", by: 1 }], 60_000)).toEqual([null]);
    await redis.client.config("SET", "maxmemory", "0");
    expect([await cache.get(["a"]), noted.failures, cache.state()]).toEqual([[null], ["refused", "refused"], "ready"]);
  });

  test("a Redis that never answers costs a few calls the time-out, then none of them anything, until it answers again", async () => {
    const clock = new SteeredClock();
    await using own = await TestRedis.start();
    await using world = await open({ url: own.url, clock, timeoutMs: 60_000 });
    const { cache, noted, ready } = world;
    await ready;
    own.service.stopSignal();
    const down = noted.next("down");
    let answered = 0;
    const calls = Array.from({ length: 5 }, () => cache.get(["a"]).then(() => answered++));
    clock.advance(59_000);
    expect([answered, cache.state()]).toEqual([0, "ready"]);
    clock.advance(1_000);
    await Promise.all(calls);
    await down;
    expect(noted.failures.filter((reason) => reason === "timeout").length).toBe(5);

    // Down: answered in the same turn, without time passing and without a command.
    expect(await cache.get(["a"])).toEqual([null]);
    expect(await cache.count([{ key: "a", by: 1 }], 1_000)).toEqual([null]);

    const probing = noted.next("probing");
    clock.advance(linkLimits.backoffMaxMs);
    await probing;
    expect(await cache.get(["a"])).toEqual([null]);
    const again = noted.next("ready");
    own.service.continue();
    await again;
    await cache.put([{ key: "a", value: 1 }], 60_000);
    expect(await cache.get(["a"])).toEqual([1]);
  });

  test("an account needs only the commands that the operations page names, and is shut out with a wrong password", async () => {
    const namespace = `test:${randomUUID()}`;
    const page = await Bun.file(join(import.meta.dir, "../../docs/OPERATIONS.md")).text();
    const rules = /^ACL SETUSER parley on >PASSWORD resetchannels ~parley:\* (.+)$/m.exec(page)?.[1]?.split(" ") ?? [];
    expect(rules).toContain("+incrby");
    await redis.client.acl("SETUSER", "parley", "reset", "on", ">p@ss:w", `~${namespace}:*`, ...rules);
    const url = redis.url.replace("redis://", "redis://parley:p%40ss%3Aw@");
    await using world = await open({ url: `${url.replace(/\/$/, "")}/2`, namespace });
    const { cache, noted, ready } = world;
    await ready;
    await cache.put([{ key: "a", value: 1 }], 60_000);
    await cache.enter([{ key: "p", member: "node" }], 60_000);
    expect([await cache.get(["a"]), await cache.members(["p"])]).toEqual([[1], [["node"]]]);
    expect(await cache.count([{ key: "c", by: 1 }], 60_000)).toEqual([1]);
    await cache.exit([{ key: "p", member: "node" }]);
    await cache.drop(["a"]);
    expect([await cache.get(["a"]), noted.failures]).toEqual([[null], []]);

    await using wrong = await open({ url: url.replace("p%40ss", "other"), namespace });
    await wrong.noted.next("down");
    expect(wrong.noted.reasons[0]).toContain("WRONGPASS");
    expect(JSON.stringify(wrong.noted.reasons)).not.toContain("other");
  });

  test("kill -9 of Redis is a miss for every call until another one is there", async () => {
    await using own = await TestRedis.start();
    await using world = await open({ url: own.url });
    const { cache, noted, ready } = world;
    await ready;
    await cache.put([{ key: "a", value: 1 }], 60_000);
    const down = noted.next("down");
    await own.service.kill9();
    await down;
    expect(await cache.get(["a"])).toEqual([null]);
    const again = noted.next("ready");
    await own.service.start();
    await again;
    expect(await cache.get(["a"])).toEqual([null]);
  });

  test("tries follow each other at growing distances, one at a time", async () => {
    const clock = new SteeredClock();
    const noted = new Noted();
    const waits: number[] = [];
    const after: Clock["after"] = (ms, call) => {
      if (noted.states.at(-1) === "down") waits.push(ms);
      return clock.after(ms, call);
    };
    const noting: Clock = {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      endOfTurn: clock.endOfTurn,
      after,
    };
    // Nothing listens on port 1 of loopback.
    const url = "redis://127.0.0.1:1";
    const cache = new RedisCache({ url, clock: noting, timeoutMs, observer: noted, namespace: "n", random: () => 1 });
    for (let i = 0; i < 8; i++) {
      await noted.next("down");
      const probing = noted.next("probing");
      clock.advance(linkLimits.backoffMaxMs);
      await probing;
    }
    await cache.close();
    expect(waits).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    expect(noted.states.filter((state) => state === "ready")).toEqual([]);
  });

  test("more calls at once than are allowed are misses, and nothing waits for them", async () => {
    await using own = await TestRedis.start();
    await using world = await open({ url: own.url });
    const { cache, noted, ready } = world;
    await ready;
    own.service.stopSignal();
    const calls = Array.from({ length: linkLimits.inFlightMax }, () => cache.get(["a"]));
    expect(await cache.get(["a"])).toEqual([null]);
    expect(noted.failures).toEqual(["busy"]);
    own.service.continue();
    expect((await Promise.all(calls)).length).toBe(linkLimits.inFlightMax);
  });
});
