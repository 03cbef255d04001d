// One conversation under load: its members' connections, its senders, and what they count. Owned by rooms-load.ts.
import { frameTypes } from "../src/protocol/frames";
import type { Histogram } from "./histogram";
import { nowUs, peekSeq, SendTemplate } from "./messages";
import type { Batch } from "./messages";
import { deaf, Person } from "./person";
import type { Load, Target } from "./plan";

/** What all rooms of a run count together. */
export interface Tally {
  acked: number;
  delivered: number;
  faults: number;
  readonly ackTimes: Histogram;
  readonly deliveryTimes: Histogram;
}

/** Batches that a room remembers, so that only the first of its members decodes one. */
const rememberedMax = 512;

/** A conversation and its members, all connected. */
export class Room {
  readonly members: Member[] = [];
  conversation = "";
  readonly #batches = new Map<number, Batch>();
  readonly #tally: Tally;

  constructor(tally: Tally) {
    this.#tally = tally;
  }

  /**
   * Connects `users`, makes a group of them, and waits until each of them receives it.
   * @param turn in a cluster: at which of its nodes the first of them is; each of the others is at the next one
   */
  async open(target: Target, users: readonly string[], clientId: string, turn = 0): Promise<void> {
    if (target.raw) this.conversation = `g${clientId.padEnd(22, "_").slice(0, 22)}`;
    for (const [at, user] of users.entries()) {
      const member = new Member(this, this.#tally);
      const query = target.raw ? `?room=${this.conversation}` : "";
      member.person = await Person.connect(nodeOf(target, turn + at), user, member, query);
      this.members.push(member);
    }
    if (target.raw) return;
    const first = this.members[0]!.person;
    const [conversation] = await first.ask("create", ["group", clientId, { name: clientId }, users.slice(1)]);
    this.conversation = conversation;
    for (const member of this.members) member.lastSeq = await positionOf(member.person, conversation);
  }

  /** Connects `users`, who are members of a conversation that exists, and begins to receive it. */
  async enter(target: Target, users: readonly string[], conversation: string): Promise<void> {
    this.conversation = conversation;
    for (const user of users) {
      const member = new Member(this, this.#tally);
      member.person = await Person.connect(target, user, member);
      member.lastSeq = await positionOf(member.person, conversation);
      this.members.push(member);
    }
  }

  /** The batch that begins at `first`, where some member decoded it already. */
  recall(first: number, bytes: number): Batch | null {
    const batch = this.#batches.get(first);
    return batch && batch.bytes === bytes ? batch : null;
  }

  remember(batch: Batch): void {
    this.#batches.set(batch.first, batch);
    if (this.#batches.size <= rememberedMax) return;
    for (const key of this.#batches.keys()) {
      this.#batches.delete(key);
      return;
    }
  }
}

/** One node of a cluster, by turns; a target that is one server is itself. */
export function nodeOf(target: Target, turn: number): Target {
  const { nodes } = target;
  return nodes ? { ...target, ...nodes[turn % nodes.length] } : target;
}

/** The head that a member stands at; asked again until the membership has reached the member's feed. */
export async function positionOf(person: Person, conversation: string): Promise<number> {
  for (;;) {
    const [, rows] = await person.ask("sync", [null, []]);
    const row = rows.find(([id]) => id === conversation);
    if (row) return row[4][0];
    await Bun.sleep(2);
  }
}

/** One member's connection: counts what is delivered, and sends when told to. */
export class Member {
  person!: Person;
  lastSeq = 0;
  readonly #room: Room;
  readonly #tally: Tally;
  #sender: Sender | null = null;

  constructor(room: Room, tally: Tally) {
    this.#room = room;
    this.#tally = tally;
  }

  skip(bytes: Uint8Array, at: number, length: number): boolean {
    const first = peekSeq(bytes, at);
    if (first === null) return false;
    const batch = this.#room.recall(first, length);
    if (!batch) return false;
    this.#count(batch);
    return true;
  }

  onBatch(batch: Batch): void {
    this.#room.remember(batch);
    this.#count(batch);
  }

  onFault(what: string): void {
    this.#tally.faults++;
    deaf.onFault(what);
  }

  /** Starts to send; `stop` of the answer resolves once nothing is in flight. */
  startSending(load: Load, tag: string, target: Target, ratePerSecond: number | null): Sender {
    const template = new SendTemplate(this.#room.conversation, tag, load.batch);
    this.#sender = new Sender(this.person, template, load, this.#tally, target.raw, ratePerSecond);
    return this.#sender;
  }

  #count(batch: Batch): void {
    if (batch.first !== this.lastSeq + 1) this.onFault(`received ${batch.first} after ${this.lastSeq}`);
    this.lastSeq = batch.first + batch.count - 1;
    this.#tally.delivered += batch.count;
    this.#tally.deliveryTimes.add(nowUs() - batch.oldestUs, batch.count);
    this.#sender?.delivered(batch.count);
  }
}

/** Sends batch after batch: the next one when the last is answered (raw: when as much came back as was sent). */
export class Sender {
  readonly #person: Person;
  readonly #template: SendTemplate;
  readonly #load: Load;
  readonly #tally: Tally;
  readonly #raw: boolean;
  /** Microseconds between messages that are due at a rate; null: as fast as answers come. */
  readonly #everyUs: number | null;
  #dueUs = 0;
  #running = false;
  #inFlight = false;
  #awaited = 0;
  #idle = Promise.withResolvers<void>();

  constructor(person: Person, template: SendTemplate, load: Load, tally: Tally, raw: boolean, rate: number | null) {
    this.#person = person;
    this.#template = template;
    this.#load = load;
    this.#tally = tally;
    this.#raw = raw;
    this.#everyUs = rate === null ? null : 1_000_000 / rate;
  }

  start(): void {
    this.#running = true;
    // Senders of a rate begin anywhere in their interval, or all would be due in the same instant.
    this.#dueUs = nowUs() + Math.random() * (this.#everyUs ?? 0);
    this.tick();
  }

  /** Sends what is due; called by a clock where there is a rate, after every answer otherwise. */
  tick(): void {
    if (!this.#running || this.#inFlight) return;
    if (this.#everyUs === null) {
      this.#fire(this.#load.batch, nowUs(), 0);
      return;
    }
    const due = Math.min(this.#load.batch, Math.floor((nowUs() - this.#dueUs) / this.#everyUs) + 1);
    if (due < 1) return;
    this.#fire(due, this.#dueUs, this.#everyUs);
    this.#dueUs += due * this.#everyUs;
  }

  /** Resolves once nothing is unanswered. Of the raw server nothing is: what is on its way is waited for by its receivers. */
  async stop(): Promise<void> {
    this.#running = false;
    if (this.#inFlight && !this.#raw) await this.#idle.promise;
  }

  /** Entries reached the sender's own connection: what the raw server answers with. */
  delivered(count: number): void {
    if (!this.#raw || !this.#inFlight) return;
    this.#awaited -= count;
    if (this.#awaited > 0) return;
    this.#answered();
  }

  #fire(items: number, firstUs: number, everyUs: number): void {
    this.#inFlight = true;
    this.#awaited += items * this.#load.senders;
    const sentUs = (item: number): number => Math.round(firstUs + item * everyUs);
    if (this.#raw) {
      // The raw server knows no batches: a frame a message, both ways.
      for (let item = 0; item < items; item++) {
        this.#person.sendEncoded((id) => this.#template.fill(id, 1, () => sentUs(item)), null);
      }
      return;
    }
    const onAnswer = (frame: readonly unknown[]): void => this.#count(frame, items, sentUs);
    this.#person.sendEncoded((id) => this.#template.fill(id, items, sentUs), onAnswer);
  }

  #count(frame: readonly unknown[], items: number, sentUs: (item: number) => number): void {
    const outcomes = frame[0] === frameTypes.reply ? (frame[2] as readonly unknown[]) : [];
    const stored = outcomes.filter((outcome) => typeof outcome === "number").length;
    if (stored < items) {
      this.#tally.faults += items - stored;
      deaf.onFault(`not stored: ${JSON.stringify(outcomes.find((outcome) => typeof outcome !== "number") ?? frame)}`);
    }
    this.#tally.acked += stored;
    const now = nowUs();
    if (this.#everyUs === null) this.#tally.ackTimes.add(now - sentUs(0), stored);
    else for (let item = 0; item < stored; item++) this.#tally.ackTimes.add(now - sentUs(item));
    this.#answered();
  }

  #answered(): void {
    this.#inFlight = false;
    if (!this.#running) this.#idle.resolve();
    else if (this.#load.pauseMs !== undefined) setTimeout(() => this.tick(), this.#load.pauseMs);
    else this.tick();
  }
}
