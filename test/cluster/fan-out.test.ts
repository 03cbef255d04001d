// Entries across nodes: real sockets on three nodes, conversations wherever they live, while nodes come and go.
import { expect, test } from "bun:test";
import type { EntryTuple } from "../../src/protocol/entry";
import type { Results } from "../../src/protocol/operations";
import { describeWith } from "../services/services";
import type { RawClient } from "../socket/raw-client";
import { ClusterWorld } from "./cluster-world";

const timeoutMs = 60_000;
/** Enough that every node owns some, whatever their ids. */
const many = 16;

/** Signed in on a node, synced, and hearing of everything. */
async function online(world: ClusterWorld, at: number, user: string): Promise<RawClient> {
  const client = await world.signIn(at, user);
  await client.request("sync", null, []);
  return client;
}

async function create(client: RawClient, members: readonly string[]): Promise<string> {
  const [conversation] = (await client.request(
    "create",
    "group",
    crypto.randomUUID(),
    null,
    members,
  )) as Results["create"];
  return conversation;
}

/** The row of a conversation that the client was added to, by the push of its feed or after it. */
async function shown(client: RawClient, conversation: string): Promise<void> {
  await client.next(([, name, first, second]) => {
    const rows = name === "feed" ? (second as unknown[][]) : name === "row" ? [first as unknown[]] : [];
    return rows.some(([id]) => id === conversation);
  });
}

/** Seqs of a conversation as they come, from beyond `after` through `through`; throws at a gap. */
async function receive(client: RawClient, conversation: string, after: number, through: number): Promise<void> {
  for (let last = after; last < through; ) {
    const [, entries] = await client.push("entries", ([id]) => id === conversation);
    for (const [seq] of entries as EntryTuple[]) {
      if (seq <= last) continue;
      expect(seq).toBe(last + 1);
      last = seq;
    }
  }
}

describeWith("nats", "entries across nodes", () => {
  test(
    "everybody receives every message of every conversation in order, whichever node they and it are on",
    async () => {
      await using world = await ClusterWorld.open(3);
      const [ann, bob, cy] = await Promise.all([
        online(world, 0, "ann"),
        online(world, 1, "bob"),
        online(world, 2, "cy"),
      ]);
      await Promise.all(
        Array.from({ length: many }, async () => {
          const conversation = await create(ann, ["bob", "cy"]);
          await Promise.all([ann, bob, cy].map((client) => shown(client, conversation)));
          for (let at = 0; at < 5; at++)
            for (const client of [ann, bob, cy])
              await client.request("send", conversation, [[crypto.randomUUID(), [`${at}`]]]);
          await Promise.all([ann, bob, cy].map((client) => receive(client, conversation, 2, 17)));
        }),
      );
    },
    timeoutMs,
  );

  test(
    "whoever is removed receives the entry that says so, and nothing behind it, on every node",
    async () => {
      await using world = await ClusterWorld.open(3);
      const [ann, bob, cy] = await Promise.all([
        online(world, 0, "ann"),
        online(world, 1, "bob"),
        online(world, 2, "cy"),
      ]);
      const witness = await online(world, 1, "dan");
      for (let at = 0; at < many; at++) {
        const conversation = await create(ann, ["bob", "cy", "dan"]);
        await Promise.all([bob, cy, witness].map((client) => shown(client, conversation)));
        const removed = ann.request("remove", conversation, crypto.randomUUID(), ["bob", "cy"]);
        const sent = ann.request("send", conversation, [[crypto.randomUUID(), ["secret"]]]);
        const last = (await sent)[0] as number;
        await removed;
        await Promise.all([bob, cy].map((client) => receive(client, conversation, 2, 3)));
        // On Bob's node everything has arrived by then.
        await receive(witness, conversation, 2, last);
        await Promise.all([bob, cy].map((client) => client.settled()));
        const late = [bob, cy]
          .flatMap(({ kept }) => kept)
          .filter(([, name, id]) => name === "entries" && id === conversation);
        expect(late).toEqual([]);
      }
    },
    timeoutMs,
  );

  test(
    "a client whose node stays sees no gap while the others stop and start under load",
    async () => {
      await using world = await ClusterWorld.open(3);
      const [ann, bob] = await Promise.all([online(world, 0, "ann"), online(world, 0, "bob")]);
      const conversations = await Promise.all(Array.from({ length: many }, () => create(ann, ["bob"])));
      for (const conversation of conversations) await shown(bob, conversation);
      const rounds = 30;
      const flows = conversations.map(async (conversation) => {
        for (let at = 0; at < rounds; at++) await ann.request("send", conversation, [[`m${at}`, [`${at}`]]]);
        await receive(bob, conversation, 2, 2 + rounds);
      });
      await world.nodes[1]?.stop();
      await world.start();
      await world.nodes[2]?.stop();
      await Promise.all(flows);
    },
    timeoutMs,
  );
});
