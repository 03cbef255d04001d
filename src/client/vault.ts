// The records of one installation: who was signed in last, each person's cache, each person's queues.
// Owned by the client. Keys are `server/user/…`, every part escaped; what a record holds is checked when it is read.
import { isMap } from "../protocol/fields";
import { isConversationId, isDeviceId } from "../protocol/ids";
import type { ConversationId, DeviceId, UserId } from "../protocol/ids";
import { readAnswer } from "./answers";
import type { CachedConversation } from "./conversation";
import { fromRecord, toRecord } from "./operation";
import type { Operation } from "./operation";
import type { ClientStorage, StorageChange } from "./storage";

/** What was kept about a person. */
export interface Kept {
  readonly generation: string | null;
  readonly conversations: readonly CachedConversation[];
}

/** Keys and checked contents of the storage; keeps no state of its own. */
export class Vault {
  readonly #storage: ClientStorage;
  readonly #server: string;

  constructor(storage: ClientStorage, server: string) {
    this.#storage = storage;
    this.#server = encodeURIComponent(server);
  }

  get metaKey(): string {
    return `${this.#server}/meta`;
  }

  /** Everything of one person lies under it. */
  scopeOf(user: UserId): string {
    return `${this.#server}/u/${encodeURIComponent(user)}/`;
  }

  generationKey(user: UserId): string {
    return `${this.scopeOf(user)}generation`;
  }

  conversationKey(user: UserId, conversation: ConversationId): string {
    return `${this.scopeOf(user)}c/${conversation}`;
  }

  /** Where one client keeps its queue. */
  queuePrefix(user: UserId, queue: string): string {
    return `${this.scopeOf(user)}q/${queue}/`;
  }

  async loadMeta(): Promise<{ readonly device: DeviceId | null; readonly user: UserId | null }> {
    const record = (await this.#storage.read(this.metaKey)).find(([key]) => key === this.metaKey)?.[1];
    if (!isMap(record)) return { device: null, user: null };
    const { device, user } = record;
    return { device: isDeviceId(device) ? device : null, user: typeof user === "string" ? (user as UserId) : null };
  }

  async load(user: UserId): Promise<Kept> {
    const scope = this.scopeOf(user);
    const generation = (await this.#storage.read(this.generationKey(user)))[0]?.[1];
    const records = await this.#storage.read(`${scope}c/`);
    const conversations = records.map(([, record]) => cachedFrom(record)).filter((cached) => cached !== null);
    return { generation: typeof generation === "string" ? generation : null, conversations };
  }

  /** The queues of this person, this client's own and others'. */
  async queues(user: UserId): Promise<readonly string[]> {
    const prefix = `${this.scopeOf(user)}q/`;
    const records = await this.#storage.read(prefix);
    return [...new Set(records.map(([key]) => key.slice(prefix.length).split("/")[0] as string))];
  }

  /** Moves the queue of a client that is gone into another one, all or nothing. */
  async adopt(user: UserId, from: string, to: string): Promise<readonly Operation[]> {
    const records = await this.#storage.read(this.queuePrefix(user, from));
    const operations = records.map(([, record]) => fromRecord(record)).filter((operation) => operation !== null);
    const prefix = this.queuePrefix(user, to);
    await this.#storage.write([
      ...records.map(([key]): StorageChange => [key, undefined]),
      ...operations.map((operation): StorageChange => [prefix + operation.id, toRecord(operation)]),
    ]);
    return operations;
  }

  /** Removes everything of one person. */
  async forget(user: UserId): Promise<void> {
    const records = await this.#storage.read(this.scopeOf(user));
    await this.#storage.write([...records.map(([key]): StorageChange => [key, undefined])]);
  }
}

function cachedFrom(record: unknown): CachedConversation | null {
  if (!isMap(record) || typeof record.lastSeq !== "number" || typeof record.first !== "number") return null;
  try {
    const row = readAnswer("get", record.row);
    const [page] = readAnswer("history", [record.page, false, false, 0, 0, 0]);
    return isConversationId(row[0]) ? { row, lastSeq: record.lastSeq, first: record.first, page } : null;
  } catch {
    // Another version wrote it: what it held comes from the server again.
    return null;
  }
}
