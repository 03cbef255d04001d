// One conversation as this client knows it: facts, position, messages, what is under way. Owned by Directory.
// Everything that arrives about it comes through here, from pushes, sync, pages and acknowledgements alike.
import type { EntryTuple, MessageBody } from "../protocol/entry";
import type { ClientId, ConversationId, Seq, UserId } from "../protocol/ids";
import type { MarkTuple, Results, RowTuple } from "../protocol/operations";
import { Delivery } from "./delivery";
import type { How } from "./delivery";
import { Ephemera } from "./ephemera";
import { Facts } from "./facts";
import { mentions, ownMessage } from "./message";
import { MessageWindow } from "./message-window";
import { Derived } from "./observable";
import type { ConversationWorld } from "./conversation-world";
import type { ClientEvents, ConversationRow, ConversationState, Message } from "./types";

/** What the cache keeps of a conversation: position and messages belong together. */
export interface CachedConversation {
  readonly row: RowTuple;
  readonly lastSeq: Seq;
  readonly first: Seq;
  readonly page: Results["history"][0];
}

interface Acked {
  readonly seq: Seq;
  readonly body: MessageBody;
  readonly time: number;
}

/** A push `counter`, without its conversation. */
export type Counter = readonly [seq: Seq, ordinal: number, time: number, entry?: EntryTuple | null];

/** Acknowledged messages kept until their entry arrives. */
const ackedMax = 1_000;
/** Counters kept that outran their row: it follows within the same bytes of the socket. */
const earlyCountersMax = 1_000;

/** The state of one conversation. Everything here is synchronous; what must be asked for is asked for by its owners. */
export class Conversation {
  readonly id: ConversationId;
  readonly state: Derived<ConversationState>;
  readonly ephemera: Ephemera;
  readonly #world: ConversationWorld;
  readonly #delivery: Delivery;
  readonly #window = new MessageWindow();
  readonly #acked = new Map<ClientId, Acked>();
  #facts: Facts | null = null;
  #membership: ConversationState["membership"] = "unknown";
  #pending = true;
  #row: ConversationRow | null = null;
  #loading = false;
  /** Whether the server pushes counters of it instead of entries while it is not open, and whether it is. */
  #large = false;
  #open = false;
  /** Counters that came before this connection's first row of it; null once that is here. */
  #early: Counter[] | null = [];
  /** Counts resets of the window: a page asked for before one is not put into it. */
  #windowLife = 0;

  constructor(id: ConversationId, world: ConversationWorld) {
    this.id = id;
    this.#world = world;
    this.#delivery = new Delivery((entry, how) => this.#delivered(entry, how));
    this.ephemera = new Ephemera(world.clock, () => this.state.invalidate());
    this.state = new Derived(
      world.ticker,
      () => this.#compute(),
      (isWatched) => world.watched(id, isWatched),
    );
  }

  get isMember(): boolean {
    return this.#membership === "member";
  }

  get lastSeq(): Seq | null {
    return this.#delivery.lastSeq;
  }

  /** Entries that are to be fetched: none of a large conversation that is not open. */
  get missing(): number {
    return this.isMember && (this.#open || !this.#large) ? this.#delivery.missing : 0;
  }

  get headSeq(): Seq {
    return Math.max(this.#facts?.headSeq ?? 0, this.#delivery.lastSeq ?? 0);
  }

  get cursorSeq(): Seq {
    return this.#facts?.cursorSeq ?? 0;
  }

  get memberCount(): number {
    return this.#facts?.memberCount ?? 0;
  }

  get first(): Seq {
    return this.#window.first;
  }

  get windowLife(): number {
    return this.#windowLife;
  }

  /** Messages held. */
  get count(): number {
    return this.#window.count;
  }

  get hasBefore(): boolean {
    return this.lastSeq !== null && this.#facts !== null && this.#window.first > Math.max(1, this.#facts.floor);
  }

  /** As a list shows it; null for what is not a conversation of mine. */
  get row(): ConversationRow | null {
    if (!this.isMember || !this.#facts) return null;
    this.#row ??= this.#facts.toRow(this.id, this.#world.overlay(this.id), this.#pending);
    return this.#row;
  }

  /** The stored unread, without what is queued. */
  get unread(): number {
    return this.#facts?.unread() ?? 0;
  }

  /**
   * The row as the server has it now.
   * @param asked the position when it was asked for; ahead of the head it told, the log is another one
   * @param large whether counters are pushed of it while it is not open; null where the row does not tell
   */
  applyRow(row: RowTuple, asked: Seq | null, first: "fresh" | "later", large: boolean | null = null): void {
    const [, , [, [join], floor], , [head]] = row;
    const last = this.#delivery.lastSeq;
    const another = asked !== null && asked > head;
    const cursorBefore = this.cursorSeq;
    if (another) {
      this.#delivery.reset();
      this.#acked.clear();
    }
    if (this.#facts && !another) this.#facts.apply(row);
    else if (this.#facts) this.#facts.replace(row);
    else this.#facts = new Facts(row);
    this.#membership = "member";
    this.#pending = false;
    this.#large = large ?? this.#large;
    const early = this.#early ?? [];
    this.#early = null;
    for (const counter of early) this.#applyCounter(counter);
    this.#place(last, { another, head, floor, join, first });
    this.#delivery.note(head);
    if (this.cursorSeq !== cursorBefore || first === "fresh") this.#emitCursor();
    this.#world.stored(this.id);
    this.changed();
  }

  /** Entries of a push, of sync or of a page of them. */
  offer(entries: readonly EntryTuple[], how: How): void {
    this.#delivery.offer(entries, how);
    this.#window.trim(this.state.isWatched);
    if (!this.#large || how === "fetched") return;
    // Some may have to wait for what was not pushed; that they are there is known now, and no counter will tell it.
    for (const entry of entries) this.#take([entry[0], entry[1], entry[4], entry]);
    this.changed();
  }

  /** Where it stands while it is large and not open: numbers only, the position stays. */
  counted(counter: Counter): void {
    this.#take(counter);
    this.#world.stored(this.id);
    this.changed();
    const [seq, , , entry] = counter;
    if (!entry || seq <= (this.lastSeq ?? 0) || !mentions(entry, this.#world.me())) return;
    this.#world.events.emit("mention", { conversation: this.id, entry });
  }

  /** Whether the server pushes its entries, large or not: from then on, what lies before them is missing. */
  setOpen(open: boolean): void {
    this.#open = open;
    if (open) this.note(this.headSeq);
  }

  /** The connection is gone: of the next one, it is not open, and counters go with its row. */
  disconnect(): void {
    this.#open = false;
    this.#early = [];
  }

  /** `seq` exists: an acknowledgement said so. */
  note(seq: Seq): void {
    this.#delivery.note(seq);
  }

  /** What lies below `floor` is not mine: delivery goes on from there. */
  raiseFloor(floor: Seq): void {
    if (this.#delivery.lastSeq !== null && this.#delivery.lastSeq < floor - 1) this.#start(floor - 1, "floor");
  }

  /** An older page, asked for in the window's life `life`. */
  addPage([page, hasBefore, , first, , floor]: Results["history"], life: number): void {
    if (life !== this.#windowLife) return;
    for (const [entry] of page) this.#settle(entry);
    this.#window.prepend(page, hasBefore ? first : Math.max(1, floor), this.#world.me());
    this.#world.stored(this.id);
    this.state.invalidate();
  }

  setLoading(loading: boolean): void {
    this.#loading = loading;
    this.state.invalidate();
  }

  applyCursor(mark: MarkTuple): void {
    if (!this.#facts?.applyCursor(mark)) return;
    this.#emitCursor();
    this.#world.stored(this.id);
    this.changed();
  }

  /** Gives the facts to `change`, where there are any, and shows what came of it. */
  applyFacts(change: (facts: Facts) => void): void {
    if (!this.#facts) return;
    change(this.#facts);
    this.#world.stored(this.id);
    this.changed();
  }

  /** A message of mine was stored at `seq`; its entry may come before or after this. */
  acked(clientId: ClientId, seq: Seq, body: MessageBody, time: number): void {
    const last = this.#delivery.lastSeq;
    if (last !== null && seq <= last) return;
    if (this.#acked.size >= ackedMax) this.#acked.delete(this.#acked.keys().next().value as ClientId);
    this.#acked.set(clientId, { seq, body, time });
    this.note(seq);
    this.state.invalidate();
  }

  /** The membership ended. What is shown stays until the view is gone. */
  leave(): void {
    if (this.#membership !== "member") return;
    this.#membership = "left";
    this.#early = [];
    this.ephemera.clear();
    this.#world.removed(this.id);
    this.changed();
  }

  /** The server has yet to say how it stands. */
  setPending(): void {
    this.#pending = true;
    this.changed();
  }

  /** Another generation: entries and positions are void until the next row. */
  reset(): void {
    this.#delivery.reset();
    this.#clearWindow(1);
    this.#acked.clear();
    this.#facts = null;
    this.#membership = "unknown";
    this.#large = false;
    this.#early = [];
    this.ephemera.clear();
    this.changed();
  }

  /** Starts from what a cache kept. */
  restore(cached: CachedConversation): void {
    this.#facts = new Facts(cached.row);
    this.#membership = "member";
    this.#clearWindow(cached.lastSeq + 1);
    this.#window.prepend(cached.page, cached.first, this.#world.me());
    this.#delivery.start(cached.lastSeq);
    this.#world.events.emit("start", { conversation: this.id, from: cached.lastSeq + 1, why: "cached" });
    this.changed();
  }

  /** What the cache keeps; undefined for nothing. */
  toCache(): CachedConversation | undefined {
    const lastSeq = this.#delivery.lastSeq;
    if (!this.isMember || !this.#facts || lastSeq === null) return undefined;
    return { row: this.#facts.toTuple(this.id), lastSeq, ...this.#window.lastPage() };
  }

  /** Its row or state is to be shown anew. */
  changed(): void {
    this.#row = null;
    this.state.invalidate();
    this.#world.rowChanged();
  }

  /** Where delivery begins or goes on, now that the server told head and floor. */
  #place(
    last: Seq | null,
    told: { another: boolean; head: Seq; floor: Seq; join: Seq; first: "fresh" | "later" },
  ): void {
    const { another, head, floor, join, first } = told;
    const tooFar = (from: Seq): boolean => head - from > this.#world.resumeEntriesMax;
    if (another) return this.#start(head, "reset");
    if (last === null && first === "fresh") return this.#start(head, "new");
    if (last === null) {
      const from = Math.max(join, floor) - 1;
      return tooFar(from) ? this.#start(head, "tooFar") : this.#start(from, "joined");
    }
    const from = Math.max(last, floor - 1);
    if (tooFar(from)) this.#start(head, "tooFar");
    else if (from !== last) this.#start(from, "floor");
  }

  #start(seq: Seq, why: ClientEvents["start"]["why"]): void {
    this.#clearWindow(seq + 1);
    for (const [clientId, { seq: acked }] of this.#acked) if (acked <= seq) this.#acked.delete(clientId);
    this.#world.events.emit("start", { conversation: this.id, from: seq + 1, why });
    this.#delivery.start(seq);
  }

  #take(counter: Counter): void {
    if (this.#early === null) this.#applyCounter(counter);
    else if (this.#early.length < earlyCountersMax) this.#early.push(counter);
  }

  #applyCounter([seq, ordinal, time, entry]: Counter): void {
    this.#facts?.applyCounter(seq, ordinal, time, entry ?? null, this.#world.me());
  }

  #clearWindow(first: Seq): void {
    this.#windowLife++;
    this.#window.reset(first);
  }

  #delivered(entry: EntryTuple, how: How): void {
    this.#window.append(entry, this.#world.me());
    this.#facts?.applyEntry(entry, this.#world.me());
    this.#settle(entry);
    this.ephemera.stopTyping(entry[5]);
    this.#world.stored(this.id);
    this.changed();
    this.#world.events.emit("entry", { conversation: this.id, entry, how });
  }

  /** An entry of mine proves that its operation is done. */
  #settle(entry: EntryTuple): void {
    const clientId = entry[7];
    if (clientId == null || entry[5] !== this.#world.me()) return;
    this.#acked.delete(clientId);
    this.#world.confirm(this.id, clientId, entry[0]);
  }

  #emitCursor(): void {
    this.#world.events.emit("cursor", { conversation: this.id, seq: this.cursorSeq, unread: this.unread });
  }

  #compute(): ConversationState {
    return {
      id: this.id,
      membership: this.#membership,
      row: this.row,
      messages: this.#messages(),
      hasBefore: this.hasBefore,
      loading: this.#loading,
      cursors: this.ephemera.cursors,
      readCount: this.ephemera.readCount,
      typing: this.ephemera.typing,
    };
  }

  /** Acknowledged by seq, then pending in local order; never by clock. */
  #messages(): readonly Message[] {
    const me: UserId | null = this.#world.me();
    const acked = [...this.#acked]
      .sort(([, a], [, b]) => a.seq - b.seq)
      .map(([clientId, { seq, body, time }]) => ownMessage(clientId, body, me, time, seq, null));
    return [...this.#window.messages, ...acked, ...this.#world.pendingMessages(this.id)];
  }
}
