// Every query of the table, put to the server: it understands each one, and where it tells how it would find the documents, it is
// by an index and in the index's order. A substitute tells nothing of the kind; PARLEY_TEST_MONGODB names a server that does.
import { expect, test } from "bun:test";
import { type Document, MongoClient } from "mongodb";
import { migrateMongo } from "../../src/storage/mongo-migrations";
import { type MongoQuery, mongoQueries } from "../../src/storage/mongo-queries";
import { describeWith, shareMongo } from "../services/services";

/** A value of each field, of the type it has. */
const values: Readonly<Record<string, unknown>> = {
  "memberships.row.role": null,
  "partitions._id": 1,
  "entries.counts": true,
  "heads.open": true,
};
const numeric = ["seq", "userSeq", "first", "mark.seq", "epoch", "revision", "row.stamp", "kind", "partition", "value"];

function sampleOf({ collection }: MongoQuery, field: string): unknown {
  const own = values[`${collection}.${field}`];
  if (own !== undefined) return own;
  return numeric.includes(field) ? 3 : "x";
}

/** A filter of the query's shape. */
function filterOf(query: MongoQuery): Document {
  const { equal, range, also = [] } = query;
  const filter: Document = {};
  for (const field of also) filter[field] = { $ne: sampleOf(query, field) };
  if (range !== undefined) filter[range] = { $gte: sampleOf(query, range) };
  for (const field of equal) filter[field] = { $in: [sampleOf(query, field)] };
  return filter;
}

/** The command that the driver would send. */
function commandOf(query: MongoQuery): Document {
  const { collection, command, sort } = query;
  const filter = filterOf(query);
  switch (command) {
    case "find":
      return { find: collection, filter, ...(sort ? { sort } : {}) };
    case "count":
      return {
        aggregate: collection,
        pipeline: [{ $match: filter }, { $group: { _id: 1, n: { $sum: 1 } } }],
        cursor: {},
      };
    case "findAndModify":
      return { findAndModify: collection, query: filter, update: { $set: { value: 3 } } };
    case "update":
      return { update: collection, updates: [{ q: filter, u: { $set: { value: 3 } } }] };
    default:
      return { delete: collection, deletes: [{ q: filter, limit: 0 }] };
  }
}

/** Every stage of the plans that win, wherever the answer has them. */
function stagesOf(answer: unknown, within = false): readonly string[] {
  if (typeof answer !== "object" || answer === null) return [];
  const own = within && "stage" in answer ? [String(answer.stage)] : [];
  const parts = Object.entries(answer).filter(([name]) => name !== "rejectedPlans");
  return [...own, ...parts.flatMap(([name, part]) => stagesOf(part, within || name === "winningPlan"))];
}

describeWith("mongodb", "plans of MongoDB", () => {
  test("every query of the table is understood, and found by an index where the server tells", async () => {
    await using share = await shareMongo();
    const client = new MongoClient(share.uri, { retryWrites: false });
    try {
      const db = client.db(share.name);
      await migrateMongo(db, 5000);
      const flaws: string[] = [];
      for (const [name, query] of Object.entries(mongoQueries)) {
        if (query.command === "insert") continue;
        const command = commandOf(query);
        expect((await db.command(command)).ok).toBe(1);
        const plan = await db.command({ explain: command, verbosity: "queryPlanner" }).catch(() => ({}));
        const stages = stagesOf(plan);
        const scans = stages.some((stage) => stage === "COLLSCAN" || stage === "SORT");
        const found = stages.some((stage) => /IXSCAN|IDHACK|COUNT_SCAN|DISTINCT_SCAN|EXPRESS/.test(stage));
        if (scans || (stages.length > 0 && !found)) flaws.push(`${name}: ${stages.join(" ← ")}`);
      }
      expect(flaws).toEqual([]);
    } finally {
      await client.close();
    }
  }, 30_000);

  test("a scan, or a sort in memory, is told from an index", () => {
    const scan = { queryPlanner: { winningPlan: { stage: "SORT", inputStage: { stage: "COLLSCAN" } } } };
    const index = { queryPlanner: { winningPlan: { queryPlan: { stage: "FETCH", inputStage: { stage: "IXSCAN" } } } } };
    expect(stagesOf(scan)).toEqual(["SORT", "COLLSCAN"]);
    expect(stagesOf({ stages: [{ $cursor: index }], rejectedPlans: [scan] })).toEqual(["FETCH", "IXSCAN"]);
  });
});
