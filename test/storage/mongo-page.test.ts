// Holds the MongoDB section of docs/OPERATIONS.md to the tables of indexes and shard keys, and to the limits in force.
import { expect, test } from "bun:test";
import { mongoLimits, wtimeoutOf } from "../../src/storage/mongo-connection";
import { collectionNames, mongoIndexes, shardKeys } from "../../src/storage/mongo-schema";

const page = await Bun.file(new URL("../../docs/OPERATIONS.md", import.meta.url)).text();
const section = page.split("\n## MongoDB\n")[1]?.split("\n## ")[0] ?? "";

test("the operations page lists every index, with its fields in order", () => {
  const listed = [...section.matchAll(/^\| `(\w+)` \| `(\w+)` \| (.+) \| (yes)? ?\|$/gm)].map(
    ([, collection, name, fields, unique]) => ({
      collection: collection ?? "",
      name: name ?? "",
      key: [...(fields ?? "").matchAll(/`([^`]+)`/g)].map(([, field]) => field ?? ""),
      unique: unique === "yes",
    }),
  );
  const expected = mongoIndexes.map(({ collection, name, key, unique }) => ({
    collection: String(collection),
    name,
    key: [...key],
    unique,
  }));
  expect(listed).toEqual(expected);
});

test("the operations page has a command for every collection that is sharded", () => {
  const listed = [...section.matchAll(/sh\.shardCollection\("parley\.(\w+)", \{ (\w+): 1 \}\)/g)];
  const sharded = collectionNames.filter((name) => shardKeys[name] !== null);
  const expected = sharded.map((name) => `${name} by ${shardKeys[name]}`);
  expect(listed.map(([, name, key]) => `${name} by ${key}`)).toEqual(expected);
});

test("the operations page names the limits in force", () => {
  const { poolMax, serverSelectionMs, operationMs, decideMs, startMs } = mongoLimits;
  const seconds = (ms: number) => `${ms / 1000} s`;
  expect(section).toContain(`| connections to the primary | ${poolMax} |`);
  expect(section).toContain(`| waiting for a primary | ${seconds(serverSelectionMs)} |`);
  expect(section).toContain(`| waiting for a reply, or a connection | ${seconds(operationMs)} |`);
  expect(section).toContain(`| server's wait for a majority | ${seconds(wtimeoutOf(mongoLimits))} |`);
  expect(section).toContain(`for at most ${seconds(decideMs)}`);
  expect(section).toContain(`At start it waits ${seconds(startMs)}`);
});
