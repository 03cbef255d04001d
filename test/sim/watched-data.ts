// The durable data of a simulated deployment, judged at every commit: what stands in it must always follow from its logs.
// Used by the simulation; a handle on it is a MemoryStore.
import type { Committed, ConversationWrite, FeedCommitted, FeedWrite } from "../../src/storage/store";
import { checkRows, expectSame, FoldedLogs } from "./log-fold";
import { MemoryData } from "./memory-data";
import { MemoryStore } from "./memory-store";
import type { MemoryStoreOptions } from "./memory-store";

/** A guarantee that this data set does not keep, to prove that the simulation would notice. */
export type SpoiltStore = "cursorWithoutMax" | "idsNotUnique";

/** Throws nothing: what is broken is kept in {@link WatchedData.broken}, for commits run inside a store's promise. */
export class WatchedData extends MemoryData {
  readonly logs = new FoldedLogs();
  broken: unknown = null;
  readonly #spoilt: SpoiltStore | null;

  constructor(spoilt: SpoiltStore | null = null) {
    super();
    this.#spoilt = spoilt;
  }

  override commit(write: ConversationWrite): Committed {
    const before = new Map(this.log(write.conversation)?.cursors);
    const honest = super.commit(write);
    const result = this.#spoilt === "cursorWithoutMax" ? this.#withoutMax(write, honest) : honest;
    if (result.outcome === "stored") this.#guard(() => this.#judge(write, before));
    return result;
  }

  override commitFeed(write: FeedWrite): FeedCommitted {
    const result = super.commitFeed(write);
    if (result.outcome === "stored") this.#guard(() => this.#judgeFeed(write));
    return result;
  }

  override find(...[conversation, sender, clientId]: Parameters<MemoryData["find"]>): ReturnType<MemoryData["find"]> {
    return this.#spoilt === "idsNotUnique" ? null : super.find(conversation, sender, clientId);
  }

  /** Stores every move, wherever the cursor stood. */
  #withoutMax({ conversation, cursors }: ConversationWrite, result: Committed): Committed {
    const stored = this.log(conversation)?.cursors;
    if (result.outcome !== "stored" || !stored) return result;
    for (const move of cursors) stored.set(move.user, { ...move, total: stored.get(move.user)?.total ?? 0 });
    return { outcome: "stored", cursors: cursors.flatMap(({ user }) => stored.get(user) ?? []) };
  }

  #judge(write: ConversationWrite, before: ReadonlyMap<string, { readonly seq: number }>): void {
    const { conversation, entries, epoch, head } = write;
    const log = this.logs.of(conversation);
    for (const row of entries) log.append(row, epoch);
    const closing = head?.openEpoch === 0;
    checkRows(this, conversation, log, closing);
    for (const [user, { seq }] of this.log(conversation)?.cursors ?? [])
      if (seq < (before.get(user)?.seq ?? 0)) throw new Error(`${conversation}: cursor of ${user} went back to ${seq}`);
  }

  /** Numbers without a gap, and each change of a membership once, in the order of its log. */
  #judgeFeed({ user }: FeedWrite): void {
    const changes = this.feed(user.user)?.changes ?? [];
    const gapless = Array.from({ length: user.userSeq }, (_, i) => i + 1);
    expectSame(
      `feed of ${user.user}`,
      changes.map(([userSeq]) => userSeq),
      gapless,
    );
    const seqs = new Map<string, number>();
    for (const [userSeq, kind, subject, data] of changes) {
      if (kind !== "membership") continue;
      const seq = data[1] as number;
      if (seq <= (seqs.get(subject) ?? 0))
        throw new Error(`feed of ${user.user}: ${userSeq} brings ${subject} ${seq} again`);
      seqs.set(subject, seq);
    }
  }

  #guard(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.broken ??= error;
    }
  }
}

/** A handle on the data that is told of a second write of one conversation or feed while the first is not answered. */
export class WatchedStore extends MemoryStore {
  readonly #inFlight = new Set<string>();
  readonly #broken: (error: unknown) => void;

  constructor(options: MemoryStoreOptions, broken: (error: unknown) => void) {
    super(options);
    this.#broken = broken;
  }

  override commit(write: ConversationWrite): Promise<Committed> {
    return this.#alone(write.conversation, () => super.commit(write));
  }

  override commitFeed(write: FeedWrite): Promise<FeedCommitted> {
    return this.#alone(write.user.user, () => super.commitFeed(write));
  }

  #alone<T>(name: string, write: () => Promise<T>): Promise<T> {
    if (this.#inFlight.has(name)) this.#broken(new Error(`${name} is written while a write of it is in flight`));
    this.#inFlight.add(name);
    return write().finally(() => this.#inFlight.delete(name));
  }
}
