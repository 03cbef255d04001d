// A client of the simulated cluster that knows the truth: it judges everything it receives as it comes.
// Entries in the order of the log without a gap, none behind its removal or before its join; feed changes likewise.
import { Session } from "../../src/actors/session";
import { decodeFrames, encode } from "../../src/protocol/codec";
import { frameTypes } from "../../src/protocol/frames";
import type { EntryTuple } from "../../src/protocol/entry";
import type { ConversationId, Seq, UserId } from "../../src/protocol/ids";
import type { FeedTuple, Results, RowTuple } from "../../src/protocol/operations";
import { expectSame } from "./log-fold";
import type { FanOutLine } from "./fanout-line";
import type { ClientHost, Door } from "./fanout-host";

/** How long it waits for an answer before it gives the connection up, milliseconds. */
const patienceMs = 12_000;
/** Before a connection is tried again, at least, milliseconds. */
const againMs = 50;

/** A request under way. */
interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** One device of one person, connected to one node at a time. */
export class FanOutClient {
  readonly user: UserId;
  readonly #world: ClientHost;
  readonly #device: string;
  readonly #resyncs: boolean;
  /** Conversations that it shows on this connection, with the last seq it has of each. */
  readonly shown = new Map<ConversationId, Seq>();
  readonly cursors = new Map<ConversationId, Seq>();
  /** Kept over connections: where it goes on. */
  readonly #positions = new Map<ConversationId, Seq>();
  readonly #waiting = new Map<number, Waiting>();
  userSeq = 0;
  node: Door | null = null;
  synced = false;
  #line: FanOutLine | null = null;
  #session: Session | null = null;
  /** Conversations that the sync under way has named, or that were shown since it began. */
  #named = new Set<ConversationId>();
  #life = 0;
  #nextId = 1;

  constructor(world: ClientHost, user: UserId, device: string, resyncs: boolean) {
    this.#world = world;
    this.user = user;
    this.#device = device;
    this.#resyncs = resyncs;
  }

  /** Connects to any node that is up, signs in and syncs; again and again until it has. */
  connect(): void {
    const node = this.#world.anyNode();
    const life = ++this.#life;
    if (!node) return this.#later(life, 200);
    this.node = node;
    this.synced = false;
    this.shown.clear();
    const closed = (retryMs: number): void => {
      if (life === this.#life) this.#gone(retryMs);
    };
    this.#line = node.line((frame) => this.#take(life, frame), closed);
    const session = new Session(node.world, this.#line);
    this.#line.onPong = (payload) => session.ponged(payload);
    this.#session = session;
    const capabilities = this.#resyncs ? ["resync"] : [];
    this.request("hello", 1, this.user, this.#device, null, capabilities)
      .then(() => this.#sync())
      .catch(() => {
        if (life === this.#life) this.leave();
      });
  }

  /** Goes away without a word, and comes back. */
  leave(): void {
    const line = this.#line;
    this.#session?.closed();
    line?.cut();
  }

  /** Rejects with what the server refuses, or where it does not answer. */
  request(name: string, ...args: readonly unknown[]): Promise<unknown> {
    const session = this.#session;
    if (session === null) return Promise.reject(new Error("not connected"));
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const cancel = this.#world.schedule.clock.after(patienceMs, () => {
      reject(new Error(`${name}: no answer`));
      this.leave();
    });
    this.#waiting.set(id, { resolve, reject });
    session.receive(encode([frameTypes.request, id, name, args]));
    return promise.finally(cancel);
  }

  /** What a complete answer does not name is gone: the person was removed while nobody could tell this client. */
  async #sync(): Promise<void> {
    const life = this.#life;
    this.#named = new Set();
    for (let after: ConversationId | null = null; ; ) {
      const positions = after === null ? [...this.#positions] : [];
      const answer = (await this.request("sync", after, positions)) as Results["sync"];
      if (life !== this.#life) return;
      for (const conversation of answer[4]) this.#named.add(conversation);
      after = answer[2];
      if (after === null) break;
    }
    for (const conversation of [...this.shown.keys()])
      if (!this.#named.has(conversation)) this.shown.delete(conversation);
    this.synced = true;
  }

  #take(life: number, bytes: Uint8Array): void {
    if (life !== this.#life) return;
    try {
      for (const frame of decodeFrames(bytes)) this.#frame(frame);
    } catch (error) {
      this.#world.broke(error);
    }
  }

  #frame([type, id, content, ...rest]: readonly unknown[]): void {
    if (type === frameTypes.push) return this.#push(id as string, [content, ...rest]);
    const waiting = this.#waiting.get(id as number);
    if (!waiting) return;
    this.#waiting.delete(id as number);
    if (type === frameTypes.error) return waiting.reject(new Error(String((content as unknown[])[0])));
    // Rows count from this moment: what is published next follows them.
    if (isSync(content)) this.#rows(content);
    waiting.resolve(content);
  }

  #rows([userSeq, rows, , , , resumed]: Results["sync"]): void {
    this.userSeq = Math.max(this.userSeq, userSeq);
    for (const row of rows) this.#row(row);
    for (const [conversation, entries] of resumed) {
      const log = this.#world.data.logs.of(conversation);
      for (const entry of entries) expectSame(`${this.name}: resumed`, entry, log.entry(entry[0]));
    }
  }

  #row([conversation, , , , head, cursor]: RowTuple): void {
    this.#world.schedule.trace(() => `${this.name} is shown ${conversation} at ${head[0]}`);
    this.#named.add(conversation);
    this.shown.set(conversation, Math.max(head[0], this.shown.get(conversation) ?? 0));
    this.#positions.set(conversation, head[0]);
    this.cursors.set(conversation, Math.max(cursor[0], this.cursors.get(conversation) ?? 0));
  }

  #push(name: string, args: readonly unknown[]): void {
    if (name === "entries") for (const entry of args[1] as EntryTuple[]) this.#entry(args[0] as ConversationId, entry);
    if (name === "row") this.#row(args[0] as RowTuple);
    if (name === "feed") this.#feed(args[0] as FeedTuple[], args[1] as RowTuple[]);
    if (name === "cursor") {
      const [conversation, [seq]] = args as [ConversationId, [Seq]];
      this.cursors.set(conversation, Math.max(seq, this.cursors.get(conversation) ?? 0));
    }
    if (name === "resync") {
      const life = this.#life;
      const { clock, random } = this.#world.schedule;
      clock.after(random.int(args[0] as number), () => {
        if (life === this.#life) void this.#sync().catch(() => this.leave());
      });
    }
  }

  #entry(conversation: ConversationId, entry: EntryTuple): void {
    const [seq] = entry;
    const log = this.#world.data.logs.of(conversation);
    const what = `${this.name} receives ${seq} of ${conversation}`;
    expectSame(what, entry, log.entry(seq));
    const last = this.shown.get(conversation);
    if (last === undefined) {
      // Its last frame names its own removal, and may come after the feed said so.
      if (!log.isMemberAt(this.user, seq) && !log.isMemberAt(this.user, seq - 1)) throw new Error(`${what}: no member`);
      return;
    }
    if (seq <= last) return;
    if (!log.isMemberAt(this.user, seq) && !log.isMemberAt(this.user, seq - 1))
      throw new Error(`${what}: no member then`);
    if (seq !== last + 1) throw new Error(`${what} after ${last}`);
    this.shown.set(conversation, seq);
    this.#positions.set(conversation, seq);
    this.#world.received++;
  }

  #feed(changes: readonly FeedTuple[], rows: readonly RowTuple[]): void {
    for (const [userSeq, kind, subject, data] of changes) {
      if (userSeq > this.userSeq + 1) throw new Error(`${this.name}: change ${userSeq} after ${this.userSeq}`);
      if (userSeq <= this.userSeq) continue;
      this.userSeq = userSeq;
      if (kind !== "membership" || (data[0] !== "left" && data[0] !== "removed")) continue;
      this.shown.delete(subject as ConversationId);
      this.#positions.delete(subject as ConversationId);
    }
    for (const row of rows) this.#row(row);
  }

  #gone(retryMs: number): void {
    this.#life++;
    this.#session?.closed();
    this.#session = null;
    this.#line = null;
    this.node = null;
    this.synced = false;
    for (const { reject } of this.#waiting.values()) reject(new Error("the connection is gone"));
    this.#waiting.clear();
    this.#later(this.#life, retryMs);
  }

  #later(life: number, retryMs: number): void {
    this.#world.schedule.clock.after(Math.max(againMs, retryMs), () => {
      if (life === this.#life) this.connect();
    });
  }

  get name(): string {
    return `${this.user}/${this.#device}`;
  }
}

function isSync(content: unknown): content is Results["sync"] {
  return (
    Array.isArray(content) &&
    content.length >= 6 &&
    typeof content[0] === "number" &&
    Array.isArray(content[1]) &&
    Array.isArray(content[5])
  );
}
