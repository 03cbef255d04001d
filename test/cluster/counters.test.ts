// Large conversations on three nodes: whoever owns one, those who have it open receive entries wherever they are, the others counters.
import { expect, test } from "bun:test";
import { socketPath } from "../../src/protocol/frames";
import type { EntryTuple } from "../../src/protocol/entry";
import type { RowTuple } from "../../src/protocol/operations";
import { describeWith } from "../services/services";
import { RawClient } from "../socket/raw-client";
import { ClusterWorld } from "./cluster-world";

const timeoutMs = 60_000;
/** Everything is large, and counters come often. */
const settings = { PARLEY_COUNTERS_MEMBERS_ABOVE: "0", PARLEY_COUNTERS_EVERY_MS: "10" };
/** So many conversations that the nodes share them, as good as always. */
const conversations = 6;

const text = (word: string): readonly unknown[] => [crypto.randomUUID(), [word]];
const holds =
  (id: string, seq: number) =>
  ([conversation, entries]: readonly unknown[]): boolean =>
    conversation === id && (entries as EntryTuple[]).some(([at]) => at === seq);

async function counting(world: ClusterWorld, at: number, user: string, device = "phone"): Promise<RawClient> {
  const client = await RawClient.connect((world.nodes[at]?.url ?? "").replace("http", "ws") + socketPath);
  await client.request("hello", 1, await world.token(user), device, null, ["counters"]);
  await client.request("sync", null, []);
  return client;
}

/** A group whose members were all told that it is large. */
async function group(ada: RawClient, others: Readonly<Record<string, RawClient>>): Promise<string> {
  const added = Object.values(others).map((client) =>
    client.push("feed", ([, rows]) => (rows as RowTuple[]).length > 0),
  );
  const [id] = await ada.request("create", "group", crypto.randomUUID(), { name: "Crew" }, Object.keys(others));
  for (const [, , large] of await Promise.all(added)) expect(large).toEqual([id]);
  return id;
}

describeWith("nats", "counters on three nodes", () => {
  test(
    "whoever owns it, opening misses nothing, my own messages are counted as mine, and whoever is removed hears no more",
    async () => {
      await using world = await ClusterWorld.open(0);
      await Promise.all([0, 1, 2].map(() => world.start(settings)));
      const ada = await world.signIn(0, "ada");
      await ada.request("sync", null, []);
      const [bob, cid] = [await counting(world, 1, "bob"), await counting(world, 2, "cid")];
      const desk = await world.signIn(2, "bob", "desk");
      for (let i = 0; i < conversations; i++) {
        const id = await group(ada, { bob, cid });
        await cid.request("open", [id]);
        const [first, second] = (await ada.request("send", id, [text("one"), text("two")])) as [number, number];
        await cid.push("entries", holds(id, second));
        await bob.push("counter", ([one, seq]) => one === id && seq === second);

        const [own] = (await desk.request("send", id, [text("mine")])) as [number];
        await bob.push("counter", ([one, seq, , , entry]) => one === id && seq === own && entry !== undefined);
        await bob.request("open", [id]);
        const [last] = (await ada.request("send", id, [text("three")])) as [number];
        await bob.push("entries", holds(id, last));
        const [entries] = await bob.request("entries", id, first);
        expect(entries.map(([seq]) => seq)).toEqual([first, second, own, last]);

        await bob.request("open", []);
        const gone = [bob, cid].map((client) =>
          client.push("feed", ([changes]) => JSON.stringify(changes).includes("removed")),
        );
        await ada.request("remove", id, crypto.randomUUID(), ["bob", "cid"]);
        await Promise.all(gone);
        for (const client of [bob, cid]) client.kept.length = 0;
        const [unheard] = (await ada.request("send", id, [text("among us")])) as [number];
        await ada.push("entries", holds(id, unheard));
        await bob.request("open", [id]);
        for (const client of [bob, cid]) {
          await client.settled();
          expect(client.kept.filter(([, , one]) => one === id)).toEqual([]);
        }
      }
    },
    timeoutMs,
  );
});
