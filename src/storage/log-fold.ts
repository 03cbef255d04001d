// What a log says of its head, its members and their totals: the fold that reopening makes of the entries behind a stored head.
// Pure. Used where the head is not written with every entry (G3, "open or closed" in ARCHITECTURE.md).
import { decode, encode } from "../protocol/codec";
import { entryKinds, memberChanges } from "../protocol/entry";
import type { ConversationBody, EntryTuple, MemberChange, MembersBody, Role } from "../protocol/entry";
import type { Seq, UserId } from "../protocol/ids";
import type { Mark } from "../protocol/unread";
import type { EntryRow, HeadRow, MemberRow } from "./store";

/** What is stored of one person before the fold. */
export interface PersonBefore {
  /** The stored membership, as old as the head or newer; null for none. */
  readonly member: MemberRow | null;
  /** Their counted entries up to `through`. */
  readonly total: { readonly through: Seq; readonly count: number };
}

/** What follows from the log: `totals` are exact through the head's seq, for everybody who sent behind its former totals. */
export interface Folded {
  readonly head: HeadRow;
  readonly members: readonly MemberRow[];
  readonly totals: readonly { readonly user: UserId; readonly total: number }[];
}

/** A membership as the entries behind the head leave it; what they do not say comes from the row before. */
interface Change {
  readonly role: Role | null;
  readonly changedSeq: Seq;
  /** Null where they were a member before the fold began. */
  readonly join: { readonly seq: Seq; readonly ordinal: number; readonly floor: Seq } | null;
}

const nowhere: Mark = { seq: 0, ordinal: 0, own: 0 };

/**
 * Fed the entries from `from` on in order, without a gap; the head it begins with is exact at its own seq.
 * Memory: one number for each counted entry, one record for each person whom the entries name.
 */
export class LogFold {
  /** The first entry it needs: behind the stored totals, or behind the head where that is earlier. */
  readonly from: Seq;
  readonly #start: HeadRow;
  readonly #head: { -readonly [K in keyof HeadRow]: HeadRow[K] };
  readonly #changes = new Map<UserId, Change>();
  /** Seqs of counted entries by sender, ascending. */
  readonly #counted = new Map<UserId, Seq[]>();
  #next: Seq;

  /** @param head as stored */
  constructor(head: HeadRow) {
    this.#start = head;
    this.#head = { ...head };
    this.from = Math.min(head.seq, head.totalsThrough) + 1;
    this.#next = this.from;
  }

  /** The head through the last entry; totals are not in it yet. */
  get head(): HeadRow {
    return this.#head;
  }

  /** Whether the next entry's content matters, or only who sent it. */
  get needsBytes(): boolean {
    return this.#next > this.#start.seq;
  }

  /** The seq it is to be fed next. */
  get next(): Seq {
    return this.#next;
  }

  /** Everybody whose row before it needs. */
  get people(): readonly UserId[] {
    return [...new Set([...this.#counted.keys(), ...this.#changes.keys()])];
  }

  /** The next entry; below the stored head its `bytes` may be empty. Throws where it is not the next. */
  add(entry: Pick<EntryRow, "seq" | "ordinal" | "kind" | "counts" | "sender" | "bytes">): void {
    const { seq, ordinal, counts, sender } = entry;
    if (seq !== this.#next) throw new Error(`the log has ${seq} where ${this.#next} is due`);
    this.#next++;
    if (counts) this.#note(sender, seq);
    if (seq <= this.#start.seq) return;
    const [, , kind, , time, , , , , body] = decode(entry.bytes) as EntryTuple;
    this.#head.seq = seq;
    this.#head.ordinal = ordinal;
    this.#head.time = time;
    if (kind === entryKinds.members) for (const change of body as MembersBody) this.#apply(change, seq, ordinal);
    if (kind === entryKinds.conversation) this.#set(body as ConversationBody);
    if (kind !== entryKinds.message) return;
    this.#head.lastMessage = entry.bytes;
    this.#head.lastMessageSeq = seq;
  }

  /** What follows from everything added. @param before what is stored of each of {@link people}; absent: nothing */
  result(before: ReadonlyMap<UserId, PersonBefore>): Folded {
    const of = (user: UserId): PersonBefore => before.get(user) ?? { member: null, total: { through: 0, count: 0 } };
    const { seq } = this.#head;
    return {
      head: { ...this.#head, totalsThrough: seq },
      members: [...this.#changes].map(([user, change]) => this.#member(user, change, of(user))),
      totals: [...this.#counted.keys()].map((user) => ({ user, total: this.#ownThrough(user, seq, of(user)) })),
    };
  }

  #note(sender: UserId, seq: Seq): void {
    const counted = this.#counted.get(sender);
    if (counted) counted.push(seq);
    else this.#counted.set(sender, [seq]);
  }

  #apply([change, user, role, floor]: MemberChange, seq: Seq, ordinal: number): void {
    const before = this.#changes.get(user);
    if (change === memberChanges.added) {
      this.#head.memberCount++;
      this.#changes.set(user, { role, changedSeq: seq, join: { seq, ordinal, floor: floor ?? 0 } });
    } else if (change === memberChanges.role) {
      this.#changes.set(user, { role, changedSeq: seq, join: before?.join ?? null });
    } else {
      this.#head.memberCount--;
      this.#changes.set(user, { role: null, changedSeq: seq, join: null });
    }
  }

  #set([type, set]: ConversationBody): void {
    if (type !== null) this.#head.type = type;
    if (set.name !== undefined) this.#head.name = set.name;
    if (set.picture !== undefined) this.#head.picture = set.picture;
    if (set.fields !== undefined) this.#head.fields = set.fields === null ? null : encode(set.fields);
  }

  #member(user: UserId, { role, changedSeq, join }: Change, before: PersonBefore): MemberRow {
    if (role === null) return { user, role, join: nowhere, floor: 0, changedSeq };
    if (join) {
      const { seq, ordinal, floor } = join;
      return { user, role, join: { seq, ordinal, own: this.#ownThrough(user, seq, before) }, floor, changedSeq };
    }
    return { user, role, join: before.member?.join ?? nowhere, floor: before.member?.floor ?? 0, changedSeq };
  }

  /** Counted entries up to `seq`, by the stored total, which stands before or behind it. */
  #ownThrough(user: UserId, seq: Seq, { total }: PersonBefore): number {
    const base = Math.max(total.through, this.#start.totalsThrough);
    const counted = this.#counted.get(user) ?? [];
    if (seq >= base) return total.count + counted.filter((at) => at > base && at <= seq).length;
    return total.count - counted.filter((at) => at > seq && at <= base).length;
  }
}
