// The reads of the MongoDB store that change nothing, but for activations and audits: each of what a majority has, most of one command.
// Owned by MongoStore, which turns the driver's errors into `store_unavailable`. Bounds in docs/OPERATIONS.md.
import type { MongoClient } from "mongodb";
import { partitionCount } from "../lib/hash";
import type { ConversationId } from "../protocol/ids";
import { count, countBy, find, stream } from "./mongo-find";
import { conversationQueries, entryQueries, metaQueries, personQueries } from "./mongo-queries";
import { type EntrySource, readRangesFrom } from "./mongo-ranges";
import {
  changesOf,
  type Collections,
  cursorOf,
  type EntryDoc,
  entryKey,
  entryOf,
  foundOf,
  membershipOf,
  memberOf,
  userOf,
} from "./mongo-schema";
import { readSyncFrom } from "./mongo-sync";
import type { Store } from "./store";

/** Not `audit`, `openConversation` and `openFeed`. Its methods reject with the driver's error where the server cannot answer. */
export class MongoReads implements Partial<Store> {
  readonly #collections: Collections;
  readonly #client: MongoClient;
  readonly #source: EntrySource;

  constructor(collections: Collections, client: MongoClient) {
    this.#collections = collections;
    this.#client = client;
    this.#source = entrySource(collections);
  }

  readonly readRange: Store["readRange"] = async (request) => {
    const [range] = await this.readRanges([request], request.bytesMax);
    return range ?? { entries: [], scannedTo: 0 };
  };

  readonly readRanges: Store["readRanges"] = (requests, bytesTotal) =>
    readRangesFrom(this.#source, requests, bytesTotal);

  readonly findClientIds: Store["findClientIds"] = async (conversation, ids) => {
    if (ids.length === 0) return [];
    const keys = ids.map(([sender, clientId]) => entryKey(sender, clientId, 0));
    const rows = await find(this.#collections, entryQueries.byKey, { conversation, key: { $in: keys } });
    const found = new Map(rows.map((row) => [foundKey(row), foundOf(row)]));
    return ids.flatMap(([sender, clientId]) => found.get(`${sender}\n${clientId}`) ?? []);
  };

  readonly readMembers: Store["readMembers"] = async (conversation, users) => {
    const rows = await find(
      this.#collections,
      conversationQueries.members,
      { conversation, user: { $in: users } },
      all,
    );
    const found = new Map(rows.map((row) => [row.user, memberOf(row)]));
    return users.flatMap((user) => found.get(user) ?? []);
  };

  readonly readCursors: Store["readCursors"] = async (conversation, users) => {
    const rows = await find(
      this.#collections,
      conversationQueries.cursors,
      { conversation, user: { $in: users } },
      all,
    );
    const found = new Map(rows.map((row) => [row.user, cursorOf(row)]));
    return users.flatMap((user) => found.get(user) ?? []);
  };

  readonly countOwn: Store["countOwn"] = async (conversation, sender, after, through) => {
    if (through <= after) return 0;
    const own = { conversation, sender, counts: true, seq: { $gt: after, $lte: through } };
    return count(this.#collections, entryQueries.ownCount, own);
  };

  readonly countBySender: Store["countBySender"] = async (conversation, after) => {
    const counts = new Map<EntryDoc["sender"], number>();
    const late = { conversation, seq: { $gt: after }, counts: true };
    for await (const { sender } of stream(this.#collections, entryQueries.senders, late))
      counts.set(sender, (counts.get(sender) ?? 0) + 1);
    return [...counts].map(([user, each]) => ({ user, count: each }));
  };

  readonly readReaders: Store["readReaders"] = async (conversation, seq, after, limit) => {
    if (limit < 1) return [];
    const filter = { conversation, ...(after === null ? {} : { user: { $gt: after } }), "mark.seq": { $gte: seq } };
    const rows = await find(this.#collections, conversationQueries.readers, filter, { limit });
    return rows.map(({ user, mark }) => ({ user, seq: mark?.seq ?? 0 }));
  };

  readonly countReaders: Store["countReaders"] = (conversation, seq, except) => {
    const filter = { conversation, "mark.seq": { $gte: seq }, user: { $ne: except } };
    return count(this.#collections, conversationQueries.readerCount, filter);
  };

  readonly listOpen: Store["listOpen"] = async (partitions, after, limit) => {
    if (partitions.length === 0 || limit < 1) return [];
    const some = new Set(partitions).size < partitionCount ? { partition: { $in: [...partitions] } } : {};
    const filter = { open: true, ...beyond(after), ...some };
    const rows = await find(this.#collections, conversationQueries.open, filter, { limit });
    return rows.map(({ _id }) => _id);
  };

  readonly listAdvanced: Store["listAdvanced"] = async (after, limit) => {
    if (limit < 1) return [];
    const filter = { ...beyond(after), type: { $ne: "" } };
    const rows = await find(this.#collections, conversationQueries.advanced, filter, { limit });
    return rows.map(({ _id, seq }) => ({ conversation: _id, seq }));
  };

  readonly readHeads: Store["readHeads"] = async (conversations) => {
    if (conversations.length === 0) return [];
    const rows = await find(this.#collections, conversationQueries.heads, { _id: { $in: conversations } }, all);
    return rows.flatMap(({ _id, type, seq, open }) => (type === "" ? [] : { conversation: _id, seq, open }));
  };

  readonly readMemberships: Store["readMemberships"] = async (user, conversations) => {
    const filter = { user, conversation: { $in: conversations } };
    const rows = await find(this.#collections, personQueries.memberships, filter, all);
    const found = new Map(rows.map((row) => [row.conversation, membershipOf(row)]));
    return conversations.flatMap((conversation) => found.get(conversation) ?? []);
  };

  /** The person first: what their row does not tell yet belongs to a write under way, and is not answered. */
  readonly readFeed: Store["readFeed"] = async (user, after, limit) => {
    const [row] = await find(this.#collections, personQueries.user, { _id: user }, one);
    if (!row || row.userSeq <= after || limit < 1) return { changes: [], user: row ? userOf(row) : null };
    const filter = { user, userSeq: { $gt: after, $lte: row.userSeq } };
    const docs = await find(this.#collections, personQueries.feed, filter, { limit });
    const changes = docs.flatMap(changesOf).filter(([userSeq]) => userSeq > after);
    return { changes: changes.slice(0, limit), user: userOf(row) };
  };

  readonly unknownUsers: Store["unknownUsers"] = async (users) => {
    if (users.length === 0) return [];
    const rows = await find(this.#collections, personQueries.known, { _id: { $in: users }, deletedAt: null }, all);
    const known = new Set(rows.map(({ _id }) => _id));
    return users.filter((user) => !known.has(user));
  };

  readonly fullUsers: Store["fullUsers"] = async (users, max) => {
    if (users.length === 0) return [];
    const present = { user: { $in: users }, "row.role": { $ne: null } };
    const counts = await countBy(this.#collections, personQueries.full, present, "user");
    return users.filter((user) => (counts.get(user) ?? 0) >= max);
  };

  /** Roles are texts and tombstones have none: so bounded, the index alone answers. It has them by role, not by conversation. */
  readonly conversationsOf: Store["conversationsOf"] = async (user) => {
    const filter = { user, "row.role": { $gt: "" } } as const;
    const rows = await find(this.#collections, personQueries.present, filter as object, { batch: 20_000 });
    return rows.map(({ conversation }) => conversation).sort();
  };

  readonly featureLevel: Store["featureLevel"] = async () => {
    const [row] = await find(this.#collections, metaQueries.read, { _id: "featureLevel" }, one);
    return Number(row?.value ?? 0);
  };

  readonly readSync: Store["readSync"] = (user, after, limit, withCounts) =>
    readSyncFrom(this.#collections, this.#client, user, after, limit, withCounts);
}

/** Look-ups by lists of at most a few thousand ids: one reply holds them all. */
const all = { batch: 10_000 };
const one = { limit: 1 };

function beyond(after: ConversationId | null) {
  return after === null ? {} : { _id: { $gt: after } };
}

function foundKey(row: EntryDoc): string {
  return `${row.sender}\n${foundOf(row).clientId}`;
}

function entrySource(collections: Collections): EntrySource {
  const cast = (conversation: string) => conversation as ConversationId;
  return {
    async pieces(pieces) {
      const clauses = pieces.map(({ conversation, first, last }) => ({
        conversation: cast(conversation),
        seq: { $gte: first, $lte: last },
      }));
      const filter = clauses.length === 1 ? (clauses[0] as (typeof clauses)[0]) : { $or: clauses };
      const rows = await find(collections, entryQueries.pieces, filter, { batch: 1000 });
      return rows.map((row) => [row.conversation, entryOf(row)]);
    },
    async down(conversation, from, limit) {
      const filter = { conversation: cast(conversation), seq: { $lte: from } };
      return (await find(collections, entryQueries.down, filter, { limit })).map(entryOf);
    },
    async ofKind({ conversation, first, last, kind, edge }, limit) {
      const seq = { $gte: Math.min(first, last), $lte: Math.max(first, last) };
      const filter = { conversation: cast(conversation), seq, $or: [{ kind }, { seq: edge }] };
      const query = first <= last ? entryQueries.kindUp : entryQueries.kindDown;
      return (await find(collections, query, filter, { limit })).map(entryOf);
    },
    async highest(conversation, through) {
      const filter = { conversation: cast(conversation), seq: { $lte: through } };
      const [row] = await find(collections, entryQueries.highest, filter, one);
      return row?.seq ?? 0;
    },
  };
}
