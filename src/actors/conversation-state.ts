// What a conversation's activation holds in memory: the committed state, and beside it what is staged for the next commits.
// Owned by the conversation actor. Nothing outside reads the staged side (output gate); a rollback throws it away (G1, G3).
import type { MemberChangeCode, MembersBody, Role } from "../protocol/entry";
import type { ClientId, Seq, UserId } from "../protocol/ids";
import type { Mark } from "../protocol/unread";
import type { EntryRow, FoundEntry, HeadRow, MemberRow } from "../storage/store";

/** A present member. */
export interface Member {
  readonly role: Role;
  readonly join: Mark;
  /** First seq they may read. */
  readonly floor: Seq;
  readonly changedSeq: Seq;
}

/** The moving part of a head; what never changes or belongs to the store stays in HeadRow. */
export type Head = {
  -readonly [K in
    | "type"
    | "seq"
    | "ordinal"
    | "time"
    | "name"
    | "picture"
    | "fields"
    | "memberCount"
    | "lastMessage"
    | "lastMessageSeq"]: HeadRow[K];
};

/** What tells a retry from another use of a client id. */
export interface UsedFor {
  /** Of the body; 0 for a change of members, whose body is not in the request. */
  readonly digest: number;
  readonly change: UsedChange | null;
}

/** A change of members, as its first entry has it. */
export interface UsedChange {
  readonly change: MemberChangeCode;
  readonly role: Role | null;
  readonly users: readonly UserId[];
  /** Digest of everybody that the request named; null where the entry names them all. */
  readonly request: number | null;
}

/** What an id was used for, enough to answer a retry. */
export interface UsedId extends UsedFor {
  readonly seq: Seq;
  readonly kind: number;
}

/** One entry staged or committed by this activation, with what the commit needs to fold it. */
export interface StagedEntry {
  readonly row: EntryRow;
  readonly members: MembersBody | null;
}

type RecentEntry = Pick<EntryRow, "seq" | "ordinal" | "counts" | "sender">;

/** Entries kept to count own ones and to find ordinals without the store. */
const recentMax = 128;
/** Client ids kept to answer retries without the store. */
const usedIdsMax = 512;

/** The head of a conversation that does not exist yet. */
export const noHead: Readonly<Head> = {
  type: "",
  seq: 0,
  ordinal: 0,
  time: 0,
  name: null,
  picture: null,
  fields: null,
  memberCount: 0,
  lastMessage: null,
  lastMessageSeq: 0,
};

/** Key of a client id within one conversation; neither part holds a blank where it could mislead: user ids have none. */
function idKey(sender: UserId, clientId: ClientId): string {
  return `${sender} ${clientId}`;
}

/** See the head of this file. Everything is bounded: by members, or by `recentMax` and `usedIdsMax`. */
export class ConversationState {
  /** As the store has it. */
  committed: Readonly<Head> = noHead;
  /** With everything staged. */
  staged: Head = { ...noHead };
  /** Present members, committed. */
  readonly members = new Map<UserId, Member>();
  /** Counted entries by sender after {@link totalsThrough}, committed. */
  readonly sent = new Map<UserId, number>();
  /** The totals in the store include every entry up to here. */
  totalsThrough: Seq = 0;
  readonly #stagedMembers = new Map<UserId, Member | null>();
  readonly #usedIds = new Map<string, UsedId>();
  /** The last committed entries, ascending and gapless. */
  readonly #recent: RecentEntry[] = [];
  /** Committed members by id, for paging; null when they have changed. */
  #sorted: readonly UserId[] | null = null;

  /** Whether it exists, staged or committed. Not by its seq: fences may stand in a log whose conversation was never created. */
  get exists(): boolean {
    return this.staged.type !== "";
  }

  /** A member as the staged entries leave them, or null. */
  member(user: UserId): Member | null {
    const staged = this.#stagedMembers.get(user);
    return staged === undefined ? (this.members.get(user) ?? null) : staged;
  }

  /** Owners as the staged entries leave them. */
  owners(): number {
    let owners = 0;
    for (const user of this.members.keys()) if (this.member(user)?.role === "owner") owners++;
    for (const [user, member] of this.#stagedMembers) if (member?.role === "owner" && !this.members.has(user)) owners++;
    return owners;
  }

  setMember(user: UserId, member: Member | null): void {
    this.#stagedMembers.set(user, member);
  }

  /** How an id was used, staged uses included. */
  used(sender: UserId, clientId: ClientId): UsedId | null {
    return this.#usedIds.get(idKey(sender, clientId)) ?? null;
  }

  /** Notes a use; one whose seq is past the committed head is staged, and goes with a rollback. */
  noteId(sender: UserId, clientId: ClientId, use: UsedId): void {
    this.#usedIds.set(idKey(sender, clientId), use);
  }

  /** Remembers ids that the store knows: what a retry is answered from. */
  learnIds(found: readonly FoundEntry[], usedFor: (bytes: Uint8Array) => UsedFor): void {
    for (const { sender, clientId, seq, kind, bytes } of found)
      this.noteId(sender, clientId, { seq, kind, ...usedFor(bytes) });
  }

  /** Forgets everything staged. What was staged is run again on the committed state, or answered as undone. */
  rollback(): void {
    this.staged = { ...this.committed };
    this.#stagedMembers.clear();
    for (const [key, { seq }] of this.#usedIds) if (seq > this.committed.seq) this.#usedIds.delete(key);
  }

  /** Takes over a batch that the store has: `head` is the staged head as it was behind the batch's last entry. */
  commit(head: Head, entries: readonly StagedEntry[], changed: ReadonlyMap<UserId, Member | null>): void {
    this.committed = head;
    for (const [user, member] of changed) this.#commitMember(user, member);
    if (head.seq === this.staged.seq) this.#stagedMembers.clear();
    for (const { row } of entries) {
      this.#keep(row);
      if (row.counts) this.sent.set(row.sender, (this.sent.get(row.sender) ?? 0) + 1);
    }
    this.#trim();
  }

  /** Starts from what the store has. */
  load(
    head: Head,
    members: readonly MemberRow[],
    tail: readonly EntryRow[],
    usedFor: (bytes: Uint8Array) => UsedFor,
  ): void {
    this.committed = head;
    this.staged = { ...head };
    for (const { user, role, join, floor, changedSeq } of members)
      if (role !== null) this.members.set(user, { role, join, floor, changedSeq });
    for (const row of tail) {
      this.#keep(row);
      const { sender, clientId, seq, kind, bytes } = row;
      if (clientId !== null) this.noteId(sender, clientId, { seq, kind, ...usedFor(bytes) });
    }
  }

  /** Counted entries of `user` after `seq`, or null when they reach further back than memory does. */
  ownAfter(user: UserId, seq: Seq): number | null {
    const first = this.#recent[0];
    if (seq >= this.committed.seq) return 0;
    if (first === undefined || first.seq > seq + 1) return null;
    let own = 0;
    for (let i = seq + 1 - first.seq; i < this.#recent.length; i++) {
      const row = this.#recent[i];
      if (row?.counts && row.sender === user) own++;
    }
    return own;
  }

  /** The ordinal at `seq`, or null when it lies further back than memory does. */
  ordinalAt(seq: Seq): number | null {
    if (seq === this.committed.seq) return this.committed.ordinal;
    const first = this.#recent[0];
    return (first && seq >= first.seq ? this.#recent[seq - first.seq]?.ordinal : null) ?? null;
  }

  /** Committed members by user id, ascending from beyond `after`. */
  membersAfter(after: UserId | null, limit: number): readonly UserId[] {
    this.#sorted ??= [...this.members.keys()].sort();
    let low = 0;
    let high = after === null ? 0 : this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sorted[middle] as UserId) <= (after as UserId)) low = middle + 1;
      else high = middle;
    }
    return this.#sorted.slice(low, low + limit);
  }

  /** Without its bytes, which would stay in memory with it. */
  #keep({ seq, ordinal, counts, sender }: EntryRow): void {
    this.#recent.push({ seq, ordinal, counts, sender });
  }

  #commitMember(user: UserId, member: Member | null): void {
    this.#sorted = null;
    if (member) this.members.set(user, member);
    else this.members.delete(user);
    // A removal looks like any other one of the same person: it stays until nothing is staged.
    if (member && this.#stagedMembers.get(user) === member) this.#stagedMembers.delete(user);
  }

  /** Lets go of the oldest, many at a time; what is staged is never among them. */
  #trim(): void {
    if (this.#recent.length > 2 * recentMax) this.#recent.splice(0, this.#recent.length - recentMax);
    let surplus = this.#usedIds.size > 2 * usedIdsMax ? this.#usedIds.size - usedIdsMax : 0;
    if (surplus === 0) return;
    for (const [key, { seq }] of this.#usedIds) {
      if (surplus-- === 0 || seq > this.committed.seq) return;
      this.#usedIds.delete(key);
    }
  }
}
