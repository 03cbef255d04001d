import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { ServerWorld } from "./server/server-world";
import { compareProjections } from "./projections";
import type { Projections } from "./projections";
import { sqlite } from "./stores";

/** A group with some life behind it, closed, then changed by hand. */
async function afterwards(damage: string): Promise<Projections> {
  await using world = await ServerWorld.open();
  const data = await sqlite.fresh();
  const server = await world.start({ PARLEY_STORE: data.setting });
  for (const user of ["bob", "cem"]) await (await world.signIn(server, user)).request("sync");
  const ann = await world.signIn(server, "ann");
  const [conversation] = await ann.request("create", "group", "make", { name: "Crew" }, ["bob", "cem"]);
  const [seq] = await ann.request("send", conversation, [["one", ["hello"]]]);
  await ann.request("read", conversation, "read", seq);
  await ann.request("remove", conversation, "remove", ["cem"]);
  await ann.request("update", conversation, "rename", { name: "Crew of two" });
  await server.stop();
  {
    using db = new Database(data.setting.slice("sqlite:".length));
    if (damage !== "") db.run(damage);
  }
  const store = await data.open();
  const found = await compareProjections(store);
  await store.close();
  await data.dispose();
  return found;
}

test("what a server leaves behind follows from its logs", async () => {
  expect(await afterwards("")).toEqual({ conversations: 1, people: 3, faults: [] });
});

describe("a row that does not follow from its log is named:", () => {
  const damages: readonly (readonly [what: string, sql: string, says: string])[] = [
    ["a head left open", "UPDATE heads SET open_epoch = 1", "was left open"],
    ["a head that lags", "UPDATE heads SET seq = seq - 1", "head"],
    ["another name", "UPDATE heads SET name = 'Crew'", "info"],
    ["a last message that is none", "UPDATE heads SET last_message_seq = 0", "last message"],
    ["feeds not told of", "UPDATE heads SET fed_through = 1", "fedThrough"],
    ["somebody who was removed", "UPDATE members SET role = 'member' WHERE user = 'cem'", "member cem"],
    ["a member missing", "DELETE FROM members WHERE user = 'bob'", "member bob"],
    ["a cursor that counts wrong", "UPDATE cursors SET own = 0 WHERE user = 'ann'", "cursor of ann"],
    ["a total that is behind", "UPDATE cursors SET total = 0 WHERE user = 'ann'", "total of ann"],
    ["a membership not taken away", "UPDATE memberships SET role = 'member' WHERE user = 'cem'", "membership of cem"],
    ["a hole in a feed", "DELETE FROM feed WHERE user = 'bob' AND user_seq = 1", "feed"],
    ["a person's row behind their feed", "UPDATE users SET user_seq = 0 WHERE user = 'bob'", "userSeq"],
    ["an entry missing", "DELETE FROM entries WHERE seq = 3", "entry"],
  ];
  for (const [what, sql, says] of damages) {
    test(`${what}`, async () => {
      expect((await afterwards(sql)).faults.join("\n")).toContain(says);
    });
  }
});
