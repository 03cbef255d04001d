// Servers that share one Redis: what they tell each other, and that no request waits for it.
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { Redis } from "ioredis";
import { socketPath } from "../../src/protocol/frames";
import type { UserId } from "../../src/protocol/ids";
import { signToken } from "../../src/transport/tokens";
import { Command } from "../server/command";
import { secret, ServerWorld } from "../server/server-world";
import { describeWith, startRedis } from "../services/services";
import type { Service } from "../services/services";
import { RawClient } from "../socket/raw-client";

/** A server in a process of its own. */
interface Started extends AsyncDisposable {
  readonly url: string;
  readonly command: Command;
  signIn(user: string): Promise<RawClient>;
}

async function serve(dataDir: string, redis: Service, environment: Record<string, string> = {}): Promise<Started> {
  const own = { PARLEY_PORT: "0", PARLEY_DATA_DIR: dataDir, PARLEY_AUTH_SECRET: secret, PARLEY_LOG_FORMAT: "json" };
  // What a test is not about must not depend on how busy the machine is.
  const cache = { PARLEY_CACHE: redis.uri, PARLEY_CACHE_TIMEOUT_MS: "1000" };
  const command = new Command(["serve"], { ...own, ...cache, ...environment });
  const [ready] = await Promise.all([command.line(/"msg":"ready"/), command.line(/the cache is ready/)]);
  const { url } = JSON.parse(ready) as { url: string };
  const signIn = async (user: string): Promise<RawClient> => {
    const client = await RawClient.connect(url.replace("http", "ws") + socketPath);
    await client.request("hello", 1, await signToken(secret, user as UserId, { seconds: 600 }), `device-of-${user}`);
    return client;
  };
  return { url, command, signIn, [Symbol.asyncDispose]: () => command[Symbol.asyncDispose]() };
}

/** Two data folders of one generation, as two nodes have that are one deployment. */
async function twoFolders(world: ServerWorld): Promise<readonly [string, string]> {
  const first = await world.start();
  await first.stop();
  const second = join(world.dataDir, "second");
  await cp(join(world.dataDir, "parley.sqlite"), join(second, "parley.sqlite"));
  return [world.dataDir, second];
}

/** Watches these; answers who of them is online. */
async function watch(client: RawClient, ...users: string[]): Promise<unknown> {
  const [people] = await client.request("watch", users);
  return people;
}

/** Whom the next push of presence names. */
async function told(client: RawClient): Promise<unknown> {
  const [people] = await client.push("presence");
  return people;
}

/** On a machine that has other things to do; two servers start. */
const timeoutMs = 60_000;

describeWith("own redis", "two servers over one Redis", () => {
  test(
    "who watches on one hears of people on the other, who come, leave, and go with their server",
    async () => {
      await using world = await ServerWorld.open();
      await using redis = await startRedis();
      const folders = await twoFolders(world);
      await using a = await serve(folders[0], redis);
      await using b = await serve(folders[1], redis);

      await using ann = await a.signIn("ann");
      expect(await watch(ann, "bob", "ann")).toEqual([
        ["bob", false],
        ["ann", true],
      ]);
      const bob = await b.signIn("bob");
      expect(await told(ann)).toEqual([["bob", true]]);
      // Whoever begins to watch now is told so in the answer.
      await using cy = await a.signIn("cy");
      expect(await watch(cy, "bob")).toEqual([["bob", true]]);
      await bob[Symbol.asyncDispose]();
      expect(await told(ann)).toEqual([["bob", false]]);

      await using again = await b.signIn("bob");
      expect(await told(ann)).toEqual([["bob", true]]);
      b.command.signal("SIGTERM");
      expect(await told(ann)).toEqual([["bob", false]]);
      await again.closed;
    },
    timeoutMs,
  );

  test(
    "what a person spends on one is taken from what they may spend on the other",
    async () => {
      const burst = 2_000;
      const rates = { PARLEY_RATES_USER_PER_SECOND: "10", PARLEY_RATES_USER_BURST: String(burst) };
      const session = { PARLEY_RATES_SESSION_PER_SECOND: "1000000", PARLEY_RATES_SESSION_BURST: "1000000" };
      await using world = await ServerWorld.open();
      await using redis = await startRedis();
      const folders = await twoFolders(world);
      await using a = await serve(folders[0], redis, { ...rates, ...session });
      await using b = await serve(folders[1], redis, { ...rates, ...session });
      await using here = await a.signIn("ann");
      await using there = await b.signIn("ann");

      // Here a few of what the bucket of this server alone would let through, there all of them.
      let passedHere = 0;
      let refused: string | null = null;
      while (refused === null && passedHere < burst) {
        refused = await here.refusal("watch", []);
        if (refused === null) passedHere++;
        await Promise.all(Array.from({ length: 8 }, () => there.refusal("watch", [])));
      }
      expect(refused).toBe("slow_down");
      expect(passedHere).toBeLessThan(burst / 2);
    },
    timeoutMs,
  );
});

describeWith("own redis", "the send path", () => {
  /** Commands that Redis took since the last call, by name, without those of the test itself. */
  async function commands(client: Redis): Promise<Map<string, number>> {
    const text = await client.info("commandstats");
    await client.config("RESETSTAT");
    const all = [...text.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(
      ([, name, calls]) => [name as string, Number(calls)] as const,
    );
    return new Map(all.filter(([name]) => !name.startsWith("config") && name !== "info"));
  }

  async function sending(
    environment: Record<string, string>,
    use: (send: () => Promise<unknown>, client: Redis) => Promise<void>,
  ) {
    await using world = await ServerWorld.open();
    await using redis = await startRedis();
    const server = await world.start({ PARLEY_CACHE: redis.uri, PARLEY_CACHE_TIMEOUT_MS: "1000", ...environment });
    await using ann = await world.signIn(server, "ann");
    await using bob = await world.signIn(server, "bob");
    const [group] = await ann.request("create", "group", "g", null, ["bob"]);
    const client = new Redis(redis.uri);
    // Until both are told to the other nodes: what follows is of the sends alone.
    while ((await client.keys("*:place:*")).length < 2);
    await commands(client);
    let sent = 0;
    await use(() => ann.request("send", group, [[`m-${sent++}`, ["hello"]]]), client);
    expect(await bob.request("get", group)).toBeDefined();
    client.disconnect();
  }

  test("of an active conversation costs Redis no command", async () => {
    // Nobody spends much of such a rate.
    const rates = { PARLEY_RATES_USER_PER_SECOND: "1000000", PARLEY_RATES_USER_BURST: "1000000" };
    await sending(rates, async (send, client) => {
      for (let i = 0; i < 400; i++) await send();
      // The heartbeat of the node itself goes on.
      expect([...(await commands(client)).keys()].filter((name) => name !== "set")).toEqual([]);
    });
  });

  test("of whoever spends much of their rate costs one batch in 100 ms at most, however much is sent", async () => {
    const startedAt = performance.now();
    await sending({}, async (send, client) => {
      for (let i = 0; i < 400; i++) await Promise.all([send(), send().catch(() => undefined)]);
      const spent = await commands(client);
      const batches = (performance.now() - startedAt) / 100 + 1;
      expect([...spent.keys()].filter((name) => !["set", "incrby", "pexpire"].includes(name))).toEqual([]);
      // One person sends, so each batch counts one.
      expect(spent.get("incrby") ?? 0).toBeLessThanOrEqual(batches);
      expect(spent.get("incrby") ?? 0).toBeGreaterThan(0);
    });
  });
});
