// A data set without the guards that make a second owner harmless: no epoch is checked, and what another owner wrote already
// is written beside it. For negative controls alone: both rows stand, as they would without unique indexes.
import type { ConversationId, Epoch, UserId } from "../../src/protocol/ids";
import type { Committed, ConversationWrite, EntryRow, FeedCommitted, FeedWrite } from "../../src/storage/store";
import { partitionOf } from "../../src/lib/hash";
import { MemoryData } from "../sim/memory-data";
import { MemoryStore } from "../sim/memory-store";

/** See the head of this file. */
export class UnfencedData extends MemoryData {
  readonly #beside = new Map<ConversationId, EntryRow[]>();

  override commit(write: ConversationWrite): Committed {
    const { conversation, cursors } = write;
    const committed = super.commit({ ...write, epoch: this.#newest("conversation", conversation) });
    if (committed.outcome !== "conflict") return committed;
    this.#beside.set(conversation, [...(this.#beside.get(conversation) ?? []), ...write.entries]);
    return { outcome: "stored", cursors: cursors.map((move) => ({ ...move, total: 0 })) };
  }

  override commitFeed(write: FeedWrite): FeedCommitted {
    const committed = super.commitFeed({ ...write, epoch: this.#newest("user", write.user.user) });
    return committed.outcome === "conflict" ? { outcome: "stored" } : committed;
  }

  /** Rows that a unique index would have kept out. */
  beside(conversation: ConversationId): readonly EntryRow[] {
    return this.#beside.get(conversation) ?? [];
  }

  #newest(kind: "conversation" | "user", key: ConversationId | UserId): Epoch {
    return this.epochOf(partitionOf(kind, key));
  }
}

/** A handle on {@link UnfencedData} that finds every epoch to be the newest. */
export class UnfencedStore extends MemoryStore {
  override audit(): Promise<boolean> {
    return Promise.resolve(true);
  }

  override readonly auditAll = (): Promise<readonly number[]> => Promise.resolve([]);
}
