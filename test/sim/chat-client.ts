// One session as a good client keeps it: a queue of sends for each conversation, one batch at a time, retries with the same ids.
// Judges what it is answered: acknowledged sends stand in the log (I1), in the session's order (I3), after all acked before (I4).
import { toAppError } from "../../src/lib/errors";
import type { MessageBody } from "../../src/protocol/entry";
import type { ClientId, ConversationId, Seq, UserId } from "../../src/protocol/ids";
import type { ErrorTuple, Results } from "../../src/protocol/operations";
import type { ChatNode } from "./chat-node";
import { expectSame } from "./log-fold";
import type { Schedule } from "./simulate";
import type { WatchedData } from "./watched-data";

/** What all sessions of a world share. */
export interface ChatWorldView {
  readonly schedule: Schedule;
  readonly data: WatchedData;
  readonly node: ChatNode;
  /** The highest seq acknowledged to anybody, by conversation. */
  readonly acked: Map<ConversationId, Seq>;
  /** The highest read mark acknowledged, by user and conversation. */
  readonly ackedReads: Map<string, Seq>;
  broken(error: unknown): void;
  readonly count: (what: string) => void;
}

interface Item {
  readonly clientId: ClientId;
  readonly body: MessageBody;
  /** Acknowledged by anybody before this was sent. */
  readonly after: Seq;
}

/** Messages in one send, and in one of a queue that has grown long. */
const batchMax = { usual: 4, long: 100 } as const;
const longQueue = 20;
/** Whom a message mentions: members or not, and one who does not exist. */
const mentioned = ["ann", "bob", "cat", "dan", "nobody"] as UserId[];
/** Requests kept to be sent once more, long after. */
const keptMax = 40;

/** A request as it went out. */
interface Sent {
  readonly conversation: ConversationId;
  readonly batch: readonly Item[];
  readonly message: unknown;
}

/** See the head of this file. */
export class ChatSession {
  readonly user: UserId;
  readonly #world: ChatWorldView;
  readonly #name: string;
  readonly #outbox = new Map<ConversationId, Item[]>();
  readonly #inFlight = new Set<ConversationId>();
  readonly #lastAcked = new Map<ConversationId, Seq>();
  readonly #kept: Sent[] = [];
  #operations = 0;
  #ids = 0;

  constructor(world: ChatWorldView, user: UserId, name: string) {
    this.#world = world;
    this.user = user;
    this.#name = name;
  }

  /** Whether everything was answered finally. */
  get isIdle(): boolean {
    return this.#operations === 0 && [...this.#outbox.values()].every((items) => items.length === 0);
  }

  nextId(): ClientId {
    return `${this.#name}-${++this.#ids}` as ClientId;
  }

  send(conversation: ConversationId, flags: number | null): void {
    const clientId = this.nextId();
    const { random } = this.#world.schedule;
    const mentions = random.chance(0.1) ? [random.pick(mentioned)] : null;
    const body: MessageBody = [`text ${clientId}`, null, null, null, mentions, null, flags];
    const item = { clientId, body, after: this.#world.acked.get(conversation) ?? 0 };
    const items = this.#outbox.get(conversation);
    if (items) items.push(item);
    else this.#outbox.set(conversation, [item]);
    this.#pump(conversation);
  }

  /** Sends one of its earlier requests once more. */
  replay(): void {
    if (this.#kept.length > 0) this.#repeat(this.#world.schedule.random.pick(this.#kept));
  }

  /** Repeats an operation with the same client id until it is answered finally. */
  operate(conversation: ConversationId, op: string, ...args: unknown[]): void {
    const { schedule, count } = this.#world;
    this.#operations += 1;
    const attempt = (): void => {
      const message = { op, user: this.user, args: op === "create" ? args : [conversation, ...args] };
      this.#ask(conversation, message).then(
        (value) => {
          this.#operations -= 1;
          count(op);
          schedule.trace(() => `${this.#name} ${op} answers ${JSON.stringify(value)}`);
          this.#guard(() => this.#checkSeq(conversation, (value as readonly unknown[]).at(-1) as Seq));
        },
        (thrown: unknown) => {
          const { code, retryable } = toAppError(thrown);
          count(`${op} ${code}`);
          if (retryable) schedule.clock.after(schedule.random.between(50, 800), attempt);
          else this.#operations -= 1;
        },
      );
    };
    schedule.trace(() => `${this.#name} ${op} ${conversation.slice(0, 4)} ${JSON.stringify(args)}`);
    attempt();
  }

  read(conversation: ConversationId, seq: Seq): void {
    const { ackedReads, schedule, count, node } = this.#world;
    const name = `${this.user} ${conversation}`;
    const before = ackedReads.get(name) ?? 0;
    this.#ask(conversation, { op: "read", user: this.user, args: [conversation, "read", seq] }).then(
      (value) => {
        count("read");
        const [[cursor], unread] = value as Results["read"];
        schedule.trace(() => `${this.#name} read ${seq} answers ${JSON.stringify(value)}`);
        ackedReads.set(name, Math.max(cursor, ackedReads.get(name) ?? 0));
        this.#guard(() => this.#checkRead(node, conversation, Math.max(seq, before), cursor, unread));
      },
      (thrown: unknown) => count(`read ${toAppError(thrown).code}`),
    );
  }

  #ask(conversation: ConversationId, message: unknown): Promise<unknown> {
    return this.#world.node.ask("conversation", conversation, message);
  }

  #pump(conversation: ConversationId): void {
    const items = this.#outbox.get(conversation) ?? [];
    if (items.length === 0 || this.#inFlight.has(conversation)) return;
    const { schedule } = this.#world;
    const batch = items.slice(0, schedule.random.between(1, items.length > longQueue ? batchMax.long : batchMax.usual));
    this.#inFlight.add(conversation);
    const message = {
      op: "send",
      user: this.user,
      args: [conversation, batch.map(({ clientId, body }) => [clientId, body])],
    };
    schedule.trace(
      () => `${this.#name} sends ${conversation.slice(0, 4)} ${batch.map(({ clientId }) => clientId).join(" ")}`,
    );
    this.#ask(conversation, message)
      .then(
        (value) => this.#answered(conversation, batch, value as Results["send"]),
        (thrown: unknown) => this.#refused(conversation, batch, thrown),
      )
      .finally(() => {
        this.#inFlight.delete(conversation);
        schedule.clock.after(schedule.random.int(300), () => this.#pump(conversation));
      });
    const sent = { conversation, batch, message };
    if (schedule.random.chance(0.1)) schedule.clock.after(schedule.random.int(500), () => this.#repeat(sent));
    this.#kept.push(sent);
    if (this.#kept.length > keptMax) this.#kept.shift();
  }

  /** The same request again, as a network may deliver it; late, it finds everything done. */
  #repeat({ conversation, batch, message }: Sent): void {
    this.#ask(conversation, message).then(
      (value) =>
        (value as Results["send"]).forEach((outcome, i) => {
          if (typeof outcome === "number")
            this.#guard(() => this.#checkStored(conversation, batch[i] as Item, outcome));
        }),
      () => undefined,
    );
  }

  #answered(conversation: ConversationId, batch: readonly Item[], outcomes: Results["send"]): void {
    const { count, schedule } = this.#world;
    schedule.trace(
      () =>
        `${this.#name} is answered ${JSON.stringify(outcomes.map((one) => (typeof one === "number" ? one : one[0])))}`,
    );
    let ended = false;
    outcomes.forEach((outcome, i) => {
      const item = batch[i] as Item;
      if (typeof outcome === "number") {
        this.#guard(() => {
          if (ended) throw new Error(`${item.clientId} is appended behind an item that was not decided`);
          this.#checkAck(conversation, item, outcome);
        });
        this.#done(conversation, item);
        return;
      }
      const [code, , kind] = outcome as ErrorTuple;
      count(`send ${code}`);
      if (kind !== "final") ended = true;
      else if (!ended) this.#done(conversation, item);
    });
  }

  #refused(conversation: ConversationId, batch: readonly Item[], thrown: unknown): void {
    const { code, retryable } = toAppError(thrown);
    this.#world.count(`send ${code}`);
    this.#world.schedule.trace(() => `${this.#name} is refused ${code}`);
    if (!retryable) for (const item of batch) this.#done(conversation, item);
  }

  #done(conversation: ConversationId, item: Item): void {
    const items = this.#outbox.get(conversation) ?? [];
    const at = items.indexOf(item);
    if (at >= 0) items.splice(at, 1);
  }

  #checkAck(conversation: ConversationId, item: Item, seq: Seq): void {
    const { acked, count } = this.#world;
    count("sent");
    this.#checkStored(conversation, item, seq);
    const last = this.#lastAcked.get(conversation) ?? 0;
    if (seq <= last)
      throw new Error(`${item.clientId} is acknowledged at ${seq}, an earlier one of its session at ${last}`);
    if (seq <= item.after) throw new Error(`${item.clientId} at ${seq} was sent after ${item.after} was acknowledged`);
    this.#lastAcked.set(conversation, seq);
    acked.set(conversation, Math.max(seq, acked.get(conversation) ?? 0));
  }

  #checkStored(conversation: ConversationId, { clientId, body }: Item, seq: Seq): void {
    const entry = this.#world.data.logs.of(conversation).entry(seq);
    expectSame(`${clientId} acknowledged at ${seq}`, [entry?.[5], entry?.[7], entry?.[9]], [this.user, clientId, body]);
  }

  #checkSeq(conversation: ConversationId, seq: Seq): void {
    const { head } = this.#world.data.logs.of(conversation);
    if (!(seq >= 1 && seq <= head)) throw new Error(`answered seq ${seq}, the log ends at ${head}`);
  }

  #checkRead(node: ChatNode, conversation: ConversationId, atLeast: Seq, cursor: Seq, unread: number): void {
    const { data } = this.#world;
    if (cursor < atLeast) throw new Error(`${this.user}: a read of ${atLeast} is answered ${cursor}`);
    const stored = data.log(conversation)?.cursors.get(this.user)?.seq ?? 0;
    if (stored < cursor) throw new Error(`${this.user}: ${cursor} is acknowledged, ${stored} is stored`);
    const log = data.logs.of(conversation);
    // The answer is as of the owner's committed head, somewhere between what it published and what the store holds.
    for (let head = Math.min(log.head, node.gateway.published(conversation)); head <= log.head; head++)
      if (unread === log.unread(this.user, cursor, head)) return;
    throw new Error(`${this.user}: unread ${unread} at ${cursor}, the log says ${log.unread(this.user, cursor)}`);
  }

  #guard(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#world.broken(error);
    }
  }
}
