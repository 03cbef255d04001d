// A storm: far more come at once than are let in at once. What runs and waits is bounded, the others are told when to come (G11).
import { expect, test } from "bun:test";
import type { Store } from "../../src/storage/store";
import { MemoryStore } from "../sim/memory-store";
import type { StoreCall } from "../sim/memory-store";
import { Refused } from "./raw-client";
import type { RawClient } from "./raw-client";
import { SocketWorld, tokenFor } from "./socket-world";

/** A store that answers reads of one kind only when it is told to. */
function gated(name: keyof Store): { readonly store: MemoryStore; release(): void; readonly most: () => number } {
  let open = false;
  let held: (() => void)[] = [];
  let most = 0;
  const schedule = (step: () => void, call: StoreCall): void => {
    if (open || call.kind !== "read" || call.name !== name) return queueMicrotask(step);
    held.push(step);
    most = Math.max(most, held.length);
  };
  const release = (): void => {
    open = true;
    for (const step of held) step();
    held = [];
  };
  return { store: new MemoryStore({ schedule }), release, most: () => most };
}

/** What the request is answered: null, or the error. */
function outcome(asked: Promise<unknown>): Promise<Refused | null> {
  return asked.then(
    () => null,
    (error) => error as Refused,
  );
}

/** Every request of `ask` has been answered or waits; answers those that were refused. */
async function refusedOf(clients: readonly RawClient[], outcomes: readonly Promise<Refused | null>[]) {
  await Promise.all(clients.map((client) => client.settled()));
  const pending = Symbol("pending");
  const now = await Promise.all(outcomes.map((one) => Promise.race([one, Promise.resolve(pending)])));
  return now.filter((one): one is Refused => one instanceof Refused);
}

test("so many syncs read at once, so many wait, the others come again when told, and all get everything", async () => {
  const { store, release, most } = gated("readSync");
  await using world = await SocketWorld.start({
    store,
    connections: { syncsMax: 2, turnQueueMax: 5, signInsMax: 100 },
  });
  const clients = await Promise.all(Array.from({ length: 20 }, (_, i) => world.signIn(`p${i}`)));
  const asked = clients.map((client) => outcome(client.request("sync", null, [])));
  const refused = await refusedOf(clients, asked);
  expect([most(), world.sockets.waiting, refused.length]).toEqual([2, 5, 13]);
  for (const { tuple } of refused) {
    expect([tuple[0], tuple[2]]).toEqual(["overloaded", "retry"]);
    expect(tuple[3]).toBeGreaterThanOrEqual(100);
  }
  release();
  const outcomes = await Promise.all(asked);
  expect(outcomes.filter((one) => one === null)).toHaveLength(7);
  for (const [i, one] of outcomes.entries()) if (one) await clients[i]?.request("sync", null, []);
  const id = await world.group(clients[0] as RawClient, ...clients.map((_, i) => `p${i}`).slice(1));
  await Promise.all(clients.slice(1).map((client) => client.push("feed")));
  await clients[0]?.request("send", id, [[crypto.randomUUID(), ["to all"]]]);
  const hasIt = ([at, entries]: readonly unknown[]): boolean =>
    at === id && (entries as unknown[][]).some(([, , , , , , , , , body]) => (body as unknown[])[0] === "to all");
  await Promise.all(clients.map((client) => client.push("entries", hasIt)));
});

test("so many sign-ins are checked at once; whoever was refused signs in on the same connection later", async () => {
  const { store, release, most } = gated("openFeed");
  await using world = await SocketWorld.start({
    store,
    connections: { signInsMax: 3, turnQueueMax: 4, turnSlowMs: 60_000 },
  });
  const clients = await Promise.all(Array.from({ length: 12 }, () => world.connect()));
  const hello = (i: number): Promise<unknown> =>
    (clients[i] as RawClient).request("hello", 1, tokenFor(`p${i}`), "device-1", null, []);
  const asked = clients.map((_, i) => outcome(hello(i)));
  const refused = await refusedOf(clients, asked);
  expect([most(), world.sockets.waiting, refused.length]).toEqual([3, 4, 5]);
  release();
  for (const [i, one] of (await Promise.all(asked)).entries()) if (one) await hello(i);
  expect(world.hub.sessions).toBe(12);
});

test("whoever is in keeps being served while others wait, and those who gave up hold nobody up", async () => {
  const { store, release } = gated("readSync");
  await using world = await SocketWorld.start({ store, connections: { syncsMax: 1, turnQueueMax: 100 } });
  const ada = await world.signIn("ada");
  const waiting = await Promise.all(Array.from({ length: 10 }, (_, i) => world.signIn(`p${i}`)));
  const asked = waiting.map((client) => outcome(client.request("sync", null, [])));
  await Promise.all(waiting.map((client) => client.settled()));
  const id = await world.group(ada);
  expect(await ada.refusal("send", id, [[crypto.randomUUID(), ["meanwhile"]]])).toBeNull();
  for (const client of waiting.slice(0, 9)) await client[Symbol.asyncDispose]();
  release();
  expect(await asked[9]).toBeNull();
});
