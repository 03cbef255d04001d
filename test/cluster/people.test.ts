// People across nodes: presence, read marks, typing, sign-out and limits, with real sockets on three nodes and a real NATS.
import { expect, test } from "bun:test";
import { closeCodes } from "../../src/protocol/codes";
import { socketPath } from "../../src/protocol/frames";
import { describeWith } from "../services/services";
import { Command } from "../server/command";
import { RawClient } from "../socket/raw-client";
import { ClusterWorld } from "./cluster-world";

const timeoutMs = 60_000;

/** Signed in and synced. */
async function online(world: ClusterWorld, at: number, user: string, device?: string): Promise<RawClient> {
  const client = await world.signIn(at, user, device);
  await client.request("sync", null, []);
  return client;
}

/** The next push of presence. */
async function told(client: RawClient): Promise<unknown> {
  const [people] = await client.push("presence");
  return people;
}

async function goodbye(client: RawClient): Promise<unknown> {
  const [code] = await client.push("goodbye");
  return code;
}

/** A group of Ada on the first node and of others, each of whom has heard of it. */
async function group(ada: RawClient, others: Readonly<Record<string, RawClient>>): Promise<string> {
  const added = Object.values(others).map((client) =>
    client.push("feed", ([, rows]) => (rows as unknown[]).length > 0),
  );
  const [id] = await ada.request("create", "group", crypto.randomUUID(), { name: "Crew" }, Object.keys(others));
  await Promise.all(added);
  return id;
}

describeWith("nats", "people on three nodes", () => {
  test(
    "whoever watches hears once of the first session on any node, and whoever begins to is answered how it is everywhere",
    async () => {
      await using world = await ClusterWorld.open(3);
      const watcher = await world.signIn(0, "watcher");
      expect(await watcher.request("watch", ["ada", "bob"])).toEqual([
        [
          ["ada", false],
          ["bob", false],
        ],
      ] as never);
      const ada = await world.signIn(1, "ada");
      expect(await told(watcher)).toEqual([["ada", true]]);
      const bob = await world.signIn(2, "bob");
      expect(await told(watcher)).toEqual([["bob", true]]);
      const other = await world.signIn(1, "other");
      expect(await other.request("watch", ["ada", "bob", "watcher"])).toEqual([
        [
          ["ada", true],
          ["bob", true],
          ["watcher", true],
        ],
      ] as never);
      // Bob was told last: nothing was told twice.
      await Promise.all([ada, bob, other].map((client) => client.settled()));
      expect(watcher.kept.filter(([, name]) => name === "presence")).toEqual([]);
    },
    timeoutMs,
  );

  test(
    "when a node leaves, whoever comes back elsewhere was never away, and the others are told as gone",
    async () => {
      await using world = await ClusterWorld.open(3);
      const watcher = await world.signIn(0, "watcher");
      await watcher.request("watch", ["ada", "bob"]);
      const ada = await world.signIn(2, "ada");
      expect(await told(watcher)).toEqual([["ada", true]]);
      await world.signIn(2, "bob");
      expect(await told(watcher)).toEqual([["bob", true]]);
      const stopped = world.nodes[2]?.stop();
      expect(await ada.closed).toBe(closeCodes.goingAway.code);
      await world.signIn(1, "ada");
      await stopped;
      expect(await told(watcher)).toEqual([["bob", false]]);
    },
    timeoutMs,
  );

  test(
    "when a node is killed, whoever comes back elsewhere was never away nor one too many, and the others are told as gone",
    async () => {
      await using world = await ClusterWorld.open(0);
      const limit = { PARLEY_CONNECTIONS_PER_USER: "1" };
      await Promise.all([world.start(limit), world.start(limit)]);
      const environment = { ...world.environment("killed"), ...limit, PARLEY_LOG_FORMAT: "json" };
      await using killed = new Command(["serve"], environment);
      const { url } = JSON.parse(await killed.line(/"msg":"ready"/)) as { url: string };
      const signIn = async (user: string): Promise<RawClient> => {
        const client = await RawClient.connect(url.replace("http", "ws") + socketPath);
        await client.request("hello", 1, await world.token(user), "phone");
        return client;
      };
      const watcher = await world.signIn(0, "watcher");
      await watcher.request("watch", ["ada", "bob"]);
      const ada = await signIn("ada");
      expect(await told(watcher)).toEqual([["ada", true]]);
      await signIn("bob");
      expect(await told(watcher)).toEqual([["bob", true]]);
      killed.signal("SIGKILL");
      await ada.closed;
      const back = await world.signIn(1, "ada", "phone");
      expect(await told(watcher)).toEqual([["bob", false]]);
      await back.settled();
    },
    timeoutMs,
  );

  test(
    "read marks and typing reach people on other nodes, and one's own mark one's other devices",
    async () => {
      await using world = await ClusterWorld.open(3);
      const ada = await online(world, 0, "ada");
      const [bob, cy] = [await online(world, 1, "bob"), await online(world, 2, "cy")];
      const tablet = await online(world, 2, "bob", "tablet");
      const id = await group(ada, { bob, cy });
      const [seq] = await ada.request("send", id, [[crypto.randomUUID(), ["hello"]]]);
      await bob.push("entries", ([, entries]) => (entries as number[][]).some(([at]) => at === seq));
      await bob.request("read", id, "read", seq);
      const isBobs = ([at, marks]: readonly unknown[]): boolean =>
        at === id && (marks as unknown[][]).some(([user, to]) => user === "bob" && to === seq);
      await Promise.all([ada.push("receipts", isBobs), cy.push("receipts", isBobs)]);
      const [, mark, unread] = await tablet.push("cursor", ([at]) => at === id);
      expect([(mark as number[])[0], unread]).toEqual([seq as number, 0]);
      await cy.request("signal", id, "typing", null);
      for (const client of [ada, bob, tablet]) expect(await client.push("signal")).toEqual([id, "cy", "typing", null]);
    },
    timeoutMs,
  );

  test(
    "a sign-out closes the device, or all of them, on every node, and their tokens are void everywhere",
    async () => {
      await using world = await ClusterWorld.open(3);
      const token = await world.token("ada");
      const phone = await online(world, 0, "ada", "phone");
      const tablet = await online(world, 1, "ada", "tablet");
      const desktop = await online(world, 2, "ada", "desktop");
      await phone.request("signOut", "tablet");
      expect([await goodbye(tablet), await tablet.closed]).toEqual([
        closeCodes.signedOut.code,
        closeCodes.signedOut.code,
      ]);
      await desktop.settled();
      await phone.request("signOut", null);
      expect([await phone.closed, await desktop.closed]).toEqual([
        closeCodes.signedOut.code,
        closeCodes.signedOut.code,
      ]);
      const [early] = await Promise.allSettled([world.signIn(2, "ada", "tablet", token)]);
      expect(early).toMatchObject({ status: "rejected", reason: { code: "signed_out" } });
    },
    timeoutMs,
  );

  test(
    "a person's connections are counted over all nodes, and of too many the last to come goes",
    async () => {
      await using world = await ClusterWorld.open(0);
      const limit = { PARLEY_CONNECTIONS_PER_USER: "2" };
      await Promise.all([world.start(limit), world.start(limit), world.start(limit)]);
      const kept = [await world.signIn(1, "ada", "one"), await world.signIn(0, "ada", "two")];
      // Whoever is told that she is here hears it of her owner, who has counted this session then.
      for (const client of kept) expect(await client.request("watch", ["ada"])).toEqual([[["ada", true]]] as never);
      const third = await world.signIn(2, "ada", "three");
      expect([await goodbye(third), await third.closed]).toEqual([
        closeCodes.tooManyConnections.code,
        closeCodes.tooManyConnections.code,
      ]);
      for (const client of kept) await client.settled();
      await (await world.signIn(2, "bob")).settled();
    },
    timeoutMs,
  );
});
