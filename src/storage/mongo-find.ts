// Runs a row of the table of queries: collection, order and projection come from the row, the values from the caller.
// Owned by the reads of the MongoDB store. Every read is of what a majority has, from the primary, and bounded in time.
import type { ClientSession, Filter, FindOptions } from "mongodb";
import type { MongoQuery } from "./mongo-queries";
import type { CollectionName, Collections, Documents } from "./mongo-schema";

/** How long the server works on one read before it gives it up, milliseconds. */
const readMs = 4000;

/** How much a find answers, and in which session. */
export interface FindBounds {
  /** Most documents. */
  readonly limit?: number;
  /** Documents that the first reply may hold, up to 16 MiB of them; absent: the server's default of 101. */
  readonly batch?: number;
  readonly session?: ClientSession;
}

/** The documents, all of them in memory: the caller has bounded them. Rejects with the driver's error. */
export function find<N extends CollectionName>(
  collections: Collections,
  query: MongoQuery<N>,
  filter: Filter<Documents[N]>,
  bounds: FindBounds = {},
): Promise<Documents[N][]> {
  return cursorOf(collections, query, filter, bounds).toArray() as unknown as Promise<Documents[N][]>;
}

/** The documents one after the other, a thousand at a time. Rejects with the driver's error. */
export function stream<N extends CollectionName>(
  collections: Collections,
  query: MongoQuery<N>,
  filter: Filter<Documents[N]>,
): AsyncIterable<Documents[N]> {
  return cursorOf(collections, query, filter, { batch: 1000 }) as unknown as AsyncIterable<Documents[N]>;
}

/** How many documents there are. Rejects with the driver's error. */
export async function count<N extends CollectionName>(
  collections: Collections,
  query: MongoQuery<N>,
  filter: Filter<Documents[N]>,
): Promise<number> {
  // Not the command `count`: on a sharded cluster it counts documents twice while they move.
  return (collections[query.collection] as Collections["entries"]).countDocuments(filter as object, {
    maxTimeMS: readMs,
  });
}

/** How many documents there are of each value of `field`; values of none are left out. */
export async function countBy<N extends CollectionName>(
  collections: Collections,
  query: MongoQuery<N>,
  filter: Filter<Documents[N]>,
  field: string,
): Promise<ReadonlyMap<unknown, number>> {
  const stages = [{ $match: filter }, { $group: { _id: `$${field}`, n: { $sum: 1 } } }];
  const options = { maxTimeMS: readMs, batchSize: 1000 };
  const collection = collections[query.collection] as Collections["entries"];
  const rows = await collection.aggregate<{ _id: unknown; n: number }>(stages, options).toArray();
  return new Map(rows.map(({ _id, n }) => [_id, n]));
}

function cursorOf<N extends CollectionName>(
  collections: Collections,
  { collection, sort, projection }: MongoQuery<N>,
  filter: Filter<Documents[N]>,
  { limit, batch, session }: FindBounds,
) {
  const options: FindOptions = { maxTimeMS: readMs };
  if (sort) options.sort = sort;
  if (projection) options.projection = projection;
  if (session) options.session = session;
  // One more than the limit, so that the server closes the cursor with its first reply.
  if (limit !== undefined) Object.assign(options, { limit, batchSize: limit + 1 });
  else if (batch !== undefined) options.batchSize = batch;
  return (collections[collection] as Collections["entries"]).find(filter as object, options);
}
