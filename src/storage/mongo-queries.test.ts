// The table of queries against the table of indexes: every query has one that serves it, and every unique one can be sharded.
import { describe, expect, test } from "bun:test";
import { type MongoQuery, mongoQueries } from "./mongo-queries";
import { collectionNames, mongoIndexes, shardKeys } from "./mongo-schema";

function keyOf({ collection, index }: Pick<MongoQuery, "collection" | "index">): readonly string[] | null {
  if (index === "_id") return ["_id"];
  return mongoIndexes.find((each) => each.collection === collection && each.name === index)?.key ?? null;
}

/**
 * Why the index does not serve the query; null: it does. Its first fields are those that are compared with values, in any
 * order; behind them follows what is sorted by, all in one direction, or else what is bounded.
 */
function flawOf(query: MongoQuery): string | null {
  const key = keyOf(query);
  if (!key) return `there is no index ${query.index}`;
  const { equal, range, sort = {} } = query;
  const first = key.slice(0, equal.length);
  if (equal.some((field) => !first.includes(field))) return `${equal} are not the first fields of ${key}`;
  const rest = key.slice(equal.length);
  const sorted = Object.keys(sort);
  if (sorted.some((field, at) => rest[at] !== field)) return `${sorted} does not follow in ${key}`;
  if (new Set(Object.values(sort)).size > 1) return "the order goes both ways";
  if (range !== undefined && rest[0] !== range) return `${range} does not follow in ${key}`;
  const bounded = equal.length > 0 || range !== undefined || sorted.length > 0 || query.command === "insert";
  return bounded ? null : "it reads the whole collection";
}

describe("the table of queries", () => {
  test("every query is served by its index: values first, then order, then bounds", () => {
    const flaws = Object.entries(mongoQueries).flatMap(([name, query]) => {
      const flaw = flawOf(query);
      return flaw === null ? [] : `${name}: ${flaw}`;
    });
    expect(flaws).toEqual([]);
  });

  test("the rule finds a missing index, a wrong order, a bound out of place and a scan", () => {
    const base = { collection: "entries", command: "find", equal: ["conversation"], index: "seq" } as const;
    expect(flawOf({ ...base, range: "seq", sort: { seq: -1 } })).toBeNull();
    expect(flawOf({ ...base, index: "none" })).toContain("no index");
    expect(flawOf({ ...base, equal: ["sender"] })).toContain("first fields");
    expect(flawOf({ ...base, sort: { time: 1 } })).toContain("does not follow");
    expect(flawOf({ ...base, sort: { seq: 1, time: -1 }, index: "seq" })).toContain("does not follow");
    expect(flawOf({ ...base, range: "kind" })).toContain("does not follow");
    expect(flawOf({ ...base, equal: [] })).toContain("whole collection");
  });

  test("every index serves a query, or keeps something unique", () => {
    const idle = mongoIndexes.filter(({ collection, name, unique }) => {
      const used = Object.values(mongoQueries).some((query) => query.collection === collection && query.index === name);
      return !used && !unique;
    });
    expect(idle).toEqual([]);
  });
});

describe("the table of indexes", () => {
  test("every unique index begins with the shard key of its collection", () => {
    const flaws = mongoIndexes.filter(({ collection, key, unique }) => unique && key[0] !== shardKeys[collection]);
    expect(flaws).toEqual([]);
  });

  test("every collection that is sharded has an index that begins with its shard key", () => {
    const bare = collectionNames.filter((collection) => {
      const shardKey = shardKeys[collection];
      if (shardKey === null || shardKey === "_id") return false;
      return !mongoIndexes.some((index) => index.collection === collection && index.key[0] === shardKey);
    });
    expect(bare).toEqual([]);
  });

  test("names are unique within a collection", () => {
    const names = mongoIndexes.map(({ collection, name }) => `${collection}.${name}`);
    expect(new Set(names).size).toBe(names.length);
  });
});
