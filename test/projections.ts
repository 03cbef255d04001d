// Compares everything a store holds beside its logs with the fold of those logs: heads, members, cursors, totals, memberships,
// and each person's feed. The caller has closed every conversation: what is still open is a fault by itself.
import { allPartitions } from "../src/actors/local-placement";
import { decode } from "../src/protocol/codec";
import type { ConversationBody, ConversationSet, EntryTuple } from "../src/protocol/entry";
import { entryKinds } from "../src/protocol/entry";
import type { ConversationId, UserId } from "../src/protocol/ids";
import type { FeedTuple } from "../src/protocol/operations";
import type { EntryRow, HeadRow, Store } from "../src/storage/store";
import { expectSame, FoldedLog } from "./sim/log-fold";

const pageMax = 200;

/** What was compared, and every difference found, one a line. */
export interface Projections {
  readonly conversations: number;
  readonly people: number;
  readonly faults: readonly string[];
}

/** Claims the store's partitions, so nobody else may be at work on it. Rejects only where the store cannot be read. */
export async function compareProjections(store: Store): Promise<Projections> {
  const epoch = await store.claim(allPartitions);
  const faults: string[] = [];
  for (const left of await store.listOpen(allPartitions, null, pageMax)) faults.push(`${left}: was left open`);
  const people = new Set<UserId>();
  const conversations = await allConversations(store);
  for (const conversation of conversations) {
    const opened = await store.openConversation(conversation, epoch, 0);
    if (opened === null) {
      faults.push(`${conversation}: is listed, but does not open`);
      continue;
    }
    const { log, faults: broken } = foldLog(conversation, await readLog(store, conversation));
    const differ = differences(conversation, faults);
    for (const fault of broken) faults.push(fault);
    await compareConversation(store, conversation, opened.head, log, differ);
    for (const user of log.membersAt(log.head).keys()) people.add(user);
  }
  for (const user of people) await compareFeed(store, user, epoch, differences(user, faults));
  return { conversations: conversations.length, people: people.size, faults };
}

type Differ = (what: string, got: unknown, expected: unknown) => void;

function differences(subject: string, faults: string[]): Differ {
  return (what, got, expected) => {
    try {
      expectSame(`${subject}: ${what}`, got, expected);
    } catch (error) {
      faults.push((error as Error).message);
    }
  };
}

async function allConversations(store: Store): Promise<readonly ConversationId[]> {
  const found: ConversationId[] = [];
  for (;;) {
    const page = await store.listAdvanced(found.at(-1) ?? null, pageMax);
    found.push(...page.map(({ conversation }) => conversation));
    if (page.length < pageMax) return found;
  }
}

async function readLog(store: Store, conversation: ConversationId): Promise<readonly EntryRow[]> {
  const rows: EntryRow[] = [];
  for (;;) {
    const from = (rows.at(-1)?.seq ?? 0) + 1;
    const request = { conversation, from, direction: "up", limit: 500, bytesMax: 4_000_000, scanMax: 1_000 } as const;
    const { entries } = await store.readRange(request);
    if (entries.length === 0) return rows;
    rows.push(...entries);
  }
}

function foldLog(conversation: ConversationId, rows: readonly EntryRow[]): { log: FoldedLog; faults: string[] } {
  const log = new FoldedLog();
  try {
    for (const row of rows) log.append(row, 0);
    return { log, faults: [] };
  } catch (error) {
    return { log, faults: [`${conversation}: ${(error as Error).message}`] };
  }
}

async function compareConversation(
  store: Store,
  conversation: ConversationId,
  head: HeadRow,
  log: FoldedLog,
  differ: Differ,
): Promise<void> {
  const last = log.entries.findLast(([, , kind]) => kind === entryKinds.message);
  const present = [...log.membersAt(log.head)].filter(([, { role }]) => role !== null);
  const { seq, ordinal, time, memberCount, lastMessage, lastMessageSeq, fedThrough, totalsThrough } = head;
  differ("head", [seq, ordinal, time], [log.head, log.ordinalAt(log.head), log.entry(log.head)?.[4]]);
  differ("memberCount", memberCount, present.length);
  differ("last message", [lastMessageSeq, lastMessage && decode(lastMessage)], [last?.[0] ?? 0, last ?? null]);
  differ("fedThrough and totalsThrough", [fedThrough, totalsThrough], [log.head, log.head]);
  const { type, name, picture, fields } = head;
  differ("info", { type, name, picture, fields: fields && decode(fields) }, infoOf(log.entries));
  const users = [...log.membersAt(log.head).keys()];
  await compareMembers(store, conversation, log, users, differ);
  await compareCursors(store, conversation, log, users, differ);
  await compareMemberships(store, conversation, log, users, differ);
}

/** Type, name, picture and fields as the entries of the log set them. */
function infoOf(entries: readonly EntryTuple[]): ConversationSet & { readonly type: string } {
  let type = "";
  let set: ConversationSet = { name: null, picture: null, fields: null };
  for (const [, , kind, , , , , , , body] of entries) {
    if (kind !== entryKinds.conversation) continue;
    const [named, changed] = body as ConversationBody;
    type = named ?? type;
    set = { ...set, ...changed };
  }
  return { type, ...set };
}

async function compareMembers(
  store: Store,
  conversation: ConversationId,
  log: FoldedLog,
  users: readonly UserId[],
  differ: Differ,
): Promise<void> {
  const rows = new Map((await store.readMembers(conversation, users)).map((row) => [row.user, row]));
  for (const [user, folded] of log.membersAt(log.head)) {
    const row = rows.get(user);
    differ(`member ${user}`, [row?.role, row?.changedSeq], [folded.role, folded.changedSeq]);
    if (folded.role !== null) differ(`place of ${user}`, [row?.join, row?.floor], [folded.join, folded.floor]);
  }
}

async function compareCursors(
  store: Store,
  conversation: ConversationId,
  log: FoldedLog,
  users: readonly UserId[],
  differ: Differ,
): Promise<void> {
  const rows = new Map((await store.readCursors(conversation, users)).map((row) => [row.user, row]));
  for (const user of users) {
    const { seq = 0, ordinal = 0, own = 0, total = 0 } = rows.get(user) ?? {};
    if (seq > log.head) differ(`cursor of ${user} past the head`, seq, log.head);
    differ(`cursor of ${user}`, [ordinal, own], [log.ordinalAt(seq), log.ownThrough(user, seq)]);
    differ(`total of ${user}`, total, log.ownThrough(user, log.head));
  }
}

async function compareMemberships(
  store: Store,
  conversation: ConversationId,
  log: FoldedLog,
  users: readonly UserId[],
  differ: Differ,
): Promise<void> {
  for (const user of users) {
    const [row] = await store.readMemberships(user, [conversation]);
    const folded = log.membersAt(log.head).get(user);
    differ(`membership of ${user}`, [row?.seq, row?.role], [folded?.changedSeq, folded?.role]);
    if (folded?.role) differ(`place in the feed of ${user}`, [row?.join, row?.floor], [folded.join, folded.floor]);
  }
}

/** A feed is gapless up to its person's row, and the memberships are its fold. */
async function compareFeed(store: Store, user: UserId, epoch: number, differ: Differ): Promise<void> {
  const opened = await store.openFeed(user, epoch);
  const changes: FeedTuple[] = [];
  for (;;) {
    const page = await store.readFeed(user, changes.at(-1)?.[0] ?? 0, pageMax);
    changes.push(...page.changes);
    if (page.changes.length < pageMax) break;
  }
  const expected = changes.map((_, at) => at + 1);
  const seqs = changes.map(([userSeq]) => userSeq);
  differ("feed", seqs, expected);
  differ("userSeq", opened?.user.userSeq, changes.length);
  const memberships = new Map(changes.flatMap(([, kind, on, data]) => (kind === "membership" ? [[on, data]] : [])));
  for (const [conversation, [, seq, role]] of memberships) {
    const [row] = await store.readMemberships(user, [conversation as ConversationId]);
    differ(`fold of the feed for ${conversation}`, [row?.seq, row?.role], [seq, role]);
  }
  const devices = new Map(changes.flatMap(([, kind, on, data]) => (kind === "device" ? [[on, data[0]]] : [])));
  for (const [device, change] of devices) {
    const row = opened?.devices.find((each) => each.device === device);
    differ(`device ${device}`, row !== undefined, change === "added" || row !== undefined);
  }
}
