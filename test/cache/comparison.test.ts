// Whatever happens to its cache, a server answers as one that has none: a script is played against both and every answer compared (G10).
// Two negative controls show that the comparison sees a cache that is believed.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import { systemClock } from "../../src/lib/clock";
import { configureFailpoints } from "../../src/lib/failpoints";
import { silentLog } from "../../src/lib/log";
import { startServer } from "../../src/server";
import type { Cache } from "../../src/storage/cache";
import { RedisCache } from "../../src/storage/redis-cache";
import { startProxy } from "../faults/proxy";
import { ServerWorld } from "../server/server-world";
import { describeWith } from "../services/services";
import { LyingCache, NoCache, Noted } from "./noted";
import { TestRedis } from "./redis";
import { adminSecret, play, steps } from "./script";

/** Plays the script against a server of its own over this cache; undefined: the configured one. */
async function transcript(
  openCache: ((generation: string) => Cache) | undefined,
  onStep: (step: number) => Promise<unknown> = async () => undefined,
): Promise<readonly string[]> {
  await using world = await ServerWorld.open();
  const opened = openCache && { openCache: (_: unknown, generation: string) => openCache(generation) };
  const config = world.config({ PARLEY_ADMIN_SECRET: adminSecret });
  await using server = await startServer(config, { log: silentLog(), version: "test", ...opened });
  return await play(world, server, onStep);
}

const ampleMs = 5_000;

let without: readonly string[] = [];
beforeAll(async () => {
  without = await transcript(() => new NoCache());
});
afterEach(() => configureFailpoints(""));

test("the script meets answers and refusals of every kind that could depend on a cache", () => {
  expect(without.length).toBeGreaterThan(steps * 20);
  for (const part of [
    '"unknown_user"',
    '"no_access"',
    '["late-3","nobody"]',
    "hello 2",
    '["cy",true],["late-3",false]',
  ])
    expect([part, without.some((line) => line.includes(part))]).toEqual([part, true]);
});

test("the memory cache changes no answer", async () => {
  expect(await transcript(undefined)).toEqual(without as string[]);
});

test("negative control: a cache that is believed whatever it says is seen", async () => {
  expect(await transcript(() => new LyingCache())).not.toEqual(without as string[]);
});

test("negative control: remembering who does not exist is seen", async () => {
  configureFailpoints("negative.unknownIsRemembered");
  expect(await transcript(undefined)).not.toEqual(without as string[]);
});

describeWith("own redis", "a server whose Redis", () => {
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await TestRedis.start();
  });
  afterAll(() => redis[Symbol.asyncDispose]());

  /** A cache in Redis with the time-out that is the default, or ample where the test is about something else. */
  function over(url: string, noted: Noted, timeoutMs = 25) {
    const namespace = `test:${randomUUID()}`;
    const open = () => new RedisCache({ url, timeoutMs, clock: systemClock, observer: noted, namespace });
    return { namespace, open };
  }

  test("is well changes no answer, and really uses it", async () => {
    const noted = new Noted();
    expect(await transcript(over(redis.url, noted, ampleMs).open)).toEqual(without as string[]);
    expect(noted.answers).toBeGreaterThan(steps * 3);
  });

  test("is flushed every 100 ms and before every round changes no answer", async () => {
    const noted = new Noted();
    let flushes = 0;
    const flush = async (): Promise<void> => {
      await redis.client.flushall();
      flushes++;
    };
    const timer = setInterval(() => void flush(), 100);
    const told = await transcript(over(redis.url, noted).open, flush).finally(() => clearInterval(timer));
    expect(told).toEqual(without as string[]);
    expect(flushes).toBeGreaterThanOrEqual(steps);
  });

  test("holds garbage of every type under our keys changes no answer", async () => {
    const noted = new Noted();
    const { namespace, open } = over(redis.url, noted, ampleMs);
    const spoil = async (step: number): Promise<void> => {
      const known = await redis.client.keys(`${namespace}:*`);
      const coming = ["ada", "bob", "cy", "dee", `late-${step}`, "nobody"].flatMap((user) =>
        ["person", "place", "spent"].map((use) => `${namespace}:${use}:${user}`),
      );
      for (const [i, key] of [...known, ...coming].entries()) await putGarbage(redis.client, key, step + i);
    };
    expect(await transcript(open, spoil)).toEqual(without as string[]);
    expect(noted.count("garbage")).toBeGreaterThan(steps);
  });

  test("is stopped, and later goes on, changes no answer, and is given up meanwhile", async () => {
    const noted = new Noted();
    await using own = await TestRedis.start();
    const told = await transcript(over(own.url, noted).open, async (step) => {
      if (step === 2) own.service.stopSignal();
      if (step !== 8) return;
      const ready = noted.next("ready");
      own.service.continue();
      await ready;
    });
    expect(told).toEqual(without as string[]);
    expect(noted.states).toContain("down");
  });

  test("is killed with kill -9, and later started anew, changes no answer", async () => {
    const noted = new Noted();
    await using own = await TestRedis.start();
    const told = await transcript(over(own.url, noted, ampleMs).open, async (step) => {
      if (step === 2) await own.service.kill9();
      if (step !== 8) return;
      const ready = noted.next("ready");
      await own.service.start();
      await ready;
    });
    expect(told).toEqual(without as string[]);
    expect(noted.states.slice(0, 3)).toEqual(["probing", "ready", "down"]);
  });

  for (const way of ["toServer", "toClient", "both"] as const)
    test(`is behind a black hole (${way}), and later seen again, changes no answer`, async () => {
      const noted = new Noted();
      await using proxy = await startProxy(redis.url);
      const told = await transcript(over(proxy.through(redis.url), noted).open, async (step) => {
        if (step === 2) proxy.blackHole(way);
        if (step !== 8) return;
        const ready = noted.next("ready");
        await proxy.heal();
        await ready;
      });
      expect(told).toEqual(without as string[]);
      expect(noted.states).toContain("down");
    });

  test("answers too late, every time, changes no answer and is given up", async () => {
    const noted = new Noted();
    await using proxy = await startProxy(redis.url);
    const told = await transcript(over(proxy.through(redis.url), noted).open, async (step) => {
      if (step === 2) proxy.delay({ toClientMs: 200 });
    });
    expect(told).toEqual(without as string[]);
    expect(noted.states).toContain("down");
  });

  test("is not there at all changes no answer", async () => {
    const noted = new Noted();
    // Nothing listens on port 1 of loopback.
    expect(await transcript(over("redis://127.0.0.1:1", noted).open)).toEqual(without as string[]);
    expect([noted.answers, noted.states.includes("ready")]).toEqual([0, false]);
  });
});

/** Something of another type, or of no form of ours, in the place of whatever is there; in one step, for the server writes meanwhile. */
async function putGarbage(client: Redis, key: string, kind: number): Promise<void> {
  const bare = client.multi().del(key);
  const kinds = [
    () => bare.set(key, "garbage"),
    () => bare.set(key, "7"),
    () => bare.rpush(key, "a"),
    () => bare.hset(key, "a", "b"),
    () => bare.sadd(key, "a", "node", "A".repeat(11)),
    () => bare.zadd(key, 1, "a"),
    () => bare.xadd(key, "*", "a", "b"),
    () => bare.set(key, Buffer.from([0x93, 1, 0xa1, 0x61, 0xc3])),
  ];
  await kinds[kind % kinds.length]?.();
  for (const [failure] of (await bare.exec()) ?? []) if (failure) throw failure;
}
