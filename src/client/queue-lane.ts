// One conversation's queue: first in, first out, one request at a time (G4). Owned by Outbox.
// Consecutive sends leave as one request; what has no answer is repeated with the same ids, in the same order.
import { limits } from "../protocol/limits";
import type { Results } from "../protocol/operations";
import { weigh } from "../protocol/fields";
import type { Backoff } from "./backoff";
import type { ClientClock } from "./clock";
import { ClientError, toClientError } from "./errors";
import type { Operation, SendOperation } from "./operation";
import { wireArgs } from "./operation";
import { readError } from "./answers";

/** What a lane needs of the outbox. */
export interface LaneWorld {
  readonly clock: ClientClock;
  readonly backoff: Backoff;
  isOpen(): boolean;
  ask(operation: Operation["operation"], args: readonly unknown[]): Promise<unknown>;
  done(operation: Operation, result: unknown): unknown;
  failed(operation: Operation, error: ClientError): unknown;
  /** The lane has nothing left. */
  drained(): unknown;
}

/** A send leaves this much of a frame to its header. */
const batchBytesMax = limits.frameBytesMax - 1_024;
/** Codes that refuse the request as a whole: every item of it would be answered the same. */
const wholeCodes = new Set(["no_access", "forbidden", "not_supported"]);
/** Codes that speak of the connection, which Connection sees to; the operation itself is not refused. */
const connectionCodes = new Set(["not_signed_in", "bad_token", "token_expired", "signed_out"]);

/** One queue. At most one request of it is unresolved; nothing overtakes what waits to be repeated. */
export class QueueLane {
  readonly #world: LaneWorld;
  readonly #queue: Operation[] = [];
  /** What the request under way carries; null while there is none. */
  #underWay: readonly Operation[] | null = null;
  /** How many sends go alone, after a batch was refused and it is not known for which of them. */
  #alone = 0;
  #cancelPause: (() => void) | null = null;

  constructor(world: LaneWorld) {
    this.#world = world;
  }

  get operations(): readonly Operation[] {
    return this.#queue;
  }

  isUnderWay(operation: Operation): boolean {
    return this.#underWay?.includes(operation) ?? false;
  }

  /** Queues an operation; what else is queued in this tick leaves with it. */
  push(operation: Operation): void {
    this.#queue.push(operation);
    queueMicrotask(() => this.step());
  }

  /** Puts operations of an earlier life in front. */
  unshift(operations: readonly Operation[]): void {
    this.#queue.unshift(...operations);
    this.step();
  }

  /** Takes an operation out, whatever becomes of a request that carries it. */
  remove(operation: Operation): void {
    const at = this.#queue.indexOf(operation);
    if (at >= 0) this.#queue.splice(at, 1);
  }

  /** Puts `next` in the place of a waiting operation. */
  replace(waiting: Operation, next: Operation): void {
    const at = this.#queue.indexOf(waiting);
    if (at >= 0) this.#queue[at] = next;
  }

  /** The connection came up: no reason to wait any longer. */
  open(): void {
    this.#resume();
    this.step();
  }

  step(): void {
    if (this.#underWay || this.#cancelPause || !this.#world.isOpen()) return;
    const head = this.#queue[0];
    if (!head) {
      this.#world.drained();
      return;
    }
    void (head.operation === "send" ? this.#send(this.#batch()) : this.#ask(head));
  }

  #batch(): readonly SendOperation[] {
    const batch: SendOperation[] = [];
    let bytes = 0;
    const most = this.#alone > 0 ? 1 : limits.sendItemsMax;
    for (const operation of this.#queue) {
      if (operation.operation !== "send" || batch.length >= most) break;
      bytes += weigh(operation.args);
      if (batch.length > 0 && bytes > batchBytesMax) break;
      batch.push(operation);
    }
    return batch;
  }

  async #send(batch: readonly SendOperation[]): Promise<void> {
    this.#underWay = batch;
    if (this.#alone > 0) this.#alone--;
    let refused: ClientError | null = null;
    try {
      const items = batch.map(({ args }) => args);
      const results = (await this.#world.ask("send", [batch[0]?.conversation, items])) as Results["send"];
      refused = this.#settle(batch, results);
    } catch (thrown) {
      refused = this.#sendRefused(batch, toClientError(thrown));
    }
    this.#next(refused);
  }

  /** Answers the error to wait for, if one item is to be repeated. */
  #settle(batch: readonly SendOperation[], results: Results["send"]): ClientError | null {
    for (const [i, operation] of batch.entries()) {
      const result = results[i];
      if (typeof result === "number") {
        this.#done(operation, result);
        continue;
      }
      const error = result === undefined ? new ClientError("bad_answer") : readError(result);
      if (error.outcome !== "final") return error;
      this.#failed(operation, error);
    }
    return null;
  }

  #sendRefused(batch: readonly SendOperation[], error: ClientError): ClientError | null {
    if (error.outcome !== "final" || connectionCodes.has(error.code)) return error;
    if (batch.length > 1 && !wholeCodes.has(error.code)) {
      this.#alone = batch.length;
      return null;
    }
    for (const operation of batch) this.#failed(operation, error);
    return null;
  }

  async #ask(operation: Operation): Promise<void> {
    this.#underWay = [operation];
    let refused: ClientError | null = null;
    try {
      this.#done(operation, await this.#world.ask(operation.operation, wireArgs(operation)));
    } catch (thrown) {
      const error = toClientError(thrown);
      if (error.outcome !== "final" || connectionCodes.has(error.code)) refused = error;
      else this.#failed(operation, error);
    }
    this.#next(refused);
  }

  #done(operation: Operation, result: unknown): void {
    this.#world.backoff.reset();
    // An entry may have told already, or the person discarded it meanwhile.
    if (!this.#queue.includes(operation)) return;
    this.remove(operation);
    this.#world.done(operation, result);
  }

  #failed(operation: Operation, error: ClientError): void {
    if (!this.#queue.includes(operation)) return;
    this.remove(operation);
    this.#world.failed(operation, error);
  }

  #next(refused: ClientError | null): void {
    this.#underWay = null;
    if (!refused) return this.step();
    const wait = this.#world.backoff.next(refused.retryAfterMs ?? 0);
    this.#cancelPause = this.#world.clock.after(wait, () => this.open());
  }

  #resume(): void {
    this.#cancelPause?.();
    this.#cancelPause = null;
  }
}
