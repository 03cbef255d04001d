// Learning what was missed: the whole list of conversations, in pages, with the entries behind each known position.
// Then the feed goes on by pushes; a gap in it is a reason to sync again (G6). Owned by the client.
import type { ConversationId, Seq, UserSeq } from "../protocol/ids";
import { limits } from "../protocol/limits";
import type { Pushes } from "../protocol/frames";
import type { FeedTuple, Results, RowTuple } from "../protocol/operations";
import { Backoff } from "./backoff";
import type { ClientClock } from "./clock";
import type { Conversation } from "./conversation";
import type { Directory } from "./directory";
import { toClientError } from "./errors";
import type { Events } from "./events";
import { isRole } from "./facts";

/** What sync needs of the client. */
export interface SyncSetup {
  readonly clock: ClientClock;
  readonly random: () => number;
  readonly directory: Directory;
  readonly events: Events;
  ask<N extends "sync" | "get">(operation: N, args: readonly unknown[]): Promise<Results[N]>;
  /** The log of this conversation is another one than was known. */
  onReset(conversation: ConversationId): void;
  /** A row was applied: the conversation may have a gap, or somebody waits for its messages. */
  onRow(conversation: Conversation): void;
  /** Everything missed is known. */
  onSynced(): void;
}

/** Feed pushes kept while a sync runs; past it another sync follows. */
const heldMax = 1_000;
/** The longest while within which a sync is put off, milliseconds. */
const soonMaxMs = 60_000;

type FeedPush = Pushes["feed"];

/** What came with a row. */
interface Told {
  readonly missed?: Results["entries"][0];
  readonly fresh?: boolean;
  /** Whether the conversation is large; null where it was not told. */
  readonly large?: boolean | null;
}

/** Learns what was missed whenever a connection came up, and follows the feed from there. */
export class Sync {
  readonly #setup: SyncSetup;
  readonly #backoff: Backoff;
  /** Of the connection's life that a run belongs to; null while there is none. */
  #life: object | null = null;
  #running = false;
  #again = false;
  #userSeq: UserSeq = 0;
  #held: FeedPush[] = [];
  /** Whether this client has seen the server's list before: then what is new in it, I was added to. */
  #fresh = true;
  /** Rows that are to be pushed, and whether anything was known of their person before. */
  readonly #pending = new Map<ConversationId, boolean>();
  #cancelRetry = () => {};
  /** Of the sync that was asked for within a while; null while there is none. */
  #cancelSoon: (() => void) | null = null;

  constructor(setup: SyncSetup) {
    this.#setup = setup;
    this.#backoff = new Backoff(setup.random, 200, 10_000);
  }

  get isRunning(): boolean {
    return this.#running;
  }

  /** A connection came up. `fresh`: nothing is known of this person. */
  begin(fresh: boolean): void {
    this.#life = {};
    this.#fresh = fresh;
    this.#again = false;
    this.#running = true;
    void this.#run(this.#life);
  }

  /** The connection is gone. */
  end(): void {
    this.#life = null;
    this.#running = false;
    this.#held = [];
    this.#cancelRetry();
    this.#cancelSoon?.();
    this.#cancelSoon = null;
  }

  /** Something was missed: sync once more. */
  again(): void {
    if (!this.#life) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    void this.#run(this.#life);
  }

  /** Something may have been missed, by many at once: sync once more, at a random moment within `ms`. */
  within(ms: number): void {
    if (!this.#life || this.#cancelSoon) return;
    const wait = Math.floor(this.#setup.random() * Math.min(ms, soonMaxMs));
    this.#cancelSoon = this.#setup.clock.after(wait, () => {
      this.#cancelSoon = null;
      this.again();
    });
  }

  /** A push of my feed. */
  feed(...push: FeedPush): void {
    if (this.#running) {
      if (this.#held.length < heldMax) this.#held.push(push);
      else this.#again = true;
      return;
    }
    const [changes, rows, large] = push;
    const byId = new Map(rows.map((row) => [row[0], row]));
    for (const change of changes) {
      if (change[0] <= this.#userSeq) continue;
      if (change[0] > this.#userSeq + 1) return this.again();
      this.#userSeq = change[0];
      const subject = change[2] as ConversationId;
      this.#apply(change, byId.get(subject) ?? null, large?.includes(subject) ?? false);
    }
  }

  /** A row that sync could not tell. */
  row([row, , large]: Pushes["row"]): void {
    const fresh = this.#pending.get(row[0]) ?? this.#fresh;
    this.#pending.delete(row[0]);
    this.#applyRow(row, null, { fresh, large: large ?? false });
  }

  /** Asks for one row anew. */
  async refresh(id: ConversationId): Promise<void> {
    try {
      this.#applyRow(await this.#setup.ask("get", [id]), null);
    } catch (thrown) {
      if (toClientError(thrown).code === "no_access") this.#setup.directory.find(id)?.leave();
      else this.#setup.events.report(thrown);
    }
  }

  async #run(life: object): Promise<void> {
    try {
      await this.#pages(life);
      if (life !== this.#life) return;
      this.#backoff.reset();
      this.#running = false;
      this.#fresh = false;
      this.#setup.directory.tell(null);
      this.#setup.onSynced();
      for (const push of this.#held.splice(0)) this.feed(...push);
      if (this.#again) {
        this.#again = false;
        this.again();
      }
    } catch (thrown) {
      if (life !== this.#life) return;
      const error = toClientError(thrown);
      this.#setup.events.report(error);
      this.#cancelRetry = this.#setup.clock.after(
        this.#backoff.next(error.retryAfterMs ?? 0),
        () => void this.#run(life),
      );
    }
  }

  async #pages(life: object): Promise<void> {
    const { directory } = this.#setup;
    const known = directory.members();
    const positions = known
      .map(({ id, lastSeq }) => [id, lastSeq] as const)
      .filter((position): position is readonly [ConversationId, Seq] => position[1] !== null)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    const seen = new Set<ConversationId>();
    this.#pending.clear();
    let after: ConversationId | null = null;
    do {
      const from: ConversationId | null = after;
      const asked = positions.filter(([id]) => from === null || id > from).slice(0, limits.syncPageMax);
      const page: Results["sync"] = await this.#setup.ask("sync", [from, asked]);
      if (life !== this.#life) return;
      if (from === null) this.#first(page);
      this.#page(page, new Map(positions), seen);
      after = page[2];
      // A faulty server must not keep us turning in a circle.
      if (after !== null && from !== null && after <= from) after = null;
    } while (after !== null);
    for (const conversation of known) if (!seen.has(conversation.id)) conversation.leave();
  }

  #first([userSeq, , , totals]: Results["sync"]): void {
    this.#userSeq = userSeq;
    if (this.#fresh && totals) this.#setup.directory.tell({ unread: totals[0], mutedUnread: totals[1] });
  }

  #page(
    [, rows, , , pending, resumed, large]: Results["sync"],
    asked: ReadonlyMap<ConversationId, Seq>,
    seen: Set<ConversationId>,
  ): void {
    const { directory } = this.#setup;
    const missedOf = new Map(resumed);
    const largeOnes = new Set(large);
    for (const id of pending) {
      seen.add(id);
      this.#pending.set(id, this.#fresh);
      directory.find(id)?.setPending();
    }
    for (const row of rows) {
      seen.add(row[0]);
      const missed = missedOf.get(row[0]) ?? [];
      this.#applyRow(row, asked.get(row[0]) ?? null, { missed, large: largeOnes.has(row[0]) });
    }
  }

  #applyRow(row: RowTuple, asked: Seq | null, { missed = [], fresh = this.#fresh, large = null }: Told = {}): void {
    const { directory, onReset, onRow } = this.#setup;
    const conversation = directory.get(row[0]);
    if (asked !== null && asked > row[4][0]) onReset(row[0]);
    // Missed entries first: a gap that they close is none.
    if (missed.length > 0 && conversation.lastSeq !== null) conversation.offer(missed, "fetched");
    conversation.applyRow(row, asked, fresh ? "fresh" : "later", large);
    onRow(conversation);
  }

  #apply([userSeq, kind, subject, data]: FeedTuple, row: RowTuple | null, large: boolean): void {
    const { directory, events } = this.#setup;
    events.emit("feed", { userSeq, kind, subject, data });
    const conversation = directory.find(subject as ConversationId);
    if (kind === "settings" && conversation) {
      const [muted, markedUnread] = data;
      if (typeof muted === "boolean" && typeof markedUnread === "boolean")
        conversation.applyFacts((facts) => facts.applySettings(userSeq, { muted, markedUnread }));
    }
    if (kind !== "membership") return;
    const [change, , role] = data;
    if (change === "added") {
      if (row) this.#applyRow(row, null, { large });
      else void this.refresh(subject as ConversationId);
    }
    if (change === "left" || change === "removed") conversation?.leave();
    if (change === "role" && isRole(role)) conversation?.applyFacts((facts) => facts.applyRole(role));
  }
}
