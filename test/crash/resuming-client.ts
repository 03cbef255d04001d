// A client as an application would have it, small and independent of the SDK: an outbox with retries under the same id,
// gap-free ordered delivery, resume by position. What it observes goes to a recorder.
import { entryKinds } from "../../src/protocol/entry";
import type { EntryTuple, MembersBody } from "../../src/protocol/entry";
import type { FeedTuple, MarkTuple, RowTuple } from "../../src/protocol/operations";
import type { Recorder } from "../history/recorder";
import { Connection, Refused } from "./connection";

const sendItemsMax = 32;
const retryMs = 10;

/** Who a client is and where it connects. */
export interface ClientSetup {
  /** Asked for each connection where it is a function: a client of a cluster may come to any node. */
  readonly url: string | (() => string);
  readonly user: string;
  readonly device: string;
  readonly token: string;
  readonly recorder: Recorder;
  /** Most messages in one `send`; absent: {@link sendItemsMax}. */
  readonly sendItems?: number;
  /** How long it waits before it connects again, milliseconds; absent: hardly. A server may ask it to wait longer. */
  readonly comeBackMs?: () => number;
  /** As in {@link OpenOptions}. */
  readonly deadlineMs?: number;
  readonly capabilities?: readonly string[];
  /** Whether a pushed read mark below one it has is left out, as the protocol says: where nodes push, one may come late. */
  readonly ignoresLateMarks?: boolean;
}

/** One conversation as this client knows it. */
interface Known {
  /** Highest seq delivered without a gap. */
  position: number;
  /** Highest seq heard of. */
  head: number;
  fetching: boolean;
  member: boolean;
  readonly entries: EntryTuple[];
  cursor: number;
  joinSeq: number;
}

/** A message of this client that is stored. */
export interface Acknowledged {
  readonly conv: string;
  readonly cid: string;
  readonly body: string;
  readonly seq: number;
}

interface Queued {
  readonly cid: string;
  readonly body: string;
}

/** What one conversation's sends wait for: since when none was answered, and the longest time of that kind so far. */
interface Waiting {
  since: number | null;
  longestMs: number;
}

/** One device of one person, through all its connections. Its `sess` in the history is `user/device`. */
export class ResumingClient {
  readonly setup: ClientSetup;
  readonly sess: string;
  readonly known = new Map<string, Known>();
  /** Sends acknowledged so far, in order. */
  readonly acknowledged: Acknowledged[] = [];
  /** Read marks that were pushed and left out, see {@link ClientSetup.ignoresLateMarks}. */
  lateMarks = 0;
  readonly #outbox = new Map<string, Queued[]>();
  readonly #sending = new Set<string>();
  readonly #waiting = new Map<string, Waiting>();
  #comeBackMs = 0;
  #connection: Connection | null = null;
  #stopped = false;
  #running: Promise<void> = Promise.resolve();

  constructor(setup: ClientSetup) {
    this.setup = setup;
    this.sess = `${setup.user}/${setup.device}`;
  }

  get online(): boolean {
    return this.#connection !== null;
  }

  /** Sends that wait for their acknowledgement. */
  get queued(): number {
    let count = 0;
    for (const queue of this.#outbox.values()) count += queue.length;
    return count;
  }

  /** How long at most sends of one conversation have been waiting for an acknowledgement by now, milliseconds. */
  get waitingMs(): number {
    const now = performance.now();
    return [...this.#waiting.values()].reduce((most, { since }) => Math.max(most, since === null ? 0 : now - since), 0);
  }

  /** The longest such time since this was asked last, what still waits included. */
  takeStall(): number {
    let longest = this.waitingMs;
    for (const waiting of this.#waiting.values()) {
      longest = Math.max(longest, waiting.longestMs);
      waiting.longestMs = 0;
    }
    return longest;
  }

  /** Loses its connection now; comes back by itself. */
  drop(): void {
    this.#connection?.abandon();
  }

  /** Whether everything heard of was delivered. */
  get caughtUp(): boolean {
    return [...this.known.values()].every((known) => !known.member || known.position >= known.head);
  }

  /** Connects, and again whenever the connection ends, until {@link stop}. */
  start(): void {
    this.#running = this.#live();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#connection?.close();
    await this.#running;
  }

  /** Queues a message; it is sent, and sent again, until it is acknowledged. */
  send(conv: string, cid: string, body: string): void {
    this.setup.recorder.invoke(this.sess, this.setup.user, conv, cid, body);
    const queue = this.#outbox.get(conv) ?? [];
    this.#outbox.set(conv, queue);
    queue.push({ cid, body });
    const waiting = this.#waiting.get(conv) ?? { since: null, longestMs: 0 };
    waiting.since ??= performance.now();
    this.#waiting.set(conv, waiting);
    this.#drain(conv);
  }

  /** Marks read up to `seq`; resolves once acknowledged. */
  async markRead(conv: string, seq: number): Promise<void> {
    const { recorder, user, device } = this.setup;
    const asked = recorder.marksNow();
    const [[stored]] = await this.untilDone((connection) => connection.ask("read", [conv, "read", seq]));
    recorder.readAck(device, user, conv, stored, asked);
    this.#sawCursor(conv, stored);
  }

  /**
   * Sends a message again that was acknowledged before, as an outbox does that forgot the acknowledgement. Its answer is
   * recorded only where it names another seq: retries do not stand in a history.
   */
  async repeat({ conv, cid, body, seq }: Acknowledged): Promise<void> {
    const { recorder, user } = this.setup;
    const [outcome] = await this.untilDone((connection) => connection.ask("send", [conv, [[cid, [body]]]]));
    if (typeof outcome === "number" && outcome !== seq) recorder.ack(this.sess, user, conv, cid, outcome);
  }

  /** Repeats an operation until it is done or refused for good (rejects). */
  async untilDone<T>(run: (connection: Connection) => Promise<T>): Promise<T> {
    for (;;) {
      const connection = this.#connection;
      try {
        if (connection) return await run(connection);
      } catch (error) {
        if (!(error instanceof Refused) || error.outcome === "final") throw error;
      }
      if (this.#stopped) throw new Refused(["stopped", "the client was stopped", "final", null, null]);
      await Bun.sleep(retryMs);
    }
  }

  /** Unread from what was delivered to this client alone. */
  unread(conv: string): number {
    const known = this.known.get(conv);
    if (!known) return 0;
    const base = Math.max(known.cursor, known.joinSeq);
    return known.entries.filter(([seq, , , counts, , sender]) => counts && seq > base && sender !== this.setup.user)
      .length;
  }

  async #live(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#connect();
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        this.#comeBackMs = Math.max(this.#comeBackMs, error.retryAfterMs);
      }
      this.#connection = null;
      const waitMs = Math.max(this.setup.comeBackMs?.() ?? retryMs, this.#comeBackMs);
      this.#comeBackMs = 0;
      await Bun.sleep(waitMs);
    }
  }

  /** One connection from its first word to its end. */
  async #connect(): Promise<void> {
    const { url, token, device, deadlineMs, capabilities } = this.setup;
    const address = typeof url === "string" ? url : url();
    const options = { ...(deadlineMs ? { deadlineMs } : {}), ...(capabilities ? { capabilities } : {}) };
    const connection = await Connection.open(address, token, device, (frame) => this.#hear(frame), options);
    try {
      await this.#sync(connection);
    } catch (error) {
      connection.abandon();
      throw error;
    }
    this.#connection = connection;
    if (this.#stopped) connection.close();
    for (const conv of this.#outbox.keys()) this.#drain(conv);
    for (const conv of this.known.keys()) void this.#fetch(conv);
    await connection.closed;
  }

  /** The server asks to be asked again, within a time of its choice. */
  async #resync(withinMs: number): Promise<void> {
    const connection = this.#connection;
    await Bun.sleep(Math.random() * withinMs);
    if (connection === null || connection !== this.#connection) return;
    try {
      await this.#sync(connection);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      connection.abandon();
    }
  }

  async #sync(connection: Connection): Promise<void> {
    const { recorder, user, device } = this.setup;
    const positions = [...this.known].map(([conv, { position }]) => [conv, position]);
    const asked = recorder.marksNow();
    const [, rows, next, , pending, resumed] = await connection.ask("sync", [null, positions]);
    if (next !== null) throw new Error("these tests stay within one page of conversations");
    for (const row of rows) this.#takeRow(row);
    for (const row of rows) recorder.readAnswered(device, user, row[0], row[5][0], asked);
    for (const conv of pending) this.#meet(conv).member = true;
    for (const [conv, entries] of resumed) this.#takeEntries(conv, entries);
  }

  #hear(frame: readonly unknown[]): void {
    const [, name, ...args] = frame;
    const { recorder, user, device } = this.setup;
    if (name === "goodbye") this.#comeBackMs = Number(args[1] ?? 0);
    if (name === "resync") void this.#resync(Number(args[0] ?? 0));
    if (name === "entries") this.#takeEntries(args[0] as string, args[1] as readonly EntryTuple[]);
    if (name === "row") this.#takeRow(args[0] as RowTuple);
    if (name === "cursor") {
      const [conv, [seq]] = args as [string, MarkTuple];
      if (this.setup.ignoresLateMarks && seq < this.#meet(conv).cursor) this.lateMarks++;
      else recorder.readPushed(device, user, conv, seq);
      this.#sawCursor(conv, seq);
    }
    if (name === "feed") this.#takeFeed(args[0] as readonly FeedTuple[], args[1] as readonly RowTuple[]);
  }

  #takeFeed(changes: readonly FeedTuple[], rows: readonly RowTuple[]): void {
    for (const [, kind, conv, data] of changes) {
      if (kind === "membership" && (data[0] === "left" || data[0] === "removed")) this.#meet(conv).member = false;
      if (kind === "membership" && data[0] === "added") this.#meet(conv).member = true;
    }
    for (const row of rows) this.#takeRow(row);
  }

  #takeRow(row: RowTuple): void {
    const known = this.#meet(row[0]);
    known.member = true;
    known.head = Math.max(known.head, row[4][0]);
    this.#sawCursor(row[0], row[5][0]);
    void this.#fetch(row[0]);
  }

  #meet(conv: string): Known {
    let known = this.known.get(conv);
    if (known) return known;
    known = { position: 0, head: 0, fetching: false, member: false, entries: [], cursor: 0, joinSeq: 0 };
    this.known.set(conv, known);
    this.setup.recorder.join(this.sess, conv, 1);
    return known;
  }

  #sawCursor(conv: string, seq: number): void {
    const known = this.#meet(conv);
    known.cursor = Math.max(known.cursor, seq);
  }

  #takeEntries(conv: string, entries: readonly EntryTuple[]): void {
    const known = this.#meet(conv);
    known.head = Math.max(known.head, entries.at(-1)?.[0] ?? 0);
    this.#deliverNext(conv, known, entries);
    if (known.position < known.head) void this.#fetch(conv);
  }

  /** Delivers what follows the position; what was delivered, or lies past a gap, is left out. */
  #deliverNext(conv: string, known: Known, entries: readonly EntryTuple[]): void {
    for (const entry of entries) if (entry[0] === known.position + 1) this.#deliver(conv, known, entry);
  }

  #deliver(conv: string, known: Known, entry: EntryTuple): void {
    const [seq, , kind, , , sender, , clientId, , body] = entry;
    known.position = seq;
    known.entries.push(entry);
    if (kind === entryKinds.members) {
      const mine = (body as MembersBody).some(([change, who]) => change === 0 && who === this.setup.user);
      if (mine) known.joinSeq = seq;
    }
    const message = readMessage(entry);
    this.setup.recorder.recv({
      sess: this.sess,
      conv,
      seq,
      cid: message === null ? null : clientId,
      user: sender,
      body: message,
      kind,
    });
  }

  /** Asks for what lies between the position and the head, a page at a time; ends when offline or no member. */
  async #fetch(conv: string): Promise<void> {
    const known = this.#meet(conv);
    if (known.fetching) return;
    known.fetching = true;
    while (known.member && known.position < known.head && this.#connection) {
      const verdict = await this.#fetchPage(conv, known, this.#connection);
      if (verdict === "no more") break;
      if (verdict === "again") await Bun.sleep(retryMs);
    }
    known.fetching = false;
  }

  async #fetchPage(conv: string, known: Known, connection: Connection): Promise<"went on" | "again" | "no more"> {
    try {
      const [entries, head] = await connection.ask("entries", [conv, known.position + 1, 200]);
      known.head = Math.max(known.head, head);
      this.#deliverNext(conv, known, entries);
      return entries.length === 0 ? "no more" : "went on";
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      // Final: membership ended meanwhile, and the feed will say so.
      return error.outcome === "final" ? "no more" : "again";
    }
  }

  #drain(conv: string): void {
    if (this.#sending.has(conv) || !this.#connection) return;
    this.#sending.add(conv);
    void this.#drainQueue(conv).finally(() => this.#sending.delete(conv));
  }

  async #drainQueue(conv: string): Promise<void> {
    const queue = this.#outbox.get(conv) ?? [];
    while (queue.length > 0 && this.#connection && !this.#stopped) {
      const items = queue.slice(0, this.setup.sendItems ?? sendItemsMax);
      try {
        const outcomes = await this.#connection.ask("send", [conv, items.map(({ cid, body }) => [cid, [body]])]);
        this.#settle(conv, queue, items, outcomes);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
      }
      if (queue[0] === items[0]) await Bun.sleep(retryMs);
    }
  }

  /** Takes what was acknowledged, or refused for good, off the queue's front; the rest is sent again. */
  #settle(conv: string, queue: Queued[], items: readonly Queued[], outcomes: readonly unknown[]): void {
    const before = queue.length;
    this.#take(conv, queue, items, outcomes);
    const waiting = this.#waiting.get(conv);
    if (queue.length === before || !waiting || waiting.since === null) return;
    waiting.longestMs = Math.max(waiting.longestMs, performance.now() - waiting.since);
    waiting.since = queue.length > 0 ? performance.now() : null;
  }

  #take(conv: string, queue: Queued[], items: readonly Queued[], outcomes: readonly unknown[]): void {
    for (const [at, outcome] of outcomes.entries()) {
      if (Array.isArray(outcome) && outcome[2] !== "final") return;
      const item = items[at];
      if (!item) return;
      queue.shift();
      if (typeof outcome !== "number") continue;
      this.acknowledged.push({ conv, ...item, seq: outcome });
      this.setup.recorder.ack(this.sess, this.setup.user, conv, item.cid, outcome);
    }
  }
}

/** The text of a message, or null for another kind. */
export function readMessage(entry: EntryTuple): string | null {
  if (entry[2] !== entryKinds.message) return null;
  return String((entry[9] as readonly unknown[])[0]);
}
