// How entries of one conversation reach those who are there: in the order of the log, encoded once (G3, G6).
// Owned by the conversation actor, which calls it after the commit; also repeats what a predecessor may not have done.
import { encodeEntriesPush } from "../protocol/codec";
import { entryKinds, memberChanges } from "../protocol/entry";
import type { MembersBody } from "../protocol/entry";
import type { ConversationId, Seq, UserId } from "../protocol/ids";
import type { EntryRow, Range, Store } from "../storage/store";
import type { ConversationFeeds } from "./conversation-feeds";
import { entryOf } from "./conversation-reads";
import type { ConversationState, StagedEntry } from "./conversation-state";
import type { EntrySpan, Gateway } from "./gateway";

/** Bytes and entries of one pushed frame; one entry goes out whatever its size. */
const pushBytesMax = 128 * 1024;
const pushEntriesMax = 1024;
/** Entries looked at in one step of catching up. */
const stepEntries = 1000;

const nobody: readonly UserId[] = [];

/** Hands entries to the gateway in the order of seqs; synchronous, so nothing can come in between a batch's frames. */
export class ConversationFanout {
  readonly #store: Store;
  readonly #gateway: Gateway;
  readonly #conversation: ConversationId;
  readonly #state: ConversationState;

  constructor(
    deps: { readonly store: Store; readonly gateway: Gateway },
    conversation: ConversationId,
    state: ConversationState,
  ) {
    this.#store = deps.store;
    this.#gateway = deps.gateway;
    this.#conversation = conversation;
    this.#state = state;
  }

  /** Publishes entries that are stored. Whoever leaves receives the entry that says so, and nothing behind it. */
  publish(entries: readonly StagedEntry[]): void {
    publishEntries(this.#conversation, entries, (frame, span) =>
      this.#gateway.entries(this.#conversation, frame, span),
    );
  }

  /** Publishes every stored entry behind `seq`. Rejects when the store cannot answer; what was published stays so. */
  async publishAfter(seq: Seq): Promise<void> {
    await this.#each(seq, null, (rows) => this.publish(rows.map((row) => ({ row, members: membersIn(row) }))));
  }

  /** Notes every membership change behind `seq` anew, for feeds that may not hold it. */
  async tellAgain(seq: Seq, feeds: ConversationFeeds): Promise<void> {
    await this.#each(seq, entryKinds.members, (rows) => {
      for (const row of rows)
        feeds.note(row.seq, row.sender, membersIn(row) ?? [], (user) => this.#state.members.get(user) ?? null);
    });
    feeds.pump();
  }

  async #each(after: Seq, kind: number | null, use: (rows: readonly EntryRow[]) => void): Promise<void> {
    const head = this.#state.committed.seq;
    for (let from = after + 1; from <= head; ) {
      const request = {
        conversation: this.#conversation,
        from,
        direction: "up",
        limit: stepEntries,
        bytesMax: pushBytesMax,
        scanMax: stepEntries,
      } as const;
      const range: Range = await this.#store.readRange(kind === null ? request : { ...request, kind });
      use(range.entries);
      from = Math.max(from, range.scannedTo) + 1;
    }
  }
}

/** Hands entries on in frames of bounded size; one that ends memberships is the last of its frame. */
export function publishEntries(
  conversation: ConversationId,
  entries: readonly Pick<StagedEntry, "row" | "members">[],
  hand: (frame: Uint8Array, span: EntrySpan) => void,
): void {
  let waiting: EntryRow[] = [];
  let bytes = 0;
  const flush = (gone: readonly UserId[]): void => {
    const [first, last] = [waiting[0], waiting.at(-1)];
    if (!first || !last) return;
    const frame = encodeEntriesPush(
      conversation,
      waiting.map((row) => row.bytes),
    );
    waiting = [];
    bytes = 0;
    hand(frame, { first: first.seq, last: last.seq, gone });
  };
  for (const { row, members } of entries) {
    if (bytes + row.bytes.length > pushBytesMax || waiting.length >= pushEntriesMax) flush(nobody);
    waiting.push(row);
    bytes += row.bytes.length;
    const gone = members ? goneBy(members) : nobody;
    if (gone.length > 0) flush(gone);
  }
  flush(nobody);
}

/** Who a stored entry names, where it is one of membership. */
export function membersIn(row: EntryRow): MembersBody | null {
  return row.kind === entryKinds.members ? (entryOf(row)[9] as MembersBody) : null;
}

function goneBy(members: MembersBody): readonly UserId[] {
  return members
    .filter(([change]) => change === memberChanges.left || change === memberChanges.removed)
    .map(([, user]) => user);
}
