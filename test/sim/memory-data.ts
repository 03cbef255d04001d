// The durable half of the store in memory: what survives the crash of every handle on it. Test code only.
// Everything here is synchronous and all-or-nothing, so one call is one commit.
import { partitionCount, partitionOf } from "../../src/lib/hash";
import type { ClientId, ConversationId, DeviceId, Epoch, UserId } from "../../src/protocol/ids";
import type { FeedTuple } from "../../src/protocol/operations";
import type {
  Committed,
  ConversationWrite,
  CursorRow,
  DeviceRow,
  EntryRow,
  FeedCommitted,
  FeedWrite,
  FoundEntry,
  HeadRow,
  MemberRow,
  MembershipRow,
  UserRow,
} from "../../src/storage/store";

interface Log {
  head: HeadRow | null;
  readonly entries: EntryRow[];
  readonly byClientId: Map<string, EntryRow>;
  readonly members: Map<UserId, MemberRow>;
  readonly cursors: Map<UserId, CursorRow>;
}

interface Feed {
  user: UserRow | null;
  readonly changes: FeedTuple[];
  readonly memberships: Map<ConversationId, MembershipRow>;
  readonly devices: Map<DeviceId, DeviceRow>;
}

/** One data set; any number of {@link MemoryStore} handles share it, as servers share a file. */
export class MemoryData {
  readonly generation: string;
  readonly #logs = new Map<ConversationId, Log>();
  readonly #feeds = new Map<UserId, Feed>();
  readonly #epochs = new Array<Epoch>(partitionCount).fill(0);
  #epochCounter = 0;
  #featureLevel = 0;

  constructor(generation = "memory-1") {
    this.generation = generation;
  }

  claim(partitions: readonly number[]): Epoch {
    this.#epochCounter++;
    for (const partition of partitions) this.#epochs[partition] = this.#epochCounter;
    return this.#epochCounter;
  }

  epochOf(partition: number): Epoch {
    return this.#epochs[partition] ?? 0;
  }

  /** Raises the feature level where it is lower; answers the one then in force. */
  raiseFeatureLevel(to: number): number {
    this.#featureLevel = Math.max(this.#featureLevel, to);
    return this.#featureLevel;
  }

  /** The log, or null where the conversation has no head. */
  log(conversation: ConversationId): (Log & { readonly head: HeadRow }) | null {
    const log = this.#logs.get(conversation);
    return log?.head ? (log as Log & { readonly head: HeadRow }) : null;
  }

  feed(user: UserId): Feed | null {
    return this.#feeds.get(user) ?? null;
  }

  /** Every conversation with its head, by id, ascending. */
  heads(): readonly HeadRow[] {
    return [...this.#logs.values()]
      .flatMap((log) => log.head ?? [])
      .sort((a, b) => (a.conversation < b.conversation ? -1 : 1));
  }

  find(conversation: ConversationId, sender: UserId, clientId: ClientId): FoundEntry | null {
    const row = this.#logs.get(conversation)?.byClientId.get(clientKey(sender, clientId));
    return row ? { sender, clientId, seq: row.seq, kind: row.kind, bytes: row.bytes } : null;
  }

  commit(write: ConversationWrite): Committed {
    const { conversation, entries, head } = write;
    if (this.epochOf(partitionOf("conversation", conversation)) !== write.epoch) return { outcome: "fenced" };
    const ill = illFormed(write);
    if (ill) return { outcome: "refused", reason: ill };
    const found = this.#logs.get(conversation);
    const duplicates = entries.flatMap(
      (row) => (row.clientId !== null && this.find(conversation, row.sender, row.clientId)) || [],
    );
    const keys = entries.flatMap((row) => (row.clientId === null ? [] : clientKey(row.sender, row.clientId)));
    const stored = found?.head?.seq ?? 0;
    const moved = head !== null && head.seq - entries.length !== stored;
    const absent = head === null && !found?.head;
    if (duplicates.length > 0 || moved || absent || new Set(keys).size < keys.length) {
      return { outcome: "conflict", duplicates };
    }
    const log = found ?? this.#newLog(conversation);
    applyWrite(log, write);
    return { outcome: "stored", cursors: write.cursors.map(({ user }) => log.cursors.get(user) as CursorRow) };
  }

  commitFeed(write: FeedWrite): FeedCommitted {
    const { user, changes } = write;
    if (this.epochOf(partitionOf("user", user.user)) !== write.epoch) return { outcome: "fenced" };
    const feed: Feed = this.#feeds.get(user.user) ?? {
      user: null,
      changes: [],
      memberships: new Map(),
      devices: new Map(),
    };
    if (changes.some((change, at) => change[0] !== user.userSeq - changes.length + 1 + at)) {
      return { outcome: "refused", reason: "the changes do not end at the row's userSeq without a gap" };
    }
    if (user.userSeq - changes.length !== (feed.user?.userSeq ?? 0)) return { outcome: "conflict" };
    this.#feeds.set(user.user, feed);
    feed.user = user;
    feed.changes.push(...changes);
    for (const row of write.memberships) feed.memberships.set(row.conversation, row);
    for (const row of write.devices) feed.devices.set(row.device, row);
    for (const device of write.devicesDropped ?? []) feed.devices.delete(device);
    return { outcome: "stored" };
  }

  #newLog(conversation: ConversationId): Log {
    const log = { head: null, entries: [], byClientId: new Map(), members: new Map(), cursors: new Map() };
    this.#logs.set(conversation, log);
    return log;
  }
}

function illFormed({ entries, head }: ConversationWrite): string | null {
  if (entries.length === 0) return null;
  if (entries.length > 512) return "a write holds at most 512 entries";
  if (head === null) return "a write with entries carries the head after them";
  const first = head.seq - entries.length + 1;
  const gap = first < 1 || entries.some((row, at) => row.seq !== first + at);
  return gap ? "the entries do not end at the head without a gap" : null;
}

function applyWrite(log: Log, write: ConversationWrite): void {
  for (const row of write.entries) {
    log.entries.push(row);
    if (row.clientId !== null) log.byClientId.set(clientKey(row.sender, row.clientId), row);
  }
  if (write.head) log.head = write.head;
  for (const row of write.members) log.members.set(row.user, row);
  for (const { user, seq, ordinal, own } of write.cursors) {
    const stored = log.cursors.get(user);
    if (!stored || seq > stored.seq) log.cursors.set(user, { user, seq, ordinal, own, total: stored?.total ?? 0 });
  }
  for (const { user, total } of write.totals) {
    const stored = log.cursors.get(user) ?? { user, seq: 0, ordinal: 0, own: 0 };
    log.cursors.set(user, { ...stored, total });
  }
}

function clientKey(sender: UserId, clientId: ClientId): string {
  return `${sender}\n${clientId}`;
}
