// The composed server: what starts, what does not and says why, and how it stops without losing what it acknowledged.
import type { Socket } from "bun";
import { describe, expect, test } from "bun:test";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../../src/lib/errors";
import { createLog, silentLog } from "../../src/lib/log";
import type { UserId } from "../../src/protocol/ids";
import { startServer } from "../../src/server";
import type { Store } from "../../src/storage/store";
import { openSqliteStore } from "../../src/storage/sqlite-store";
import { MemoryStore } from "../sim/memory-store";
import { RawClient } from "../socket/raw-client";
import { Command } from "./command";
import { secret, ServerWorld } from "./server-world";

async function createGroup(client: RawClient, clientId = "make"): Promise<string> {
  await client.request("sync");
  const [conversation] = await client.request("create", "group", clientId);
  return conversation;
}

describe("starting", () => {
  test("a host that others reach without a signing key is refused with the fix", async () => {
    await using world = await ServerWorld.open();
    const config = world.config({ PARLEY_HOST: "0.0.0.0", PARLEY_AUTH_SECRET: "" });
    await expect(startServer(config, { log: silentLog() })).rejects.toThrow(
      /^host is 0\.0\.0\.0, which others can reach, and no signing key is configured: set PARLEY_AUTH_SECRET/,
    );
  });

  test("a JWK file that is not there is named", async () => {
    await using world = await ServerWorld.open();
    const config = world.config({
      PARLEY_AUTH_SECRET: "",
      PARLEY_AUTH_JWKS_FILE: join(world.dataDir, "absent.json"),
      PARLEY_AUTH_ALGORITHM: "ES256",
    });
    await expect(startServer(config, { log: silentLog() })).rejects.toThrow(
      /^auth\.jwksFile: .*absent\.json cannot be used/,
    );
  });

  test("a second start on a taken port says so and does no harm to the first", async () => {
    await using world = await ServerWorld.open();
    const server = await world.start();
    const again = world.config({ PARLEY_PORT: String(server.port) });
    await expect(startServer(again, { log: silentLog() })).rejects.toThrow(
      `port ${server.port} of 127.0.0.1 is in use; stop what listens there or set PARLEY_PORT`,
    );
    await using alice = await world.signIn(server, "alice");
    expect((await createGroup(alice)).startsWith("g")).toBe(true);
  });

  test("the demo's secret lasts as long as the folder and is its owner's only", async () => {
    await using world = await ServerWorld.open();
    const ask = async (url: string): Promise<string> => {
      const headers = { "content-type": "application/json" };
      const response = await fetch(`${url}/v1/demo/token`, { method: "POST", headers, body: `{"user":"alice"}` });
      return ((await response.json()) as { readonly token: string }).token;
    };
    const first = await world.start({ PARLEY_AUTH_SECRET: "" });
    expect(first.demo).toBe(true);
    const token = await ask(first.url);
    await first.stop();
    expect((await stat(join(world.dataDir, "demo.key"))).mode & 0o777).toBe(0o600);
    const second = await world.start({ PARLEY_AUTH_SECRET: "" });
    await using alice = await RawClient.connect(`${second.url.replace("http", "ws")}/v1/ws`);
    expect((await alice.request("hello", 1, token, "d"))[3]).toBe("alice" as UserId);
  });
});

describe("stopping", () => {
  test("everybody is told to come back, each after a moment of their own", async () => {
    await using world = await ServerWorld.open();
    const server = await world.start();
    const clients = await Promise.all(["alice", "bob", "carol"].map((user) => world.signIn(server, user)));
    const goodbyes = Promise.all(clients.map((client) => client.push("goodbye")));
    const stopped = server.stop();
    const hints = (await goodbyes).map(([code, retryAfterMs]) => {
      expect(code).toBe(4000);
      return retryAfterMs as number;
    });
    expect(hints.every((ms) => ms > 0 && ms < 5_000)).toBe(true);
    expect(await Promise.all(clients.map((client) => client.closed))).toEqual([4000, 4000, 4000]);
    await stopped;
    await expect(fetch(`${server.url}/healthz`)).rejects.toThrow();
  });

  test("twice is once, and a store that hangs does not hold it past its time", async () => {
    await using world = await ServerWorld.open();
    const config = world.config({ PARLEY_DRAIN_MS: "200" });
    const never = new Promise<void>(() => undefined);
    const server = await startServer(config, {
      log: silentLog(),
      openStore: async () => {
        const store = await openSqliteStore({ file: join(world.dataDir, "parley.sqlite") });
        return new Proxy(store, {
          get(target, name) {
            if (name === "close") return () => target.close().then(() => never);
            const value: unknown = Reflect.get(target, name, target);
            return typeof value === "function" ? value.bind(target) : value;
          },
        });
      },
    });
    const [first, second] = [server.stop(), server.stop()];
    expect(first).toBe(second);
    await first;
    await expect(fetch(`${server.url}/healthz`)).rejects.toThrow();
  });

  test("a store that cannot be claimed ends the start with its reason and nothing left open", async () => {
    await using world = await ServerWorld.open();
    const store = new MemoryStore();
    let closed = 0;
    const failing = new Proxy(store, {
      get(target, name) {
        if (name === "claim") return () => Promise.reject(new AppError("store_unavailable", "the disk is full"));
        if (name === "close") return () => Promise.resolve(void closed++);
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const start = startServer(world.config(), { log: silentLog(), openStore: async () => failing });
    await expect(start).rejects.toThrow("the disk is full");
    expect(closed).toBe(1);
  });

  test("a store that goes away is no fault of an actor: it is counted by code, not as a failure", async () => {
    await using world = await ServerWorld.open();
    const lines: string[] = [];
    const log = createLog({ logLevel: "info", logFormat: "json" }, { write: (line) => void lines.push(line) });
    const store = new MemoryStore();
    let thrown: Error = new AppError("store_unavailable", undefined, { cause: new Error("no primary answers") });
    const failing = changed(store, "openFeed", () => Promise.reject(thrown));
    const server = await startServer(world.config(), { log, openStore: async () => failing });
    await using _ = { [Symbol.asyncDispose]: () => server.stop() };
    const metrics = async (): Promise<string> => (await fetch(`${server.url}/metrics`)).text();
    await expect(world.signIn(server, "alice")).rejects.toThrow("store_unavailable");
    expect(await metrics()).toContain(`parley_errors_total{operation="hello",code="store_unavailable"}`);
    expect(await metrics()).not.toContain("parley_actors_failed_total{");
    await expect(world.signIn(server, "alice")).rejects.toThrow("store_unavailable");
    expect(lines.join("")).not.toContain("an actor failed");
    expect(lines.filter((line) => line.includes("no primary answers"))).toHaveLength(1);
    thrown = new TypeError("a bug");
    await expect(world.signIn(server, "alice")).rejects.toThrow("internal");
    expect(await metrics()).toContain(`parley_actors_failed_total{kind="user"} 1`);
    expect(lines.join("")).toContain("an actor failed");
  });
});

test("a command tells a server whose store is away from one that is not there", async () => {
  await using world = await ServerWorld.open();
  const failing = changed(new MemoryStore(), "openFeed", () => Promise.reject(new AppError("store_unavailable")));
  const server = await startServer(world.config(), { log: silentLog(), openStore: async () => failing });
  await using _ = { [Symbol.asyncDispose]: () => server.stop() };
  const args = ["history", "@bob", "--url", server.url, "--as", "alice", "--wait", "1s"];
  await using command = new Command(args, { PARLEY_AUTH_SECRET: secret, PARLEY_DATA_DIR: world.dataDir });
  const { code, err } = await command.finished();
  expect([code, err]).toEqual([4, expect.stringMatching(/store_unavailable.*its log and \/readyz say why/)]);
});

test("the log says of a cache that is away why, and again where the reason is another one", async () => {
  await using world = await ServerWorld.open();
  const reasons = ["ERR out of order", "NOAUTH Authentication required."];
  const heard: string[] = [];
  const all = Promise.withResolvers<void>();
  const write = (line: string): void => {
    const { msg, reason } = JSON.parse(line) as { msg: string; reason?: string };
    if (msg.startsWith("the cache is down")) heard.push(reason ?? "");
    if (heard.length === reasons.length) all.resolve();
  };
  // Each reason twice: it is told once.
  let asked = 0;
  const data = (socket: Socket): void => void socket.write(`-${reasons[Math.min(1, asked++ >> 1)]}\r\n`);
  using redis = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data } });
  const config = world.config({ PARLEY_CACHE: `redis://127.0.0.1:${redis.port}` });
  const server = await startServer(config, { log: createLog({ logLevel: "info", logFormat: "json" }, { write }) });
  await using _ = { [Symbol.asyncDispose]: () => server.stop() };
  await all.promise;
  expect(heard).toEqual(reasons);
});

/** The store with one method replaced. */
function changed(store: Store, name: keyof Store, method: () => Promise<unknown>): Store {
  return new Proxy(store, {
    get(target, property) {
      if (property === name) return method;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
