// A data set of any size, written through the store port as servers write it: people with devices and feeds, conversations whose
// rows follow from their logs. Deterministic, so that two of the same size are the same. For the tests and the proof of copying.
import { allPartitions } from "../../src/actors/local-placement";
import { encode, encodeEntry } from "../../src/protocol/codec";
import { entryKinds, memberChanges } from "../../src/protocol/entry";
import type { EntryTuple, Role } from "../../src/protocol/entry";
import type { ClientId, ConversationId, DeviceId, Epoch, UserId } from "../../src/protocol/ids";
import type { FeedTuple } from "../../src/protocol/operations";
import type { Mark } from "../../src/protocol/unread";
import type { EntryRow, MemberRow, MembershipRow, Store } from "../../src/storage/store";

/** How much there is. */
export interface SampleSize {
  readonly people: number;
  readonly conversations: number;
  readonly messages: number;
}

const start = 1_800_000_000_000;
const membersEach = 5;
const batch = 500;

/** Fills an empty store and leaves everything closed. Throws where the store does not take a write. */
export async function fillStore(store: Store, size: SampleSize): Promise<void> {
  const epoch = await store.claim(allPartitions);
  await store.raiseFeatureLevel(1);
  const memberships = new Map<number, MembershipRow[]>();
  for (let at = 0; at < size.conversations; at++) {
    const share = Math.floor(size.messages / size.conversations) + (at < size.messages % size.conversations ? 1 : 0);
    const written = await writeConversation(store, epoch, at, share, size.people);
    for (const [person, row] of written) memberships.set(person, [...(memberships.get(person) ?? []), row]);
  }
  for (let person = 0; person < size.people; person++) {
    await writePerson(store, epoch, person, memberships.get(person) ?? []);
  }
}

function personNamed(person: number): UserId {
  return `person${person % 2 === 0 ? "." : "|"}${person}@example.org` as UserId;
}

function conversationAt(at: number): ConversationId {
  return `g${String(at * 7919).padStart(22, at % 3 === 0 ? "Z" : "a")}` as ConversationId;
}

/** One log as it grows, and what follows from it. */
class Log {
  readonly rows: EntryRow[] = [];
  readonly sent = new Map<UserId, number>();
  ordinal = 0;
  lastMessage: EntryRow | null = null;

  get seq(): number {
    return this.rows.length;
  }

  append(kind: number, sender: UserId, clientId: string | null, body: unknown): void {
    const counts = kind === entryKinds.message;
    const seq = this.seq + 1;
    if (counts) {
      this.ordinal++;
      this.sent.set(sender, (this.sent.get(sender) ?? 0) + 1);
    }
    const id = clientId as ClientId | null;
    const entry: EntryTuple = [seq, this.ordinal, kind, counts, start + seq, sender, null, id, null, body];
    const row = { seq, ordinal: this.ordinal, kind, counts, sender, clientId: id, bytes: encodeEntry(entry) };
    this.rows.push(row);
    if (counts) this.lastMessage = row;
  }

  markFor(user: UserId): Mark {
    return { seq: this.seq, ordinal: this.ordinal, own: this.sent.get(user) ?? 0 };
  }
}

async function writeConversation(
  store: Store,
  epoch: Epoch,
  at: number,
  messages: number,
  people: number,
): Promise<readonly (readonly [person: number, row: MembershipRow])[]> {
  const conversation = conversationAt(at);
  const persons = [...new Set(Array.from({ length: membersEach }, (_, i) => (at * 3 + i * i) % people))];
  const users = persons.map(personNamed);
  const creator = users[0] as UserId;
  const log = new Log();
  const name = `Room ${at} · комната`;
  const fields = at % 4 === 0 ? { topic: "release", at } : null;
  const picture = at % 2 === 0 ? null : `https://example.org/${at}.png`;
  log.append(entryKinds.conversation, creator, `create-${at}`, ["group", { name, picture, ...(fields && { fields }) }]);
  const roleOf = (user: UserId): Role => (user === creator ? "owner" : "member");
  const added = users.map((user) => [memberChanges.added, user, roleOf(user), 1]);
  log.append(entryKinds.members, creator, null, added);
  const join = log.markFor("nobody" as UserId);
  const members = new Map<UserId, MemberRow>();
  for (const user of users) members.set(user, { user, role: roleOf(user), join, floor: 1, changedSeq: log.seq });
  const cursors = new Map<UserId, Mark>();
  for (let i = 0; i < messages; i++) {
    const sender = users[(i * i + at) % users.length] as UserId;
    // Ids may hold any character, also one that no other store may take for the end of a text.
    log.append(entryKinds.message, sender, i % 97 === 0 ? `id ${i}\u0000漢` : `m${i}`, [`message ${i} of ${at} ✓`]);
    if (i % 3 === 0) cursors.set(sender, log.markFor(sender));
  }
  const leaver = users.at(-1) as UserId;
  if (at % 5 === 0 && leaver !== creator) {
    log.append(entryKinds.members, leaver, `leave-${at}`, [[memberChanges.left, leaver, null, null]]);
    const none = { seq: 0, ordinal: 0, own: 0 };
    members.set(leaver, { user: leaver, role: null, join: none, floor: 0, changedSeq: log.seq });
  }
  await store.openConversation(conversation, epoch, 0);
  const totals = [...log.sent].map(([user, total]) => ({ user, total }));
  for (let from = 0; from < log.seq; from += batch) {
    const entries = log.rows.slice(from, from + batch);
    const last = entries.at(-1) as EntryRow;
    const ended = last.seq === log.seq;
    const message = log.rows.slice(0, last.seq).findLast(({ kind }) => kind === entryKinds.message) ?? null;
    const head = {
      ...{ conversation, type: "group", seq: last.seq, ordinal: last.ordinal, time: start + last.seq },
      ...{ name, picture, fields: fields && encode(fields) },
      memberCount: [...members.values()].filter(({ role }) => role !== null).length,
      ...{ lastMessage: message?.bytes ?? null, lastMessageSeq: message?.seq ?? 0, openEpoch: ended ? 0 : epoch },
      ...{ fedThrough: ended ? last.seq : 0, totalsThrough: ended ? last.seq : 0 },
    };
    const moves = [...cursors].map(([user, mark]) => ({ user, ...mark }));
    const rest = ended ? { members: [...members.values()], cursors: moves, totals } : noRows;
    const { outcome } = await store.commit({ conversation, epoch, entries, head, ...rest });
    if (outcome !== "stored") throw new Error(`the store answered ${outcome}`);
  }
  return persons.map((person, i) => {
    const { role, join: joined, floor, changedSeq: seq } = members.get(users[i] as UserId) as MemberRow;
    const set = { muted: person % 4 === 0, markedUnread: person % 7 === 0 };
    return [person, { conversation, type: "group", peer: null, seq, role, join: joined, floor, ...set }];
  });
}

const noRows = { members: [], cursors: [], totals: [] };

async function writePerson(store: Store, epoch: Epoch, person: number, rows: readonly MembershipRow[]): Promise<void> {
  const user = personNamed(person);
  await store.openFeed(user, epoch);
  const device = `device 漢 ${person}` as DeviceId;
  const changes: FeedTuple[] = [
    [1, "device", device, ["added", "web"]],
    ...rows.map(({ conversation, seq, role, join, floor }, i): FeedTuple => {
      const place = role ? [[join.seq, join.ordinal, join.own], floor] : [null, null];
      return [i + 2, "membership", conversation, [role ? "added" : "left", seq, role, ...place, user]];
    }),
  ];
  const row = { user, userSeq: changes.length, createdAt: start, tokensValidFrom: person % 9, deletedAt: null };
  const devices = [{ device, platform: "web", lastSignInAt: start + person, signedOutAt: null }];
  const { outcome } = await store.commitFeed({ epoch, user: row, changes, memberships: rows, devices });
  if (outcome !== "stored") throw new Error(`the store answered ${outcome}`);
}
