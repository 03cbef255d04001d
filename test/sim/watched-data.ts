// The durable data of a simulated deployment, judged at every commit: what stands in it must always follow from its logs.
// Used by the simulation; a handle on it is a MemoryStore.
import type { Committed, ConversationWrite, FeedCommitted, FeedWrite } from "../../src/storage/store";
import { checkRows, expectSame, FoldedLogs } from "./log-fold";
import { MemoryData } from "./memory-data";

/** Throws nothing: what is broken is kept in {@link WatchedData.broken}, for commits run inside a store's promise. */
export class WatchedData extends MemoryData {
  readonly logs = new FoldedLogs();
  broken: unknown = null;
  closings = 0;

  override commit(write: ConversationWrite): Committed {
    const before = new Map(this.log(write.conversation)?.cursors);
    const result = super.commit(write);
    if (result.outcome === "stored") this.#guard(() => this.#judge(write, before));
    return result;
  }

  override commitFeed(write: FeedWrite): FeedCommitted {
    const result = super.commitFeed(write);
    if (result.outcome === "stored") this.#guard(() => this.#judgeFeed(write));
    return result;
  }

  #judge(write: ConversationWrite, before: ReadonlyMap<string, { readonly seq: number }>): void {
    const { conversation, entries, epoch, head } = write;
    const log = this.logs.of(conversation);
    for (const row of entries) log.append(row, epoch);
    const closing = head?.openEpoch === 0;
    if (closing) this.closings += 1;
    checkRows(this, conversation, log, closing);
    for (const [user, { seq }] of this.log(conversation)?.cursors ?? [])
      if (seq < (before.get(user)?.seq ?? 0)) throw new Error(`${conversation}: cursor of ${user} went back to ${seq}`);
  }

  #judgeFeed({ user }: FeedWrite): void {
    const feed = this.feed(user.user);
    expectSame(
      `feed of ${user.user}`,
      feed?.changes.map(([userSeq]) => userSeq),
      Array.from({ length: user.userSeq }, (_, i) => i + 1),
    );
  }

  #guard(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.broken ??= error;
    }
  }
}
