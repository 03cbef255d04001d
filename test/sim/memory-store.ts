// A store in memory behind the real port, for simulations and unit tests: every delay and fault is in the test's hand.
// It passes store.case.ts; what it answered as stored survives `crash()` in its MemoryData.
import { AppError } from "../../src/lib/errors";
import { partitionOf } from "../../src/lib/hash";
import type { Epoch } from "../../src/protocol/ids";
import type {
  Committed,
  ConversationWrite,
  EntryRow,
  FeedCommitted,
  FeedWrite,
  Range,
  RangeRequest,
  Store,
  SyncPage,
  SyncRow,
} from "../../src/storage/store";
import { syncRowOf } from "../../src/storage/sync-row";
import { MemoryData } from "./memory-data";

/** What is about to be done, for schedules and faults that depend on it. */
export type StoreCall =
  | { readonly kind: "commit"; readonly write: ConversationWrite }
  | { readonly kind: "feed"; readonly write: FeedWrite }
  | { readonly kind: "read"; readonly name: keyof Store };

/**
 * What goes wrong with one call. Writes: `refused`, `conflict` and `fenced` store nothing; `unknownStored` stores and
 * answers unknown; `unknownLost` stores nothing and answers unknown. Any fault on a read rejects with `store_unavailable`.
 */
export type StoreFault = "refused" | "conflict" | "fenced" | "unknownStored" | "unknownLost";

export interface MemoryStoreOptions {
  /** Shared by several handles to play several servers, or kept across a crash. */
  readonly data?: MemoryData;
  /**
   * Runs `step` later; absent: as a microtask. A call takes two steps, doing it and answering it, so a crash may fall
   * between what is durable and what is known.
   */
  readonly schedule?: (step: () => void, call: StoreCall) => void;
  readonly fault?: (call: StoreCall) => StoreFault | null;
}

/** One process's handle on a {@link MemoryData}. */
export class MemoryStore implements Store {
  readonly data: MemoryData;
  readonly #schedule: (step: () => void, call: StoreCall) => void;
  readonly #fault: (call: StoreCall) => StoreFault | null;
  #crashed = false;

  constructor(options: MemoryStoreOptions = {}) {
    this.data = options.data ?? new MemoryData();
    this.#schedule = options.schedule ?? ((step) => queueMicrotask(step));
    this.#fault = options.fault ?? (() => null);
  }

  get generation(): string {
    return this.data.generation;
  }

  /** The process is gone: no call of this handle is done or answered any more; a fresh handle takes the same data. */
  crash(): void {
    this.#crashed = true;
  }

  claim(partitions: readonly number[]): Promise<Epoch> {
    return this.#read("claim", () => this.data.claim(partitions));
  }

  audit(partition: number, epoch: Epoch): Promise<boolean> {
    return this.#read("audit", () => this.data.epochOf(partition) === epoch);
  }

  readonly auditAll: Store["auditAll"] = (held) =>
    this.#read("auditAll", () =>
      held.filter(([partition, epoch]) => this.data.epochOf(partition) !== epoch).map(([partition]) => partition),
    );

  commit(write: ConversationWrite): Promise<Committed> {
    const call: StoreCall = { kind: "commit", write };
    return this.#run(call, () => {
      const fault = this.#fault(call);
      if (fault === null) return this.data.commit(write);
      if (fault === "conflict") return { outcome: "conflict", duplicates: [] };
      if (fault === "unknownStored") this.data.commit(write);
      return failed(fault);
    });
  }

  commitFeed(write: FeedWrite): Promise<FeedCommitted> {
    const call: StoreCall = { kind: "feed", write };
    return this.#run(call, () => {
      const fault = this.#fault(call);
      if (fault === null) return this.data.commitFeed(write);
      if (fault === "conflict") return { outcome: "conflict" };
      if (fault === "unknownStored") this.data.commitFeed(write);
      return failed(fault);
    });
  }

  readonly openConversation: Store["openConversation"] = (conversation, _epoch, tail) =>
    this.#read("openConversation", () => {
      const log = this.data.log(conversation);
      if (!log) return null;
      const members = [...log.members.values()].filter(({ role }) => role !== null);
      return { head: log.head, members, tail: tail > 0 ? log.entries.slice(-tail) : [] };
    });

  readRange(request: RangeRequest): Promise<Range> {
    return this.#read("readRange", () => rangeOf(this.data, request, request.bytesMax, true));
  }

  readRanges(requests: readonly RangeRequest[], bytesTotal: number): Promise<readonly Range[]> {
    return this.#read("readRanges", () => {
      let left = bytesTotal;
      let answered = false;
      return requests.map((request) => {
        const range = rangeOf(this.data, request, Math.min(request.bytesMax, left), !answered);
        answered ||= range.entries.length > 0;
        for (const { bytes } of range.entries) left -= bytes.length;
        return range;
      });
    });
  }

  readonly findClientIds: Store["findClientIds"] = (conversation, ids) =>
    this.#read("findClientIds", () => ids.flatMap(([user, id]) => this.data.find(conversation, user, id) ?? []));

  readonly readMembers: Store["readMembers"] = (conversation, users) =>
    this.#read("readMembers", () => users.flatMap((user) => this.data.log(conversation)?.members.get(user) ?? []));

  readonly readCursors: Store["readCursors"] = (conversation, users) =>
    this.#read("readCursors", () => users.flatMap((user) => this.data.log(conversation)?.cursors.get(user) ?? []));

  readonly countOwn: Store["countOwn"] = (conversation, sender, after, through) =>
    this.#read("countOwn", () => {
      const own = ({ seq, counts, sender: by }: EntryRow) => counts && by === sender && seq > after && seq <= through;
      return this.data.log(conversation)?.entries.filter(own).length ?? 0;
    });

  readonly countBySender: Store["countBySender"] = (conversation, after) =>
    this.#read("countBySender", () => {
      const late = this.data.log(conversation)?.entries.filter(({ seq, counts }) => counts && seq > after) ?? [];
      return [...Map.groupBy(late, ({ sender }) => sender)].map(([user, rows]) => ({ user, count: rows.length }));
    });

  readonly readReaders: Store["readReaders"] = (conversation, seq, after, limit) =>
    this.#read("readReaders", () =>
      [...(this.data.log(conversation)?.cursors.values() ?? [])]
        .filter((row) => row.seq >= seq && (after === null || row.user > after))
        .sort((a, b) => (a.user < b.user ? -1 : 1))
        .slice(0, limit)
        .map((row) => ({ user: row.user, seq: row.seq })),
    );

  readonly countReaders: Store["countReaders"] = (conversation, seq, except) =>
    this.#read("countReaders", () => {
      const cursors = [...(this.data.log(conversation)?.cursors.values() ?? [])];
      return cursors.filter((row) => row.seq >= seq && row.user !== except).length;
    });

  readonly listOpen: Store["listOpen"] = (partitions, after, limit) =>
    this.#read("listOpen", () => {
      const wanted = new Set(partitions);
      return this.data
        .heads()
        .filter(({ openEpoch, conversation }) => openEpoch !== 0 && (after === null || conversation > after))
        .filter(({ conversation }) => wanted.has(partitionOf("conversation", conversation)))
        .slice(0, limit)
        .map(({ conversation }) => conversation);
    });

  readonly listAdvanced: Store["listAdvanced"] = (after, limit) =>
    this.#read("listAdvanced", () =>
      this.data
        .heads()
        .filter(({ conversation }) => after === null || conversation > after)
        .slice(0, limit)
        .map(({ conversation, seq }) => ({ conversation, seq })),
    );

  readonly readHeads: Store["readHeads"] = (conversations) =>
    this.#read("readHeads", () =>
      conversations.flatMap((conversation) => {
        const head = this.data.log(conversation)?.head;
        return head ? { conversation, seq: head.seq, open: head.openEpoch !== 0 } : [];
      }),
    );

  readonly openFeed: Store["openFeed"] = (user) =>
    this.#read("openFeed", () => {
      const feed = this.data.feed(user);
      return feed?.user ? { user: feed.user, devices: [...feed.devices.values()] } : null;
    });

  readonly readMemberships: Store["readMemberships"] = (user, conversations) =>
    this.#read("readMemberships", () => conversations.flatMap((id) => this.data.feed(user)?.memberships.get(id) ?? []));

  readonly readFeed: Store["readFeed"] = (user, after, limit) =>
    this.#read("readFeed", () => {
      const feed = this.data.feed(user);
      const changes = feed?.changes.filter(([userSeq]) => userSeq > after).slice(0, limit) ?? [];
      return { changes, user: feed?.user ?? null };
    });

  readonly unknownUsers: Store["unknownUsers"] = (users) =>
    this.#read("unknownUsers", () =>
      users.filter((user) => {
        const row = this.data.feed(user)?.user;
        return !row || row.deletedAt !== null;
      }),
    );

  readonly fullUsers: Store["fullUsers"] = (users, max) =>
    this.#read("fullUsers", () =>
      users.filter((user) => {
        const rows = [...(this.data.feed(user)?.memberships.values() ?? [])];
        return rows.filter(({ role }) => role !== null).length >= max;
      }),
    );

  readonly conversationsOf: Store["conversationsOf"] = (user) =>
    this.#read("conversationsOf", () => {
      const rows = [...(this.data.feed(user)?.memberships.values() ?? [])].filter(({ role }) => role !== null);
      return rows.map(({ conversation }) => conversation).sort();
    });

  readonly featureLevel: Store["featureLevel"] = () => this.#read("featureLevel", () => this.data.raiseFeatureLevel(0));

  readonly raiseFeatureLevel: Store["raiseFeatureLevel"] = (to) =>
    this.#read("raiseFeatureLevel", () => this.data.raiseFeatureLevel(to));

  readonly readSync: Store["readSync"] = (user, after, limit, withCounts) =>
    this.#read("readSync", () => syncOf(this.data, user, after, limit, withCounts));

  health(): { readonly writable: boolean; readonly reason: string | null } {
    return { writable: true, reason: null };
  }

  backup(): Promise<void> {
    return Promise.reject(new AppError("not_supported", "a store in memory has no backup"));
  }

  async close(): Promise<void> {}

  #read<T>(name: keyof Store, answer: () => T): Promise<T> {
    const call: StoreCall = { kind: "read", name };
    return this.#run(call, () => {
      if (this.#fault(call) !== null) throw new AppError("store_unavailable", "the test says so");
      return answer();
    });
  }

  /** Two steps: do it, answer it. A crash before either leaves the promise pending for ever, as a dead process would. */
  #run<T>(call: StoreCall, act: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const step = (run: () => void) =>
      this.#schedule(() => {
        if (!this.#crashed) run();
      }, call);
    step(() => {
      try {
        const value = act();
        step(() => resolve(value));
      } catch (error) {
        step(() => reject(error));
      }
    });
    return promise;
  }
}

function failed(fault: Exclude<StoreFault, "conflict">) {
  if (fault === "fenced") return { outcome: "fenced" } as const;
  const outcome = fault === "refused" ? "refused" : "unknown";
  return { outcome, reason: "the test says so" } as const;
}

function rangeOf(data: MemoryData, request: RangeRequest, bytesMax: number, oneAnyway: boolean): Range {
  const { from, direction, limit, kind, scanMax } = request;
  const log = data.log(request.conversation)?.entries ?? [];
  const step = direction === "up" ? 1 : -1;
  const start = direction === "up" ? Math.max(from, 1) : Math.min(from, log.length);
  const entries: EntryRow[] = [];
  let bytes = 0;
  let scannedTo = 0;
  for (let seq = start, looked = 0; looked < scanMax && entries.length < limit; seq += step, looked++) {
    const row = log[seq - 1];
    if (!row) break;
    if (kind === undefined || row.kind === kind) {
      const fits = bytes + row.bytes.length <= bytesMax || (oneAnyway && entries.length === 0);
      if (!fits) break;
      entries.push(row);
      bytes += row.bytes.length;
    }
    scannedTo = seq;
  }
  return { entries, scannedTo };
}

function syncOf(
  data: MemoryData,
  user: Parameters<Store["readSync"]>[0],
  after: Parameters<Store["readSync"]>[1],
  limit: number,
  withCounts: boolean,
): SyncPage {
  const feed = data.feed(user);
  const present: SyncRow[] = [...(feed?.memberships.values() ?? [])]
    .filter(({ role }) => role !== null)
    .sort((a, b) => (a.conversation < b.conversation ? -1 : 1))
    .map((membership) => {
      const log = data.log(membership.conversation);
      const member = log?.members.get(user) ?? null;
      return syncRowOf({ membership, head: log?.head ?? null, member, cursor: log?.cursors.get(user) ?? null });
    });
  const late = present.filter(({ conversation }) => after === null || conversation > after);
  const rows = late.slice(0, limit);
  const others = withCounts ? present.filter((row) => !rows.includes(row)) : [];
  const counts = others.map(({ markedUnread: _1, headSeq: _2, floor: _3, row: _4, ...count }) => count);
  return { user: feed?.user ?? null, rows, more: late.length > limit, counts };
}
