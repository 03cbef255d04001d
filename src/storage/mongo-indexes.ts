// The indexes and shard keys of the MongoDB store, as data: what the migrations create, and what the tests prove of every query.

/** Every collection. `meta` is the first that is created: a database without it belongs to another program. */
export const collectionNames = [
  "meta",
  "partitions",
  "entries",
  "heads",
  "participants",
  "users",
  "feed",
  "memberships",
  "devices",
] as const;

/** The name of a collection. */
export type CollectionName = (typeof collectionNames)[number];

/** An index that the migrations create, beside the one on `_id`. */
export interface MongoIndex {
  readonly collection: CollectionName;
  readonly name: string;
  /** Fields in order, all ascending. */
  readonly key: readonly string[];
  readonly unique: boolean;
}

/** Every unique one begins with its collection's shard key. */
export const mongoIndexes: readonly MongoIndex[] = [
  { collection: "entries", name: "seq", key: ["conversation", "seq"], unique: true },
  { collection: "entries", name: "key", key: ["conversation", "key"], unique: true },
  { collection: "entries", name: "own", key: ["conversation", "sender", "counts", "seq"], unique: false },
  { collection: "heads", name: "open", key: ["open", "_id", "partition"], unique: false },
  { collection: "participants", name: "user", key: ["conversation", "user"], unique: true },
  { collection: "participants", name: "mark", key: ["conversation", "mark.seq", "user"], unique: false },
  { collection: "feed", name: "first", key: ["user", "first"], unique: true },
  { collection: "feed", name: "userSeq", key: ["user", "userSeq"], unique: false },
  { collection: "memberships", name: "conversation", key: ["user", "conversation"], unique: true },
  { collection: "memberships", name: "present", key: ["user", "row.role", "conversation"], unique: false },
  { collection: "devices", name: "device", key: ["user", "device"], unique: true },
];

/** What each collection is sharded by; null: it is small and stays on one shard. */
export const shardKeys: Readonly<Record<CollectionName, string | null>> = {
  meta: null,
  partitions: null,
  entries: "conversation",
  heads: "_id",
  participants: "conversation",
  users: "_id",
  feed: "user",
  memberships: "user",
  devices: "user",
};
