// Every query that the MongoDB driver issues, as a table: collection, shape of the filter, order, and the index that serves it.
// Reads take collection, order and projection from here. What anything else sends is compared with the table by the command
// monitor's test, so that what is proven of the table holds for every command.
import type { CollectionName } from "./mongo-schema";

/** What a query sends. `count` is an aggregation of `$match` and `$group`; `insert` has its row for what must be unique. */
export type MongoCommand = "find" | "count" | "insert" | "update" | "findAndModify" | "delete";

/** One query. Fields that its filter names and that are not listed here fail the tests. */
export interface MongoQuery<N extends CollectionName = CollectionName> {
  readonly collection: N;
  readonly command: MongoCommand;
  /** Fields compared with a value or a list of values. A filter may be several such filters under `$or`. */
  readonly equal: readonly string[];
  /** The field bounded from one side or both. */
  readonly range?: string;
  readonly sort?: Readonly<Record<string, 1 | -1>>;
  /** Fields that are looked at in what the index has brought: they only narrow it. */
  readonly also?: readonly string[];
  /** The index that serves it, of `mongoIndexes`, or `_id`. */
  readonly index: string;
  /** What is answered; absent: whole documents. */
  readonly projection?: Readonly<Record<string, 0 | 1>>;
}

/** Keeps the type of the collection's documents with a row of the table. */
function query<N extends CollectionName>(row: MongoQuery<N>): MongoQuery<N> {
  return row;
}

const entryFields = { _id: 0, epoch: 0 } as const;

/** Reads of logs. */
export const entryQueries = {
  pieces: query({
    collection: "entries",
    command: "find",
    equal: ["conversation"],
    range: "seq",
    index: "seq",
    projection: entryFields,
  }),
  down: query({
    collection: "entries",
    command: "find",
    equal: ["conversation"],
    range: "seq",
    sort: { seq: -1 },
    index: "seq",
    projection: entryFields,
  }),
  kindUp: query({
    collection: "entries",
    command: "find",
    equal: ["conversation"],
    range: "seq",
    sort: { seq: 1 },
    also: ["kind", "seq"],
    index: "seq",
    projection: entryFields,
  }),
  kindDown: query({
    collection: "entries",
    command: "find",
    equal: ["conversation"],
    range: "seq",
    sort: { seq: -1 },
    also: ["kind", "seq"],
    index: "seq",
    projection: entryFields,
  }),
  highest: query({
    collection: "entries",
    command: "find",
    equal: ["conversation"],
    range: "seq",
    sort: { seq: -1 },
    index: "seq",
    projection: { _id: 0, seq: 1 },
  }),
  byKey: query({
    collection: "entries",
    command: "find",
    equal: ["conversation", "key"],
    index: "key",
    projection: entryFields,
  }),
  ownCount: query({
    collection: "entries",
    command: "count",
    equal: ["conversation", "sender", "counts"],
    range: "seq",
    index: "own",
  }),
  senders: query({
    collection: "entries",
    command: "find",
    equal: ["conversation"],
    range: "seq",
    also: ["counts"],
    index: "seq",
    projection: { _id: 0, sender: 1 },
  }),
} as const;

/** Reads of participants and heads. */
export const conversationQueries = {
  members: query({
    collection: "participants",
    command: "find",
    equal: ["conversation", "user"],
    index: "user",
    projection: { _id: 0, user: 1, member: 1 },
  }),
  cursors: query({
    collection: "participants",
    command: "find",
    equal: ["conversation", "user"],
    index: "user",
    projection: { _id: 0, user: 1, mark: 1, total: 1 },
  }),
  readers: query({
    collection: "participants",
    command: "find",
    equal: ["conversation"],
    range: "user",
    sort: { user: 1 },
    also: ["mark.seq"],
    index: "user",
    projection: { _id: 0, user: 1, "mark.seq": 1 },
  }),
  readerCount: query({
    collection: "participants",
    command: "count",
    equal: ["conversation"],
    range: "mark.seq",
    also: ["user"],
    index: "mark",
  }),
  open: query({
    collection: "heads",
    command: "find",
    equal: ["open"],
    range: "_id",
    sort: { _id: 1 },
    also: ["partition"],
    index: "open",
    projection: { _id: 1 },
  }),
  heads: query({
    collection: "heads",
    command: "find",
    equal: ["_id"],
    index: "_id",
    projection: { type: 1, open: 1, seq: 1 },
  }),
  advanced: query({
    collection: "heads",
    command: "find",
    equal: [],
    range: "_id",
    sort: { _id: 1 },
    also: ["type"],
    index: "_id",
    projection: { seq: 1 },
  }),
} as const;

/** Reads of people. */
export const personQueries = {
  user: query({ collection: "users", command: "find", equal: ["_id"], index: "_id" }),
  known: query({
    collection: "users",
    command: "find",
    equal: ["_id"],
    also: ["deletedAt"],
    index: "_id",
    projection: { _id: 1 },
  }),
  feed: query({
    collection: "feed",
    command: "find",
    equal: ["user"],
    range: "userSeq",
    sort: { userSeq: 1 },
    index: "userSeq",
    projection: { _id: 0, changes: 1 },
  }),
  memberships: query({
    collection: "memberships",
    command: "find",
    equal: ["user", "conversation"],
    index: "conversation",
    projection: { _id: 0 },
  }),
  full: query({ collection: "memberships", command: "count", equal: ["user"], also: ["row.role"], index: "present" }),
  present: query({
    collection: "memberships",
    command: "find",
    equal: ["user"],
    range: "row.role",
    index: "present",
    projection: { _id: 0, conversation: 1 },
  }),
} as const;

/** The reads of one sync, in their order; see mongo-sync.ts. */
export const syncQueries = {
  user: personQueries.user,
  memberships: query({
    collection: "memberships",
    command: "find",
    equal: ["user"],
    range: "conversation",
    sort: { conversation: 1 },
    also: ["row.role"],
    index: "conversation",
    projection: { _id: 0, conversation: 1, "row.peer": 1, "row.muted": 1, "row.markedUnread": 1 },
  }),
  heads: query({ collection: "heads", command: "find", equal: ["_id"], index: "_id" }),
  counts: query({
    collection: "heads",
    command: "find",
    equal: ["_id"],
    index: "_id",
    projection: { type: 1, open: 1, seq: 1, ordinal: 1, totalsThrough: 1 },
  }),
  participants: query({
    collection: "participants",
    command: "find",
    equal: ["conversation", "user"],
    index: "user",
    projection: { _id: 0 },
  }),
} as const;

/** What opening and committing send beside those reads. */
export const ownerQueries = {
  newestEpoch: query({ collection: "partitions", command: "find", equal: ["_id"], index: "_id" }),
  claim: query({ collection: "partitions", command: "update", equal: ["_id"], also: ["epoch"], index: "_id" }),
  head: query({ collection: "heads", command: "find", equal: ["_id"], index: "_id" }),
  addHead: query({ collection: "heads", command: "insert", equal: [], index: "_id" }),
  takeHead: query({
    collection: "heads",
    command: "findAndModify",
    equal: ["_id"],
    also: ["epoch", "lease", "revision"],
    index: "_id",
  }),
  writeHead: query({
    collection: "heads",
    command: "update",
    equal: ["_id"],
    also: ["epoch", "lease", "revision"],
    index: "_id",
  }),
  dropHead: query({
    collection: "heads",
    command: "delete",
    equal: ["_id"],
    also: ["epoch", "lease", "revision"],
    index: "_id",
  }),
  append: query({ collection: "entries", command: "insert", equal: [], index: "seq" }),
  entryAt: query({ collection: "entries", command: "find", equal: ["conversation", "seq"], index: "seq" }),
  entriesFrom: query({
    collection: "entries",
    command: "find",
    equal: ["conversation"],
    range: "seq",
    sort: { seq: 1 },
    index: "seq",
  }),
  tail: query({
    collection: "entries",
    command: "find",
    equal: ["conversation"],
    range: "seq",
    sort: { seq: -1 },
    index: "seq",
  }),
  presentMembers: query({
    collection: "participants",
    command: "find",
    equal: ["conversation"],
    also: ["member.role"],
    index: "user",
  }),
  participant: query({
    collection: "participants",
    command: "update",
    equal: ["conversation", "user"],
    index: "user",
  }),
} as const;

/** What opening and writing people's feeds send beside those reads. */
export const feedQueries = {
  takeUser: query({
    collection: "users",
    command: "findAndModify",
    equal: ["_id"],
    also: ["epoch", "lease", "revision"],
    index: "_id",
  }),
  writeUser: query({
    collection: "users",
    command: "update",
    equal: ["_id"],
    also: ["epoch", "lease", "openEpoch", "revision"],
    index: "_id",
  }),
  addUser: query({ collection: "users", command: "insert", equal: [], index: "_id" }),
  append: query({ collection: "feed", command: "insert", equal: [], index: "first" }),
  any: query({ collection: "feed", command: "find", equal: ["user"], index: "first" }),
  at: query({ collection: "feed", command: "find", equal: ["user", "first"], index: "first" }),
  behind: query({
    collection: "feed",
    command: "find",
    equal: ["user"],
    range: "first",
    sort: { first: 1 },
    index: "first",
  }),
  membership: query({
    collection: "memberships",
    command: "update",
    equal: ["user", "conversation"],
    index: "conversation",
  }),
  devices: query({ collection: "devices", command: "find", equal: ["user"], index: "device" }),
  device: query({ collection: "devices", command: "update", equal: ["user", "device"], index: "device" }),
  forgetDevices: query({
    collection: "devices",
    command: "delete",
    equal: ["user"],
    also: ["row.droppedAt"],
    index: "device",
  }),
} as const;

/** What the server keeps of itself. */
export const metaQueries = {
  partitions: query({ collection: "partitions", command: "insert", equal: [], index: "_id" }),
  read: query({ collection: "meta", command: "find", equal: ["_id"], index: "_id" }),
  write: query({ collection: "meta", command: "update", equal: ["_id"], also: ["schema", "value"], index: "_id" }),
  nextEpoch: query({ collection: "meta", command: "findAndModify", equal: ["_id"], index: "_id" }),
} as const;

/** Every row of the table, by name. */
export const mongoQueries: Readonly<Record<string, MongoQuery>> = Object.fromEntries(
  Object.entries({
    entryQueries,
    conversationQueries,
    personQueries,
    syncQueries,
    ownerQueries,
    feedQueries,
    metaQueries,
  }).flatMap(([group, rows]) =>
    Object.entries(rows).map(([name, row]) => [`${group.replace("Queries", "")}.${name}`, row]),
  ),
);
