// The gateway of a node in a cluster: what actors here say reaches the sessions of this node directly, those of others by links.
// Made by the composition; alone, a node has the hub in its place. Order comes from seqs, never from a link (G3, G6, G12).
import type { Clock } from "../lib/clock";
import type { ConversationId, Epoch, Seq, UserId } from "../protocol/ids";
import type { FeedTuple } from "../protocol/operations";
import type { Bus } from "./bus";
import type { EntrySpan, Gateway } from "./gateway";
import { EntriesHere } from "./interest-entries";
import { FeedsHere } from "./interest-feeds";
import { InterestHere } from "./interest-here";
import type { InterestHereOptions } from "./interest-here";
import type { LocalStanding } from "./interest-looks";
import type {
  InterestMeter,
  InterestStore,
  InterestView,
  OwnedView,
  PartitionEvents,
  Peek,
  SessionsHere,
} from "./interest";
import { InterestOwner } from "./interest-owner";
import { Registrar } from "./interest-registrar";
import type { RegistrarOptions } from "./interest-registrar";
import { InterestTable } from "./interest-table";
import type { PartitionHere } from "./interest-table";
import { YoungItems } from "./interest-young";
import { answersOut, conversationIn, conversationsIn, looksIn } from "./interest-wire";
import type { LookAnswer } from "./interest-wire";
import { arrayOf, bytesOf, integerOf, textOf } from "./node-data";
import { NodeLinks } from "./node-links";
import type { Item } from "./node-links";
import type { Incarnation } from "./placement-shares";

/** What it is made of. */
export interface ClusterGatewayOptions {
  readonly self: Incarnation;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly store: InterestStore;
  readonly meter: InterestMeter;
  readonly sessions: SessionsHere;
  readonly owned: OwnedView;
  /** Whoever waits for a partition's owner is told that one listens. */
  readonly served?: RegistrarOptions["served"];
  /** Activations of this node. */
  readonly peek: Peek;
  /** Who else hears that something another node sent may be missing, or that it is gone. */
  readonly news?: { gap(from: Incarnation): void; nodeGone(node: Incarnation): void };
  /** How conversations of this node stand: a RowSource of this node's router. */
  readonly local: LocalStanding;
}

/** Items on links, by their kind. A later release adds kinds; what is not known is ignored. */
const kinds = {
  entries: "e",
  conversation: "c",
  user: "u",
  feed: "f",
  out: "o",
  head: "h",
} as const;

/** Bytes of rows in one answer; conversations beyond are told by their head alone, and asked for one by one. */
const peekBytesMax = 384 * 1024;
/** Keys told by items that nobody here wants; their owner is told so, this many at a time. */
const unwantedMax = 1_000;
/** And this often, milliseconds. */
const unwantedMs = 5_000;

/** See the head of this file. */
export class ClusterGateway implements Gateway, PartitionEvents {
  readonly links: NodeLinks;
  /** Who is interested in what lives here. */
  readonly owner: InterestOwner;
  readonly #options: ClusterGatewayOptions;
  readonly #table = new InterestTable();
  readonly #entries: EntriesHere;
  readonly #feeds: FeedsHere;
  readonly #registrar: Registrar;
  readonly #here: InterestHere;
  /** Newest connection of each node that registered here: what came over an older one came late. */
  readonly #connections = new Map<Incarnation, number>();
  readonly #young: YoungItems;
  readonly #unwanted = new Map<Incarnation, Set<ConversationId>>();
  #cancelUnwanted: (() => void) | null = null;

  constructor(options: ClusterGatewayOptions) {
    this.#options = options;
    const parts = { ...options, table: this.#table };
    this.#young = new YoungItems(options.clock);
    this.owner = new InterestOwner(options);
    this.links = new NodeLinks({
      ...options,
      owned: () => this.owner.list(),
      taken: () => this.owner.taken(),
      heard: (from, owned) => this.#registrar.heard(from, owned),
      gap: (from) => {
        this.#registrar.gap(from);
        options.news?.gap(from);
      },
      silent: (from) => this.nodeGone(from),
    });
    this.#entries = new EntriesHere(parts);
    this.#feeds = new FeedsHere({ ...parts, entries: this.#entries });
    const { links, owner } = this;
    const [entries, feeds] = [this.#entries, this.#feeds];
    this.#registrar = new Registrar({ ...parts, links, owner, entries, feeds });
    const forget: InterestHereOptions["forget"] = (...args) => this.#forget(...args);
    this.#here = new InterestHere({ ...parts, entries, feeds, registrar: this.#registrar, forget });
    this.#listen();
  }

  /** For sync and sign-in. */
  get interest(): InterestView {
    return this.#here;
  }

  /** Begins to listen and to tell. Called once. */
  start(): void {
    this.links.start();
    this.#here.start();
  }

  /** Says and hears nothing any more. Idempotent. */
  stop(): void {
    this.links.stop();
    this.#here.stop();
    this.#registrar.stop();
    this.#entries.stop();
    this.#feeds.stop();
    this.#cancelUnwanted?.();
  }

  owned(partition: number, epoch: Epoch): void {
    this.owner.begin(partition, epoch);
    this.#young.begin(partition);
    this.#registrar.ownedHere(partition, epoch);
    this.links.beatSoon();
  }

  lost(partition: number, graceful: boolean): void {
    this.owner.end(partition, graceful);
    this.#young.end(partition);
    this.#registrar.lostHere(partition, graceful);
    // The others shall have everything before they hear of another owner.
    this.links.flush();
    this.links.beatSoon();
  }

  nodeGone(node: Incarnation): void {
    this.owner.nodeGone(node);
    this.links.skip(node);
    this.#options.news?.nodeGone(node);
    this.#unwanted.delete(node);
  }

  // What actors of this node say.

  publish(conversation: ConversationId, frame: Uint8Array): void {
    const epoch = this.#speaks(this.#table.partitionOf(conversation));
    if (epoch === null) return;
    this.#options.sessions.publish(conversation, frame);
    const nodes = this.owner.nodesOf(conversation);
    if (nodes.length > 0) this.links.send(nodes, [kinds.conversation, conversation, epoch, frame]);
  }

  entries(conversation: ConversationId, frame: Uint8Array, span: EntrySpan): void {
    this.#entries.take(conversation, frame, span);
    const nodes = this.owner.nodesOf(conversation);
    const { first, last, gone } = span;
    if (nodes.length > 0) this.links.send(nodes, [kinds.entries, conversation, first, last, frame, gone]);
  }

  toUser(user: UserId, frame: Uint8Array, conversation: ConversationId): void {
    const partition = this.#table.partitionOf(conversation);
    const epoch = this.#speaks(partition);
    if (epoch === null) return;
    this.#options.sessions.toUser(user, frame);
    const item = (): Item => [kinds.user, user, conversation, epoch, frame];
    const nodes = this.owner.nodesOf(conversation);
    if (nodes.length > 0) this.links.send(nodes, item());
    this.#young.note(partition.number, conversation, () => `${pushName(frame)} ${user}`, item);
  }

  headKnown(conversation: ConversationId, seq: Seq): void {
    this.#entries.headKnown(conversation, seq);
    const nodes = this.owner.nodesOf(conversation);
    if (nodes.length > 0) this.links.send(nodes, [kinds.head, conversation, seq]);
  }

  feedChanged(user: UserId, changes: readonly FeedTuple[]): void {
    this.#feeds.take(user, changes);
    const nodes = this.owner.nodesOfUser(user);
    if (nodes.length > 0) this.links.send(nodes, [kinds.feed, user, changes]);
  }

  signedOut(user: UserId, device: string | null): void {
    const epoch = this.#speaks(this.#table.partitionOfUser(user));
    if (epoch === null) return;
    this.#options.sessions.signedOut(user, device);
    const nodes = this.owner.nodesOfUser(user);
    if (nodes.length > 0) this.links.send(nodes, [kinds.out, user, epoch, device]);
  }

  /** The epoch under which something without a number may be said; null: another owner says it, or will. */
  #speaks({ number, epoch: known }: PartitionHere): Epoch | null {
    const epoch = this.owner.epochOf(number);
    return epoch > 0 && epoch >= known ? epoch : null;
  }

  // What other nodes say.

  #listen(): void {
    const { links } = this;
    const { sessions } = this.#options;
    links.onItem(kinds.entries, (args, from, common) => this.#takeEntries(args, from, common));
    links.onItem(kinds.conversation, ([id, epoch, frame]) => {
      const conversation = conversationIn(id);
      if (this.#isNew(this.#table.partitionOf(conversation), epoch)) sessions.publish(conversation, bytesOf(frame));
    });
    links.onItem(kinds.user, ([user, conversation, epoch, frame]) => {
      const partition = this.#table.partitionOf(conversationIn(conversation));
      if (this.#isNew(partition, epoch)) sessions.toUser(textOf(user) as UserId, bytesOf(frame));
    });
    links.onItem(kinds.head, ([conversation, seq]) =>
      this.#entries.headKnown(conversationIn(conversation), integerOf(seq)),
    );
    links.onItem(kinds.feed, ([user, changes]) => this.#feeds.take(textOf(user) as UserId, changesIn(changes)));
    links.onItem(kinds.out, ([id, epoch, device]) => {
      const user = textOf(id) as UserId;
      if (!this.#isNew(this.#table.partitionOfUser(user), epoch)) return;
      sessions.signedOut(user, device === null ? null : textOf(device));
    });
    links.on("look", (args, from) => this.#look(args, from));
    links.on("forget", (args, from) => this.#takeForget(args, from));
  }

  /** What has no number of its own counts while no newer owner is known: one that stood still says it too late. */
  #isNew(partition: PartitionHere, epoch: unknown): boolean {
    if (integerOf(epoch) >= partition.epoch) return true;
    this.#options.meter.ignored("late");
    return false;
  }

  #takeEntries([id, first, last, frame, gone]: readonly unknown[], from: Incarnation, common: boolean): void {
    const conversation = conversationIn(id);
    const span = {
      first: integerOf(first),
      last: integerOf(last),
      gone: arrayOf(gone).map((user) => textOf(user) as UserId),
    };
    if (!this.#entries.take(conversation, bytesOf(frame), span) && !common) this.#noteUnwanted(conversation, from);
  }

  #look(args: readonly unknown[], from: Incarnation): unknown {
    const { connection, questions } = looksIn(args);
    this.#isLate(from, connection);
    // The numbers first: what is said from here on reaches whoever registers.
    const numbers = this.links.numbersFor(from);
    const budget = { left: peekBytesMax };
    const answers = questions.map(({ viewer, asks }) => {
      // Who is registered already has heard it, and perhaps something newer since.
      const fresh = asks.map(({ conversations }) => this.#unregistered(from, conversations));
      const told = this.owner.look(from, viewer, asks, budget);
      return told.map((answer, i) => this.#withYoung(answer, from, fresh[i] ?? []));
    });
    return answersOut(numbers, answers);
  }

  #unregistered(node: Incarnation, conversations: readonly ConversationId[]): readonly ConversationId[] {
    return conversations.filter((conversation) => !this.owner.nodesOf(conversation).includes(node));
  }

  /** Sends what has no number and was said here before that node was registered: behind what waits, ahead of what comes. */
  #withYoung(answer: LookAnswer, from: Incarnation, conversations: readonly ConversationId[]): LookAnswer {
    if (!answer.taken) return answer;
    const missed = this.#young.since(answer.partition, conversations);
    if (missed === null || missed.length === 0) return { ...answer, late: missed === null };
    this.links.flush();
    for (const item of missed) this.links.send([from], item);
    this.links.flush();
    return { ...answer, late: false };
  }

  #takeForget([connection, partition, conversations, people]: readonly unknown[], from: Incarnation): void {
    if (this.#isLate(from, integerOf(connection))) return this.#options.meter.ignored("late");
    const users = arrayOf(people).map(textOf);
    this.owner.forget(from, integerOf(partition), conversationsIn(conversations), users);
  }

  /** Whether a node has registered over a newer connection since. */
  #isLate(node: Incarnation, connection: number): boolean {
    const newest = this.#connections.get(node) ?? 0;
    if (connection < newest) return true;
    this.#connections.set(node, connection);
    return false;
  }

  #forget(
    owner: Incarnation,
    partition: number,
    conversations: readonly ConversationId[],
    people: readonly UserId[],
  ): void {
    this.links.tell(owner, "forget", [this.#options.bus.connection, partition, conversations, people]);
  }

  /** An owner that did not hear that nobody here is interested any more is told again. */
  #noteUnwanted(conversation: ConversationId, from: Incarnation): void {
    this.#options.meter.ignored("unwanted");
    const known = this.#unwanted.get(from) ?? new Set();
    if (known.size >= unwantedMax) return;
    this.#unwanted.set(from, known.add(conversation));
    this.#cancelUnwanted ??= this.#options.clock.after(unwantedMs, () => this.#tellUnwanted());
  }

  #tellUnwanted(): void {
    this.#cancelUnwanted = null;
    for (const [owner, conversations] of this.#unwanted)
      for (const conversation of conversations) {
        const partition = this.#table.partitionOf(conversation);
        // Somebody may have begun to receive it since.
        if (!partition.conversations.has(conversation)) this.#forget(owner, partition.number, [conversation], []);
      }
    this.#unwanted.clear();
  }
}

/** The name of an encoded push, which stands behind its type: text of less than 32 bytes. */
function pushName(frame: Uint8Array): string {
  return String.fromCharCode(...frame.subarray(3, 3 + ((frame[2] ?? 0) & 0x1f)));
}

/** Changes of a feed that another node sent: numbered without a gap. Throws where they are not. */
function changesIn(value: unknown): readonly FeedTuple[] {
  const changes = arrayOf(value) as readonly FeedTuple[];
  changes.forEach((change, i) => {
    const [userSeq, kind, subject, data] = arrayOf(change);
    integerOf(userSeq);
    textOf(kind);
    textOf(subject);
    arrayOf(data);
    if (i > 0 && userSeq !== (changes[i - 1]?.[0] ?? 0) + 1) throw new RangeError("changes with a gap");
  });
  return changes;
}
