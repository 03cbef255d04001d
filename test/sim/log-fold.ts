// What a log says, computed the slow and obvious way: the oracle that rows, heads, cursors and unread are compared with.
// Used by the simulation only; shares no code with the actors beyond the decoding of entries.
import { decode } from "../../src/protocol/codec";
import { entryKinds, memberChanges } from "../../src/protocol/entry";
import type { EntryTuple, MembersBody, Role } from "../../src/protocol/entry";
import type { ConversationId, Seq, UserId } from "../../src/protocol/ids";
import type { Mark } from "../../src/protocol/unread";
import type { EntryRow } from "../../src/storage/store";
import type { MemoryData } from "./memory-data";

/** A membership as the log folds it; `role` null for who is no member any more. */
export interface FoldedMember {
  readonly role: Role | null;
  readonly join: Mark;
  readonly floor: Seq;
  readonly changedSeq: Seq;
}

/** One log, decoded as it grows. */
export class FoldedLog {
  readonly entries: EntryTuple[] = [];
  readonly epochs: number[] = [];
  readonly #ids = new Set<string>();
  /** Seqs of counted entries by sender, ascending. */
  readonly #counted = new Map<UserId, readonly Seq[]>();
  readonly #members: ReadonlyMap<UserId, FoldedMember>[] = [new Map()];

  /** Adds one entry; throws where its header does not follow from what stands before it. */
  append(row: EntryRow, epoch: number): void {
    const entry = decode(row.bytes) as EntryTuple;
    const [seq, ordinal, kind, counts, time, sender, , clientId] = entry;
    const last = this.entries.at(-1);
    const name = `entry ${seq}`;
    expectSame(
      `${name}: its row`,
      [row.seq, row.ordinal, row.kind, row.counts, row.sender, row.clientId],
      [seq, ordinal, kind, counts, sender, clientId],
    );
    expectSame(`${name}: its seq`, seq, this.entries.length + 1);
    expectSame(`${name}: its ordinal`, ordinal, (last?.[1] ?? 0) + (counts ? 1 : 0));
    if (clientId !== null && this.#ids.has(`${sender} ${clientId}`))
      throw new Error(`${name}: ${clientId} stands twice`);
    if (last && time < last[4]) throw new Error(`${name}: time goes back from ${last[4]} to ${time}`);
    if (epoch < (this.epochs.at(-1) ?? 0)) throw new Error(`${name}: epoch ${epoch} after ${this.epochs.at(-1)}`);
    this.entries.push(entry);
    this.epochs.push(epoch);
    if (clientId !== null) this.#ids.add(`${sender} ${clientId}`);
    if (counts) this.#counted.set(sender, [...(this.#counted.get(sender) ?? []), seq]);
    this.#members.push(kind === entryKinds.members ? this.#fold(entry) : this.membersAt(seq - 1));
  }

  get head(): Seq {
    return this.entries.length;
  }

  entry(seq: Seq): EntryTuple | null {
    return this.entries[seq - 1] ?? null;
  }

  ordinalAt(seq: Seq): number {
    return this.entry(seq)?.[1] ?? 0;
  }

  /** Counted entries of `user` up to and including `seq`. */
  ownThrough(user: UserId, seq: Seq): number {
    const counted = this.#counted.get(user) ?? [];
    const after = counted.findLastIndex((at) => at <= seq);
    return after + 1;
  }

  /** Everybody who sent a counted entry. */
  senders(): Iterable<UserId> {
    return this.#counted.keys();
  }

  /** Everybody ever named, as of `seq`. */
  membersAt(seq: Seq): ReadonlyMap<UserId, FoldedMember> {
    return this.#members[Math.min(seq, this.#members.length - 1)] as ReadonlyMap<UserId, FoldedMember>;
  }

  isMemberAt(user: UserId, seq: Seq): boolean {
    return (this.membersAt(seq).get(user)?.role ?? null) !== null;
  }

  /** Counted entries after both cursor and join, through `head`, that `user` did not send. */
  unread(user: UserId, cursor: Seq, head: Seq = this.head): number {
    const from = Math.max(cursor, this.membersAt(head).get(user)?.join.seq ?? 0);
    return this.entries.slice(from, head).filter(([, , , counts, , sender]) => counts && sender !== user).length;
  }

  #fold([seq, ordinal, , , , , , , , body]: EntryTuple): ReadonlyMap<UserId, FoldedMember> {
    const members = new Map(this.membersAt(seq - 1));
    for (const [change, user, role, floor] of body as MembersBody) {
      const before = members.get(user);
      const present = (before?.role ?? null) !== null;
      if (change === memberChanges.added) {
        if (present) throw new Error(`entry ${seq} adds ${user}, who is a member`);
        const own = this.ownThrough(user, seq);
        members.set(user, { role, join: { seq, ordinal, own }, floor: floor ?? 0, changedSeq: seq });
        continue;
      }
      if (!present || !before) throw new Error(`entry ${seq} changes ${user}, who is no member`);
      const left = change === memberChanges.role ? role : null;
      members.set(user, { ...before, role: left, changedSeq: seq });
    }
    return members;
  }
}

/** All logs of a data set, folded as far as they have grown. */
export class FoldedLogs {
  readonly #logs = new Map<ConversationId, FoldedLog>();

  of(conversation: ConversationId): FoldedLog {
    const log = this.#logs.get(conversation) ?? new FoldedLog();
    this.#logs.set(conversation, log);
    return log;
  }

  all(): IterableIterator<[ConversationId, FoldedLog]> {
    return this.#logs.entries();
  }
}

/** Throws, naming `what`, unless both are the same data. */
export function expectSame(what: string, got: unknown, expected: unknown): void {
  if (!Bun.deepEquals(got, expected))
    throw new Error(`${what}: ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`);
}

/** The stored rows of one conversation must say what its log says. `exact`: as they must once it is closed. */
export function checkRows(data: MemoryData, conversation: ConversationId, log: FoldedLog, exact: boolean): void {
  const stored = data.log(conversation);
  if (!stored) return;
  const { head, members, cursors } = stored;
  const folded = log.membersAt(log.head);
  const present = [...folded].filter(([, { role }]) => role !== null);
  const last = log.entries.findLast(([, , kind]) => kind === entryKinds.message);
  expectSame(
    `${conversation}: head`,
    [head.seq, head.ordinal, head.time],
    [log.head, log.ordinalAt(log.head), log.entry(log.head)?.[4]],
  );
  expectSame(`${conversation}: memberCount`, head.memberCount, present.length);
  expectSame(
    `${conversation}: last message`,
    [head.lastMessageSeq, head.lastMessage && decode(head.lastMessage)],
    [last?.[0] ?? 0, last ?? null],
  );
  for (const [user, row] of members) {
    const expected = folded.get(user);
    expectSame(`${conversation}: member ${user}`, row.role, expected?.role ?? null);
    if (row.role !== null) expectSame(`${conversation}: member ${user}`, row, { user, ...expected });
    expectSame(`${conversation}: change of ${user}`, row.changedSeq, expected?.changedSeq);
  }
  expectSame(`${conversation}: people`, [...members.keys()].sort(), [...folded.keys()].sort());
  for (const [user, { seq, ordinal, own, total }] of cursors) {
    if (seq > log.head) throw new Error(`${conversation}: cursor of ${user} at ${seq} is past the head`);
    expectSame(`${conversation}: cursor of ${user}`, [ordinal, own], [log.ordinalAt(seq), log.ownThrough(user, seq)]);
    expectSame(`${conversation}: total of ${user}`, total, log.ownThrough(user, head.totalsThrough));
  }
  if (!exact) return;
  expectSame(`${conversation}: totalsThrough`, head.totalsThrough, log.head);
  expectSame(`${conversation}: fedThrough`, head.fedThrough, log.head);
  for (const sender of log.senders())
    expectSame(`${conversation}: total of ${sender}`, cursors.get(sender)?.total, log.ownThrough(sender, log.head));
  checkFeeds(data, conversation, log);
}

/** Every person the log ever named has the membership in their feed that the log ends with. */
function checkFeeds(data: MemoryData, conversation: ConversationId, log: FoldedLog): void {
  for (const [user, { role, join, floor, changedSeq }] of log.membersAt(log.head)) {
    const row = data.feed(user)?.memberships.get(conversation);
    expectSame(`${conversation}: feed of ${user}`, [row?.seq, row?.role], [changedSeq, role]);
    if (role !== null) expectSame(`${conversation}: feed of ${user}`, [row?.join, row?.floor], [join, floor]);
  }
}
