// What nodes told each other and nobody heard: sign-outs, read marks and presence have no number of their own, and are mended all the same.
import { expect, test } from "bun:test";
import { closeCodes } from "../../src/protocol/codes";
import type { RowTuple } from "../../src/protocol/operations";
import { describeWith } from "../services/services";
import type { RawClient } from "../socket/raw-client";
import { ClusterWorld } from "./cluster-world";
import { Muffle } from "./muffle";

const timeoutMs = 60_000;

/** Three nodes that can be silenced together. */
async function open(): Promise<{ readonly world: ClusterWorld; readonly muffle: Muffle }> {
  const world = await ClusterWorld.open(0);
  const muffle = new Muffle();
  await Promise.all([0, 1, 2].map(() => world.start({}, { openNats: muffle.openNats })));
  return { world, muffle };
}

/** Signed in and synced. */
async function online(world: ClusterWorld, at: number, user: string, device = "phone"): Promise<RawClient> {
  const client = await world.signIn(at, user, device);
  await client.request("sync", null, []);
  return client;
}

describeWith("nats", "what nobody heard", () => {
  test(
    "a sign-out that a device's node did not hear of closes the device once the gap is noticed",
    async () => {
      const { world, muffle } = await open();
      await using _ = world;
      const token = await world.token("ada");
      const clients = await Promise.all([0, 1, 2].map((at) => online(world, at, "ada", `device-${at}`)));
      const [first, ...others] = clients as [RawClient, ...RawClient[]];
      muffle.on = true;
      for (const at of [1, 2]) await first.request("signOut", `device-${at}`);
      await first.settled();
      muffle.on = false;
      expect(muffle.lost).toBeGreaterThan(0);
      for (const client of others) {
        expect([closeCodes.signedOut.code, closeCodes.goingAway.code] as number[]).toContain(await client.closed);
      }
      for (const at of [1, 2]) {
        const refused = world.signIn(at, "ada", `device-${at}`, token);
        await expect(refused).rejects.toMatchObject({ code: "signed_out" });
      }
      await first.settled();
    },
    timeoutMs,
  );

  test(
    "a read mark that other nodes did not hear of is learnt by a sync that the server asks for",
    async () => {
      const { world, muffle } = await open();
      await using _ = world;
      const [phone, tablet] = [await online(world, 1, "bob"), await online(world, 2, "bob", "tablet")];
      const ada = await online(world, 0, "ada");
      const added = [phone, tablet].map((client) => client.push("feed", ([, rows]) => (rows as unknown[]).length > 0));
      const [id] = await ada.request("create", "group", crypto.randomUUID(), { name: "Crew" }, ["bob"]);
      await Promise.all(added);
      const [seq] = await ada.request("send", id, [[crypto.randomUUID(), ["hello"]]]);
      await tablet.push("entries", ([, entries]) => (entries as number[][]).some(([at]) => at === seq));
      muffle.on = true;
      await phone.request("read", id, "read", seq);
      await phone.settled();
      muffle.on = false;
      // Of the three nodes one owns the conversation: where the tablet is there, it was told at once.
      await Promise.race([tablet.push("resync"), tablet.push("cursor")]);
      const [, rows] = await tablet.request("sync", null, [[id, seq as number]]);
      const [, , , , , cursor, , unread] = rows.find(([at]) => at === id) as RowTuple;
      expect([cursor[0], unread]).toEqual([seq as number, 0]);
      await ada.settled();
    },
    timeoutMs,
  );

  test(
    "who came while their owner was not heard is shown as online once it is",
    async () => {
      const { world, muffle } = await open();
      await using _ = world;
      const watchers = await Promise.all([0, 1, 2].map((at) => online(world, at, `watcher-${at}`)));
      for (const watcher of watchers) await watcher.request("watch", ["ada"]);
      muffle.on = true;
      const ada = await online(world, 1, "ada");
      // Whoever is answered so has been told by her owner, who knows her by then.
      expect(await ada.request("watch", ["ada"])).toEqual([[["ada", true]]] as never);
      muffle.on = false;
      for (const watcher of watchers) expect(await watcher.push("presence")).toEqual([[["ada", true]]]);
    },
    timeoutMs,
  );
});
