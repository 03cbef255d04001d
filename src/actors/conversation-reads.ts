// Pages of one conversation's log for its members: history (messages), entries, members, readers (G12).
// Owned by the conversation actor, which authorises each read; the store is read beside the mailbox, up to a bound.
import { AppError, toAppError } from "../lib/errors";
import { decode } from "../protocol/codec";
import { entryKinds } from "../protocol/entry";
import type { EntryTuple } from "../protocol/entry";
import type { ConversationId, Seq, UserId } from "../protocol/ids";
import { limits } from "../protocol/limits";
import type { Args, FoldedTuple, Results } from "../protocol/operations";
import type { EntryRow, Range, Store } from "../storage/store";
import type { Reply } from "./actor";
import type { ConversationState, Member } from "./conversation-state";
import type { ConversationType } from "./conversation-types";

/** Reads of one conversation under way at once; past it they are answered `overloaded`. */
const readsMax = 256;
/** Entries looked at for one page of history: a short page is not the end. */
const scanMax = 10_000;

/** The tuple of an entry that the store holds. */
export function entryOf({ bytes }: Pick<EntryRow, "bytes">): EntryTuple {
  return decode(bytes) as EntryTuple;
}

/** At most `readsMax` pages are read at once; each answer obeys the floor of whoever asked. */
export class ConversationReads {
  readonly #store: Store;
  readonly #conversation: ConversationId;
  readonly #state: ConversationState;
  readonly #type: () => ConversationType;
  #underWay = 0;

  constructor(store: Store, conversation: ConversationId, state: ConversationState, type: () => ConversationType) {
    this.#store = store;
    this.#conversation = conversation;
    this.#state = state;
    this.#type = type;
  }

  get isIdle(): boolean {
    return this.#underWay === 0;
  }

  history(member: Member, [, direction, seq, limit, through]: Args<"history">, reply: Reply): void {
    const head = this.#state.committed.seq;
    if ((through ?? 0) > head) return reply.fail(new AppError("past_head", undefined, { details: { head } }));
    const size = limit ?? 50;
    this.#run(reply, () => {
      if (direction === "before") return this.#page(member, Math.min(seq ?? head + 1, head + 1), size, 0, head);
      if (direction === "after") return this.#page(member, (seq ?? 0) + 1, 0, size, head);
      const older = Math.ceil(size / 2);
      return this.#page(member, Math.min(seq ?? head, head) + 1, older, size - older, head);
    });
  }

  entries(member: Member, [, from, limit]: Args<"entries">, reply: Reply): void {
    const head = this.#state.committed.seq;
    this.#run(reply, async (): Promise<Results["entries"]> => {
      const first = Math.max(from, member.floor);
      if (first > head) return [[], head, member.floor];
      const range = await this.#range(
        first,
        "up",
        Math.min(limit ?? limits.pageMax, head - first + 1),
        limits.pageBytesMax,
      );
      return [range.entries.map(entryOf), head, member.floor];
    });
  }

  members([, after, limit]: Args<"members">, reply: Reply): void {
    const size = limit ?? limits.peoplePageMax;
    const users = this.#state.membersAfter(after, size + 1);
    const page = users.slice(0, size).map((user) => {
      const { role, join } = this.#state.members.get(user) as Member;
      return [user, role, join.seq] as const;
    });
    reply.ok([page, users.length > size ? (page.at(-1)?.[0] ?? null) : null] satisfies Results["members"]);
  }

  readers([, seq, after, limit]: Args<"readers">, reply: Reply): void {
    if (!this.#type().receipts) return reply.fail(new AppError("not_supported"));
    if (seq < 1 || seq > this.#state.committed.seq) return reply.fail(new AppError("past_head"));
    const size = limit ?? 100;
    this.#run(reply, async (): Promise<Results["readers"]> => {
      const rows = await this.#store.readReaders(this.#conversation, seq, after, size + 1);
      const page = rows.slice(0, size);
      const next = rows.length > size ? (page.at(-1)?.user ?? null) : null;
      return [page.filter(({ user }) => this.#state.members.has(user)).map((row) => [row.user, row.seq]), next];
    });
  }

  /** Messages around the gap before `split`: up to `older` below it and `newer` from it on. */
  async #page(member: Member, split: Seq, older: number, newer: number, head: Seq): Promise<Results["history"]> {
    const floor = Math.max(1, member.floor);
    const below = older > 0 && split > floor ? await this.#messages(split - 1, "down", older, floor, head) : null;
    const from = Math.max(split, floor);
    const above = newer > 0 && from <= head ? await this.#messages(from, "up", newer, floor, head) : null;
    const first = below?.scannedTo ?? from;
    const last = above?.scannedTo ?? Math.min(head, Math.max(split - 1, floor - 1));
    const rows = [...(below?.entries ?? [])].reverse().concat(above?.entries ?? []);
    const folded = rows.map((row): FoldedTuple => [entryOf(row), head]);
    return [folded, first > floor, last < head, first, last, member.floor];
  }

  async #messages(from: Seq, direction: "up" | "down", limit: number, floor: Seq, head: Seq): Promise<Range> {
    const scan = Math.min(scanMax, direction === "up" ? head - from + 1 : from - floor + 1);
    return this.#range(from, direction, limit, limits.pageBytesMax / 2, scan, entryKinds.message);
  }

  #range(
    from: Seq,
    direction: "up" | "down",
    limit: number,
    bytesMax: number,
    scan = limit,
    kind?: number,
  ): Promise<Range> {
    const request = { conversation: this.#conversation, from, direction, limit, bytesMax, scanMax: scan };
    return this.#store.readRange(kind === undefined ? request : { ...request, kind });
  }

  #run(reply: Reply, read: () => Promise<unknown>): void {
    if (this.#underWay >= readsMax) return reply.fail(new AppError("overloaded", undefined, { retryAfterMs: 200 }));
    this.#underWay++;
    read()
      .then(
        (value) => reply.ok(value),
        (thrown) => reply.fail(toAppError(thrown)),
      )
      .finally(() => this.#underWay--);
  }
}

/** Whom a row describes a message to: nil where their floor is above it. */
export function readableLast(
  head: { lastMessage: Uint8Array | null; lastMessageSeq: Seq },
  floor: Seq,
): EntryTuple | null {
  return head.lastMessage && head.lastMessageSeq >= floor ? entryOf({ bytes: head.lastMessage }) : null;
}

/** The other person of a direct conversation, as `user` sees it. */
export function peerOf(state: ConversationState, direct: boolean, user: UserId): UserId | null {
  if (!direct) return null;
  for (const other of state.members.keys()) if (other !== user) return other;
  return null;
}
