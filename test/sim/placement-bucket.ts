// A JetStream KV bucket in memory, and one process's handle on it: writes that get lost, watches that break and begin afresh.
// Owned by the placement's simulation. Every write is remembered, so that a disk can lose the last of them.
import type { KeyValue, KvWatch, KvWatcher, KvWritten } from "../../src/actors/placement-kv";
import type { SimLink, SimProcess } from "./placement-process";
import type { Schedule } from "./simulate";

interface Stored {
  readonly key: string;
  readonly value: string | null;
  readonly revision: number;
  readonly at: number;
}

/** What all handles share: one stream. */
export class SimBucket {
  readonly #schedule: Schedule;
  readonly #ttlMs: number;
  readonly #handles = new Set<SimKeyValue>();
  #entries = new Map<string, Stored>();
  #history: Stored[] = [];
  #revision = 0;
  /** False: no write is done, and none answered. */
  available = true;
  /** How often a comparison is not made: two may win one revision, as on clusters of an old server. */
  brokenRate = 0;
  /** Counts the times that writes were lost: revisions compare only within a life. */
  life = 0;
  /** Writes that were done. */
  writes = 0;

  /** @param ttlMs how long an entry lives; nobody is told when it ends */
  constructor(schedule: Schedule, ttlMs = Number.POSITIVE_INFINITY) {
    this.#schedule = schedule;
    this.#ttlMs = ttlMs;
  }

  open(process: SimProcess, link: SimLink): SimKeyValue {
    const handle = new SimKeyValue(this.#schedule, this, process, link);
    this.#handles.add(handle);
    return handle;
  }

  /** What stands there; null: nothing does. */
  get(key: string): { readonly value: string | null; readonly revision: number } | null {
    const stored = this.#entries.get(key);
    return stored && this.#schedule.clock.monotonic() - stored.at <= this.#ttlMs ? stored : null;
  }

  entries(): readonly Stored[] {
    return [...this.#entries.values()].filter(({ key }) => this.get(key)).toSorted((a, b) => a.revision - b.revision);
  }

  /** @param revision null: whatever stands there */
  write(key: string, value: string | null, revision: number | null): KvWritten | null {
    if (!this.available) return null;
    const compared = revision !== null && !this.#schedule.random.chance(this.brokenRate);
    if (compared && (this.get(key)?.revision ?? 0) !== revision) return { outcome: "conflict" };
    this.#revision += 1;
    this.writes += 1;
    const stored = { key, value, revision: this.#revision, at: this.#schedule.clock.monotonic() };
    this.#entries.set(key, stored);
    if (this.#ttlMs === Number.POSITIVE_INFINITY) this.#schedule.trace(() => `${key} → ${value} @${this.#revision}`);
    if (this.#ttlMs === Number.POSITIVE_INFINITY) this.#history.push(stored);
    for (const handle of this.#handles) handle.tell(stored);
    return { outcome: "written", revision: this.#revision };
  }

  /** Everything is gone, and revisions begin anew. Every watch has to be cut around it. */
  wipe(): void {
    this.life += 1;
    this.#entries = new Map();
    this.#history = [];
    this.#revision = 0;
  }

  /** The last writes are gone, acknowledged or not, and their revisions are used again. As {@link SimBucket.wipe}. */
  rollBack(writes: number): void {
    this.life += 1;
    this.#history = this.#history.slice(0, Math.max(0, this.#history.length - writes));
    this.#entries = new Map(this.#history.map((stored) => [stored.key, stored]));
    this.#revision = this.#history.at(-1)?.revision ?? 0;
  }
}

/** See the head of this file. */
export class SimKeyValue implements KeyValue {
  readonly #schedule: Schedule;
  readonly #bucket: SimBucket;
  readonly #process: SimProcess;
  readonly #link: SimLink;
  #watcher: KvWatcher | null = null;
  /** What is on its way, in order; another list for each watch that begins. */
  #queue: (() => void)[] = [];
  #broken = true;
  #lifeTold = -1;

  constructor(schedule: Schedule, bucket: SimBucket, process: SimProcess, link: SimLink) {
    this.#schedule = schedule;
    this.#bucket = bucket;
    this.#process = process;
    this.#link = link;
  }

  /** Whether what its watcher was told last is of the bucket's present life. */
  get isOfThisLife(): boolean {
    return this.#lifeTold === this.#bucket.life;
  }

  async update(key: string, value: string, revision: number): Promise<KvWritten> {
    return (await this.#link.request(() => this.#bucket.write(key, value, revision))) ?? { outcome: "unknown" };
  }

  async put(key: string, value: string): Promise<KvWritten> {
    return (await this.#link.request(() => this.#bucket.write(key, value, null))) ?? { outcome: "unknown" };
  }

  async delete(key: string, revision: number | null): Promise<void> {
    await this.#link.request(() => this.#bucket.write(key, null, revision));
  }

  watch(watcher: KvWatcher): KvWatch {
    this.#watcher = watcher;
    this.connection(this.#link.isUp);
    return {
      restart: () => this.connection(this.#link.isUp),
      stop: () => {
        this.#watcher = null;
      },
    };
  }

  /** The connection was lost, and with it what was on its way; or it is back, and the watch begins afresh. */
  connection(stands: boolean): void {
    this.#queue = [];
    this.#broken = !stands;
    if (!stands) return;
    this.#send((watcher) => watcher.restarted());
    for (const stored of this.#bucket.entries()) this.tell(stored);
    const { life } = this.#bucket;
    this.#send((watcher) => {
      this.#lifeTold = life;
      watcher.current();
    });
  }

  /** The bucket has changed. */
  tell({ key, value, revision }: Stored): void {
    if (!this.#broken) this.#send((watcher) => watcher.entry(key, value, revision));
  }

  #send(what: (watcher: KvWatcher) => void): void {
    const queue = this.#queue;
    queue.push(() => this.#watcher && what(this.#watcher));
    const arrive = (): void => {
      // Whichever timer fires, the oldest comes first; what a broken watch had under way never comes.
      const call = queue.shift();
      if (queue === this.#queue) call?.();
    };
    this.#schedule.clock.after((this.#link.delay() ?? 0) % 100, () => this.#process.deliver(arrive));
  }
}
