// Who uses this installation, and what is kept for them: device id, cache, queue, generation. Owned by Core.
// A storage that fails is reported and costs what it would have kept, never the running client.
import type { ConversationId, DeviceId, UserId } from "../protocol/ids";
import type { ClientClock } from "./clock";
import type { Directory } from "./directory";
import type { Events } from "./events";
import { Journal } from "./journal";
import type { Outbox } from "./outbox";
import { hold, whenFree } from "./queue-lock";
import type { Locks } from "./queue-lock";
import type { ClientStorage } from "./storage";
import { Vault } from "./vault";

/** What keeping a person's records needs of the client. */
export interface PersonSetup {
  readonly storage: ClientStorage;
  readonly server: string;
  readonly locks: Locks | null;
  readonly clock: ClientClock;
  readonly ids: () => string;
  readonly deviceId: DeviceId | null;
  readonly events: Events;
  readonly directory: Directory;
  readonly outbox: Outbox;
}

/** The cache may lag: what it lacks comes from the server again. */
const cacheDelayMs = 500;

/** The person who is signed in and their records. Switching to another person hides everything of the one before. */
export class Person {
  readonly #setup: PersonSetup;
  readonly #vault: Vault;
  readonly #cache: Journal;
  readonly #queueJournal: Journal;
  /** This client's own queue: another one each time somebody comes, so that one left behind is taken over on return. */
  #queue: string;
  readonly #watching = new Set<string>();
  #user: UserId | null = null;
  #device: DeviceId;
  /** Of which everything was learnt. */
  #generation: string | null = null;
  /** Of which something may have been learnt. */
  #begun: string | null = null;
  #cachePrefix: string | null = null;
  #life = new AbortController();
  #turn: Promise<void> = Promise.resolve();

  constructor(setup: PersonSetup) {
    const report = (error: unknown): void => setup.events.report(error);
    this.#setup = setup;
    this.#vault = new Vault(setup.storage, setup.server);
    this.#cache = new Journal(setup.storage, setup.clock, cacheDelayMs, report);
    this.#queueJournal = new Journal(setup.storage, setup.clock, 0, report);
    this.#queue = setup.ids();
    this.#device = setup.deviceId ?? (setup.ids() as DeviceId);
  }

  get user(): UserId | null {
    return this.#user;
  }

  get device(): DeviceId {
    return this.#device;
  }

  /** Whether nothing was ever synced for this person here. */
  get isNew(): boolean {
    return this.#generation === null;
  }

  /** Reads who was here last, and shows what was kept. */
  async boot(): Promise<void> {
    await this.#guard(async () => {
      const { device, user } = await this.#vault.loadMeta();
      this.#device = this.#setup.deviceId ?? device ?? this.#device;
      if (user !== null) await this.#open(user);
    });
  }

  /** The server said who it is, and which log it has. Resolves once what was kept for them is loaded; one after the other. */
  signedIn(user: UserId, generation: string): Promise<void> {
    this.#turn = this.#turn.then(() => this.#signedIn(user, generation));
    return this.#turn;
  }

  async #signedIn(user: UserId, generation: string): Promise<void> {
    if (this.#user !== user) {
      if (this.#user !== null) this.#leave("user_changed");
      const { signal } = this.#life;
      await this.#guard(() => this.#open(user));
      if (signal.aborted) return; // signed out meanwhile
      // Also where the storage failed: the person is signed in all the same.
      this.#user = user;
      const meta = { user, device: this.#device };
      this.#queueJournal.put(this.#vault.metaKey, () => meta);
    }
    const before = this.#generation ?? this.#begun;
    if (before !== null && before !== generation) this.#reset();
    this.#begun = generation;
  }

  /** Everything of this generation was learnt. */
  synced(generation: string): void {
    if (this.#user === null || this.#generation === generation) return;
    this.#generation = generation;
    this.#cache.put(this.#vault.generationKey(this.#user), () => generation);
  }

  /** What the cache keeps of it changed. */
  store(conversation: ConversationId): void {
    if (this.#cachePrefix === null) return;
    this.#cache.put(this.#cachePrefix + conversation, () => this.#setup.directory.find(conversation)?.toCache());
  }

  remove(conversation: ConversationId): void {
    if (this.#cachePrefix !== null) this.#cache.put(this.#cachePrefix + conversation, () => undefined);
  }

  /** Takes over the queues of clients that are gone, now, and of those that end later. */
  async adoptQueues(): Promise<void> {
    const user = this.#user;
    if (user === null) return;
    await this.#guard(async () => {
      for (const queue of await this.#vault.queues(user)) if (queue !== this.#queue) await this.#adopt(user, queue);
    });
  }

  /** Resolves once everything is in the storage; rejects with what the storage said. */
  async flush(): Promise<void> {
    await Promise.all([this.#queueJournal.flush(), this.#cache.flush()]);
  }

  /** Removes everything that was kept for this person. */
  async forget(): Promise<void> {
    const user = this.#user;
    if (user === null) return;
    this.#leave("signed_out");
    await Promise.all([this.#cache.drop(), this.#queueJournal.drop()]);
    await this.#guard(() => this.#vault.forget(user));
    const meta = { user: null, device: this.#device };
    this.#queueJournal.put(this.#vault.metaKey, () => meta);
  }

  /** Writes what is not written, lets go of the queue. */
  async close(): Promise<void> {
    await this.flush().catch(() => {});
    this.#setup.outbox.clear("closed");
    this.#life.abort();
  }

  async #open(user: UserId): Promise<void> {
    this.#user = user;
    this.#queue = this.#setup.ids();
    this.#cachePrefix = this.#vault.conversationKey(user, "" as ConversationId);
    this.#setup.outbox.attach(this.#queueJournal, this.#vault.queuePrefix(user, this.#queue));
    const { locks } = this.#setup;
    const { signal } = this.#life;
    if (locks) await hold(locks, this.#lockName(user, this.#queue), signal);
    const kept = await this.#vault.load(user);
    if (signal.aborted) return;
    this.#generation = kept.generation;
    // Without a generation a cache cannot be judged.
    if (kept.generation !== null)
      for (const cached of kept.conversations) this.#setup.directory.get(cached.row[0]).restore(cached);
    await this.adoptQueues();
  }

  async #adopt(user: UserId, queue: string): Promise<void> {
    const { locks, events } = this.#setup;
    const signal = this.#life.signal;
    const adopt = async (): Promise<void> => {
      if (signal.aborted) return;
      const operations = await this.#vault.adopt(user, queue, this.#queue);
      // They have left: what was taken over waits in the storage for their return, and nobody else sends it.
      if (!signal.aborted) this.#setup.outbox.restore(operations);
    };
    if (!locks) return adopt();
    if (this.#watching.has(queue)) return;
    const name = this.#lockName(user, queue);
    if ((await whenFree(locks, name, "at once", signal, adopt)) === "adopted") return;
    this.#watching.add(queue);
    whenFree(locks, name, "later", signal, adopt)
      .catch((error: unknown) => {
        if (!signal.aborted) events.report(error);
      })
      .finally(() => this.#watching.delete(queue));
  }

  #lockName(user: UserId, queue: string): string {
    return `parley/${this.#vault.queuePrefix(user, queue)}`;
  }

  /** Another log than the one that was known: what was cached is void, what is queued stays. */
  #reset(): void {
    this.#generation = null;
    for (const { id } of this.#setup.directory.members()) this.remove(id);
    this.#setup.directory.reset();
    this.#setup.outbox.refuseSeqs();
  }

  /** Nobody is here until the next {@link Person.#open}. */
  #leave(why: string): void {
    this.#life.abort();
    this.#life = new AbortController();
    this.#watching.clear();
    this.#user = null;
    this.#generation = this.#begun = null;
    this.#cachePrefix = null;
    // Its values are made when they are written: by then the directory may be the next person's.
    void this.#cache.drop();
    this.#setup.outbox.clear(why);
    this.#setup.directory.reset();
  }

  async #guard(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#setup.events.report(error);
    }
  }
}
