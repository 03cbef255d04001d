// Every operation on a conversation, asked by those who are not in it. Generated from the operation table: an operation
// without a sample here fails, and so does one without a membership check.
import { describe, expect, test } from "bun:test";
import { operations } from "../../src/protocol/operations";
import type { FeedTuple, OperationName } from "../../src/protocol/operations";
import type { RawClient } from "./raw-client";
import type { StartWorld } from "./socket-world";

/** Arguments behind the conversation with which a member would succeed. */
const samples: Readonly<Partial<Record<OperationName, () => readonly unknown[]>>> = {
  get: () => [],
  members: () => [null, null],
  join: () => [crypto.randomUUID()],
  leave: () => [crypto.randomUUID()],
  add: () => [crypto.randomUUID(), ["eve"], "member"],
  remove: () => [crypto.randomUUID(), ["ada"]],
  role: () => [crypto.randomUUID(), "ada", "member"],
  update: () => [crypto.randomUUID(), { name: "Mine" }],
  send: () => [[[crypto.randomUUID(), ["hello"]]]],
  history: () => ["before", null, 50, null],
  entries: () => [1, 50],
  read: () => ["read", 1],
  readers: () => [1, null, null],
  settings: () => [{ muted: true }],
  signal: () => ["typing", null],
};

const guarded = (Object.keys(operations) as OperationName[]).filter((name) =>
  ["member", "joiner"].includes(operations[name].access),
);

const outsiders = ["stranger", "former", "removed"] as const;

/** A group that `former` left and `removed` was removed from, all of them online. */
async function startWithOutsiders(start: StartWorld) {
  const world = await start();
  const ada = await world.online("ada");
  const clients: Record<string, RawClient> = {};
  for (const user of outsiders) clients[user] = await world.online(user);
  await world.people("eve");
  const id = await world.group(ada, "former", "removed", "bob");
  await (clients["former"] as RawClient).request("leave", id, crypto.randomUUID());
  await ada.request("remove", id, crypto.randomUUID(), ["removed"]);
  return { world, ada, clients, id };
}

/** Declares these tests for one way to start a world. */
export function membershipCases(start: StartWorld): void {
  test("the samples cover the table", () => {
    expect(Object.keys(samples).toSorted()).toEqual(guarded.toSorted());
  });

  describe("nobody outside a conversation may", () => {
    for (const name of guarded) {
      test(`${name}`, async () => {
        const { world, ada, clients, id } = await startWithOutsiders(start);
        await using _ = world;
        const before = (await ada.request("get", id))[4][0];
        const refusals = await Promise.all(
          outsiders.map((user) => (clients[user] as RawClient).refusal(name, id, ...(samples[name]?.() ?? []))),
        );
        expect(refusals).toEqual(["no_access", "no_access", "no_access"]);
        expect((await ada.request("get", id))[4][0]).toBe(before);
        // The refusal of a conversation that is not there is the same: nobody learns which ones exist.
        const absent = `g${"A".repeat(22)}`;
        expect(await ada.refusal(name, absent, ...(samples[name]?.() ?? []))).toBe("no_access");
      });
    }
  });

  test("what a person reads of their own shows no conversation that they left or were removed from", async () => {
    const { world, clients, id } = await startWithOutsiders(start);
    await using _ = world;
    for (const user of ["former", "removed"]) {
      const client = clients[user] as RawClient;
      const [, rows, , totals, pending, resumed] = await client.request("sync", null, [[id, 1]]);
      expect([rows, totals, pending, resumed]).toEqual([[], [0, 0], [], []]);
      expect((await client.request("list", null, null))[0]).toEqual([]);
    }
  });

  test("who rejoins a conversation without history for new members resumes nothing from before", async () => {
    await using world = await start({ types: { private: { historyForNewMembers: false } } });
    const ada = await world.online("ada");
    const bob = await world.signIn("bob");
    const desk = await world.online("bob", "desk");
    const added = () => desk.push("feed", ([changes]) => (changes as readonly FeedTuple[])[0]?.[3][0] === "added");
    const [id] = await ada.request("create", "private", crypto.randomUUID(), null, ["bob"]);
    await added();
    const send = async (text: string) => (await ada.request("send", id, [[crypto.randomUUID(), [text]]]))[0] as number;
    const known = await send("one");
    await ada.request("remove", id, crypto.randomUUID(), ["bob"]);
    await send("not for Bob");
    await ada.request("add", id, crypto.randomUUID(), ["bob"], null);
    await added();
    const last = await send("for all");
    const [, rows, , totals, pending, resumed] = await bob.request("sync", null, [[id, known]]);
    expect(pending).toEqual([]);
    const floor = rows[0]?.[2][2] as number;
    expect(resumed[0]?.[1].map(([seq]) => seq)).toEqual([floor, last]);
    expect(totals).toEqual([1, 0]);
  });
}
