import { expect, test } from "bun:test";
import { allPartitions } from "../../src/actors/local-placement";
import type { Results } from "../../src/protocol/operations";
import type { RunningServer } from "../../src/server";
import { describeWith } from "../services/services";
import type { RawClient } from "../socket/raw-client";
import { until } from "../until";
import { ClusterWorld } from "./cluster-world";

/** Several nodes begin and end, and a cluster settles for a second before partitions move. */
const timeoutMs = 60_000;
/** Enough conversations that every node owns some of them, whatever their ids. */
const many = 24;

async function create(client: RawClient, at: number, members: readonly string[]): Promise<string> {
  const [conversation] = (await client.request("create", "group", `group-${at}`, null, members)) as Results["create"];
  return conversation;
}

describeWith("nats", "requests across nodes", () => {
  test(
    "a conversation is the same through every node, wherever it lives",
    async () => {
      await using world = await ClusterWorld.open(3);
      const [ann, bob] = [await world.signIn(0, "ann"), await world.signIn(1, "bob")];
      const eve = await world.signIn(2, "eve");
      for (let at = 0; at < many; at++) {
        const conversation = await create(ann, at, ["bob"]);
        expect(await ann.request("send", conversation, [["a1", ["from ann"]]])).toEqual([3]);
        expect(await bob.request("send", conversation, [["b1", ["from bob"]]])).toEqual([4]);
        expect(await ann.request("send", conversation, [["a1", ["from ann"]]])).toEqual([3]);
        const [messages] = (await bob.request("history", conversation, "before", null, 10, null)) as Results["history"];
        expect(messages.map(([entry]) => entry[0])).toEqual([3, 4]);
        expect(await bob.request("read", conversation, "read", 3)).toEqual([[3, 1, 0], 0]);
        await expect(eve.request("history", conversation, "before", null, 10, null)).rejects.toMatchObject({
          code: "no_access",
        });
      }
    },
    timeoutMs,
  );

  test(
    "what was open as its node lost a partition is opened and closed again though the partition comes back at once",
    async () => {
      await using world = await ClusterWorld.open(0);
      for (let at = 0; at < 2; at++) await world.start({ PARLEY_ACTORS_IDLE_MS: "1000" });
      const ann = await world.signIn(0, "ann");
      for (let at = 0; at < many; at++) await create(ann, at, []);
      const { store } = world.nodes[0] as RunningServer;
      const open = (): Promise<readonly string[]> => store.listOpen(allPartitions, null, many);
      expect(await open()).not.toEqual([]);
      // Newer epochs than all nodes have: each finds itself fenced, drops what it serves, and takes it anew.
      await store.claim(allPartitions);
      await until(async () => (await open()).length === 0);
    },
    timeoutMs,
  );

  test(
    "when a node stops, its conversations go on at the others with every message",
    async () => {
      await using world = await ClusterWorld.open(3);
      const ann = await world.signIn(0, "ann");
      const conversations: string[] = [];
      for (let at = 0; at < many; at++) conversations.push(await create(ann, at, []));
      const sent = conversations.map(async (conversation) => {
        for (let at = 0; at < 40; at++) await ann.request("send", conversation, [[`m${at}`, [`${at}`]]]);
      });
      const stopped = world.nodes[1]?.stop();
      await Promise.all(sent);
      await stopped;
      for (const conversation of conversations) {
        const [messages] = (await ann.request(
          "history",
          conversation,
          "before",
          null,
          100,
          null,
        )) as Results["history"];
        expect(messages.map(([entry]) => entry[9])).toEqual(Array.from({ length: 40 }, (_, at) => [`${at}`]));
      }
      await world.start();
      for (const conversation of conversations)
        expect(await ann.request("send", conversation, [["z", ["z"]]])).toEqual([43]);
    },
    timeoutMs,
  );
});
