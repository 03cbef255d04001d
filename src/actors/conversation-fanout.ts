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
import type { Gateway } from "./gateway";

/** Bytes and entries of one pushed frame; one entry goes out whatever its size. */
const pushBytesMax = 128 * 1024;
const pushEntriesMax = 1024;
/** Entries looked at in one step of catching up. */
const stepEntries = 1000;

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
    let frame: Uint8Array[] = [];
    let bytes = 0;
    const flush = (): void => {
      if (frame.length > 0) this.#gateway.publish(this.#conversation, encodeEntriesPush(this.#conversation, frame));
      frame = [];
      bytes = 0;
    };
    for (const { row, members } of entries) {
      if (bytes + row.bytes.length > pushBytesMax || frame.length >= pushEntriesMax) flush();
      frame.push(row.bytes);
      bytes += row.bytes.length;
      const gone = members ? goneBy(members) : [];
      if (gone.length === 0) continue;
      flush();
      this.#gateway.dropInterest(this.#conversation, gone);
    }
    flush();
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

function membersIn(row: EntryRow): MembersBody | null {
  return row.kind === entryKinds.members ? (entryOf(row)[9] as MembersBody) : null;
}

function goneBy(members: MembersBody): readonly UserId[] {
  return members
    .filter(([change]) => change === memberChanges.left || change === memberChanges.removed)
    .map(([, user]) => user);
}
