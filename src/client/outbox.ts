// Every durable operation until the server has answered it for good: queued, kept, sent in order, refused with a choice.
// Owned by the client. Keeps G2 and G4 on this side: repeats carry the same ids, a conversation's queue is first in, first out.
import type { MessageBody } from "../protocol/entry";
import { weigh } from "../protocol/fields";
import type { ClientId, ConversationId, Seq } from "../protocol/ids";
import type { Results } from "../protocol/operations";
import { Backoff } from "./backoff";
import type { ClientClock } from "./clock";
import { deferred } from "./deferred";
import type { Deferred } from "./deferred";
import { ClientError } from "./errors";
import type { Overlay } from "./facts";
import type { Journal } from "./journal";
import { clientIdOf, namesSeq, readSeqOf, toRecord } from "./operation";
import type { DurableName, Operation } from "./operation";
import { QueueLane } from "./queue-lane";
import { Derived } from "./observable";
import type { Ticker } from "./observable";
import type { Failure, OutboxItem } from "./types";

/** Operations and bytes that may wait, refused ones included; past either, a new one is refused with `outbox_full`. */
const operationsMax = 10_000;
const bytesMax = 32 * 1024 * 1024;

/** What the outbox needs of the client. */
export interface OutboxSetup {
  readonly clock: ClientClock;
  readonly random: () => number;
  readonly ids: () => string;
  readonly ticker: Ticker;
  isOpen(): boolean;
  ask(operation: DurableName, args: readonly unknown[]): Promise<unknown>;
  /** Its answer, before whoever waits for it is told. */
  onDone(operation: Operation, result: unknown): void;
  /** What is queued for this conversation changed. */
  onChange(conversation: ConversationId | null): void;
}

/** Durable operations, first in, first out for each conversation; conversations do not wait for each other. Bounded. */
export class Outbox {
  readonly items: Derived<readonly OutboxItem[]>;
  readonly #setup: OutboxSetup;
  readonly #lanes = new Map<ConversationId | null, QueueLane>();
  readonly #refused = new Map<string, Operation>();
  readonly #waiters = new Map<string, Deferred<unknown>[]>();
  #count = 0;
  #bytes = 0;
  #journal: { readonly journal: Journal; readonly prefix: string } | null = null;

  constructor(setup: OutboxSetup) {
    this.#setup = setup;
    this.items = new Derived(setup.ticker, () => this.#all().map((operation) => this.#itemOf(operation)));
  }

  /** Queues a message. Throws `outbox_full`. */
  send(conversation: ConversationId, body: MessageBody): { readonly clientId: ClientId; readonly acked: Promise<Seq> } {
    const clientId = this.#setup.ids() as ClientId;
    const acked = this.#enqueue("send", conversation, [clientId, body], clientId);
    return { clientId, acked: acked as Promise<Seq> };
  }

  /** Queues any other operation; the promise answers its result. Rejects with `outbox_full`, or what refuses it for good. */
  async ask<N extends Exclude<DurableName, "send" | "read">>(
    operation: N,
    conversation: ConversationId | null,
    args: readonly unknown[],
  ): Promise<Results[N]> {
    return (await this.#enqueue(operation, conversation, args, this.#setup.ids())) as Results[N];
  }

  /** Queues a read mark; one that waits already is raised instead, and one that covers it is awaited. */
  async read(conversation: ConversationId, seq: Seq): Promise<Results["read"]> {
    const lane = this.#lanes.get(conversation);
    const marks = lane?.operations.filter((one) => one.operation === "read") ?? [];
    const covering = marks.find((mark) => (readSeqOf(mark) ?? 0) >= seq);
    if (covering) return (await this.#wait(covering.id)) as Results["read"];
    const waiting = marks.find((mark) => !lane?.isUnderWay(mark));
    if (!lane || waiting?.operation !== "read")
      return (await this.#enqueue("read", conversation, ["read", seq], this.#setup.ids())) as Results["read"];
    const raised: Operation = { ...waiting, args: ["read", seq] };
    lane.replace(waiting, raised);
    this.#keep(raised);
    this.#changed(conversation);
    return (await this.#wait(raised.id)) as Results["read"];
  }

  /** What is queued for a conversation, as it will stand once done. */
  overlay(conversation: ConversationId): Overlay {
    let overlay: Overlay = { readSeq: null, muted: null, markedUnread: null };
    for (const operation of this.#lanes.get(conversation)?.operations ?? []) {
      const readSeq = readSeqOf(operation);
      if (readSeq !== null) overlay = { ...overlay, readSeq: Math.max(readSeq, overlay.readSeq ?? 0) };
      if (operation.operation === "settings") overlay = { ...overlay, ...(operation.args[0] as Partial<Overlay>) };
    }
    return overlay;
  }

  /** Sends of a conversation, queued and refused, in local order. */
  sends(conversation: ConversationId): readonly (Operation & { operation: "send" })[] {
    const queued = this.#lanes.get(conversation)?.operations ?? [];
    const refused = [...this.#refused.values()].filter((operation) => operation.conversation === conversation);
    return [...queued, ...refused].filter((one) => one.operation === "send").sort(byId);
  }

  /** What can be done about a refused operation. */
  failureOf({ id, error }: Operation): Failure | null {
    return error ? { error, retry: () => this.retry(id), discard: () => this.discard(id) } : null;
  }

  /** The log shows that it was done. */
  confirm(conversation: ConversationId, clientId: ClientId, seq: Seq): void {
    const lane = this.#lanes.get(conversation);
    const operation = lane?.operations.find((one) => clientIdOf(one) === clientId);
    if (!lane || !operation) return;
    lane.remove(operation);
    this.#done(operation, operation.operation === "send" ? seq : [seq]);
  }

  /** Queues a refused operation again, at the end. */
  retry(id: string): void {
    const operation = this.#refused.get(id);
    if (!operation) return;
    this.#forget(operation);
    const nextId = this.#setup.ids();
    const again = { ...operation, id: nextId, error: null, args: argsForRetry(operation, nextId) } as Operation;
    this.#add(again);
    this.#lane(again.conversation).push(again);
    this.#changed(again.conversation);
  }

  /** Gives up a refused operation, or one that waits and is not under way. */
  discard(id: string): void {
    const operation = this.#all().find((one) => one.id === id);
    if (!operation || this.#lanes.get(operation.conversation)?.isUnderWay(operation)) return;
    this.#lanes.get(operation.conversation)?.remove(operation);
    this.#lanes.get(operation.conversation)?.step();
    this.#forget(operation);
    for (const waiter of this.#takeWaiters(id)) waiter.reject(new ClientError("discarded"));
    this.#changed(operation.conversation);
  }

  /** Refuses what names a seq of a log that is another one now: of one conversation, or of all. */
  refuseSeqs(conversation?: ConversationId): void {
    for (const [id, lane] of [...this.#lanes]) {
      if (conversation !== undefined && id !== conversation) continue;
      for (const operation of lane.operations.filter(namesSeq)) {
        lane.remove(operation);
        this.#failed(operation, new ClientError("generation_changed"));
      }
    }
  }

  /** The connection came up. */
  open(): void {
    for (const lane of [...this.#lanes.values()]) lane.open();
  }

  /** From now on everything is kept under `prefix`, what is queued already included. */
  attach(journal: Journal, prefix: string): void {
    this.#journal = { journal, prefix };
    for (const operation of this.#all()) this.#keep(operation);
  }

  /** Operations of an earlier life, in their order; they go before what this one queued. */
  restore(operations: readonly Operation[]): void {
    for (const operation of operations) {
      this.#add(operation);
      if (operation.error) this.#refused.set(operation.id, operation);
    }
    for (const conversation of new Set(operations.map((operation) => operation.conversation))) {
      const queued = operations.filter((one) => !one.error && one.conversation === conversation).sort(byId);
      if (queued.length > 0) this.#lane(conversation).unshift(queued);
      this.#changed(conversation);
    }
  }

  /** Forgets everything here, not in the storage; who waits is told `code`. */
  clear(code: string): void {
    for (const id of [...this.#waiters.keys()])
      for (const waiter of this.#takeWaiters(id)) waiter.reject(new ClientError(code));
    this.#journal = null;
    const conversations = new Set(this.#all().map(({ conversation }) => conversation));
    this.#lanes.clear();
    this.#refused.clear();
    this.#count = this.#bytes = 0;
    for (const conversation of conversations) this.#changed(conversation);
  }

  #enqueue(
    name: DurableName,
    conversation: ConversationId | null,
    args: readonly unknown[],
    id: string,
  ): Promise<unknown> {
    const operation = {
      id,
      operation: name,
      conversation,
      args,
      createdAt: this.#setup.clock.now(),
      error: null,
    } as Operation;
    if (this.#count >= operationsMax || this.#bytes + weigh(args) > bytesMax) throw new ClientError("outbox_full");
    this.#add(operation);
    const answered = this.#wait(id);
    this.#lane(conversation).push(operation);
    this.#changed(conversation);
    return answered;
  }

  #wait(id: string): Promise<unknown> {
    const waiter = deferred<unknown>("handled");
    this.#waiters.set(id, [...(this.#waiters.get(id) ?? []), waiter]);
    return waiter.promise;
  }

  #done(operation: Operation, result: unknown): void {
    this.#forget(operation);
    this.#setup.onDone(operation, result);
    this.#changed(operation.conversation);
    for (const waiter of this.#takeWaiters(operation.id)) waiter.resolve(result);
  }

  #failed(operation: Operation, error: ClientError): void {
    const waiters = this.#takeWaiters(operation.id);
    this.#forget(operation);
    // Who awaits an operation learns of it there; a message is shown, so it stays until somebody decides.
    if (operation.operation === "send" || (waiters.length === 0 && operation.operation !== "read")) {
      const refused: Operation = { ...operation, error };
      this.#refused.set(refused.id, refused);
      this.#add(refused);
    }
    this.#changed(operation.conversation);
    for (const waiter of waiters) waiter.reject(error);
  }

  #takeWaiters(id: string): readonly Deferred<unknown>[] {
    const waiters = this.#waiters.get(id) ?? [];
    this.#waiters.delete(id);
    return waiters;
  }

  #add(operation: Operation): void {
    this.#count++;
    this.#bytes += weigh(operation.args);
    this.#keep(operation);
  }

  #forget(operation: Operation): void {
    this.#refused.delete(operation.id);
    this.#count--;
    this.#bytes -= weigh(operation.args);
    this.#journal?.journal.put(this.#journal.prefix + operation.id, () => undefined);
  }

  #keep(operation: Operation): void {
    this.#journal?.journal.put(this.#journal.prefix + operation.id, () => toRecord(operation));
  }

  #lane(conversation: ConversationId | null): QueueLane {
    const present = this.#lanes.get(conversation);
    if (present) return present;
    const { clock, random } = this.#setup;
    const lane: QueueLane = new QueueLane({
      clock,
      backoff: new Backoff(random, 200, 10_000),
      isOpen: () => this.#setup.isOpen(),
      ask: (operation, args) => this.#setup.ask(operation, args),
      done: (operation, result) => this.#lanes.get(conversation) === lane && this.#done(operation, result),
      failed: (operation, error) => this.#lanes.get(conversation) === lane && this.#failed(operation, error),
      drained: () => this.#lanes.get(conversation) === lane && this.#lanes.delete(conversation),
    });
    this.#lanes.set(conversation, lane);
    return lane;
  }

  #all(): readonly Operation[] {
    return [...this.#lanes.values()]
      .flatMap((lane) => lane.operations)
      .concat([...this.#refused.values()])
      .sort(byId);
  }

  #itemOf(operation: Operation): OutboxItem {
    const failure = this.failureOf(operation);
    const { id, operation: name, conversation, createdAt } = operation;
    return { id, operation: name, conversation, createdAt, status: failure ? "failed" : "queued", failure };
  }

  #changed(conversation: ConversationId | null): void {
    this.items.invalidate();
    this.#setup.onChange(conversation);
  }
}

function byId(a: Operation, b: Operation): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

/** What the rules of a conversation refused under an id: it was not done, and stays refused under that id for a while. */
const refusedByRule: ReadonlySet<string> = new Set([
  "no_access",
  "forbidden",
  "unknown_user",
  "limit_reached",
  "not_supported",
  "bad_request",
  "owner_must_hand_over",
  "id_reused",
]);

/** The same ids, so that a repeat of what was done after all is recognized; others where a rule refused it under these. */
function argsForRetry(operation: Operation, id: string): readonly unknown[] {
  if (!refusedByRule.has(operation.error?.code ?? "")) return operation.args;
  const args: unknown[] = [...operation.args];
  args[operation.operation === "create" ? 1 : 0] = id;
  return args;
}
