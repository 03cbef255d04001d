// Requests that wait for their answers: ids, deadlines, a limit of how many are under way. Owned by Connection.
import { encode } from "../protocol/codec";
import { frameTypes } from "../protocol/frames";
import type { OperationName, Results } from "../protocol/operations";
import { readAnswer, readError } from "./answers";
import type { ClientClock } from "./clock";
import { deferred } from "./deferred";
import { ClientError, toClientError } from "./errors";
import type { Link } from "./link";

/** Requests under way at once, where the server allows as many; the others wait their turn. */
const inFlightMax = 64;
/** Requests that wait their turn; past it a new one is refused. */
const waitingMax = 10_000;

interface Request {
  readonly operation: OperationName;
  readonly args: readonly unknown[];
  readonly timeoutMs: number;
  resolve(result: unknown): void;
  reject(error: ClientError): void;
  cancelDeadline(): void;
}

/** The requests of one link. */
export class Requests {
  readonly #link: Link;
  readonly #clock: ClientClock;
  readonly #inFlight = new Map<number, Request>();
  readonly #waiting: Request[] = [];
  #nextId = 1;
  #inFlightMax = inFlightMax;

  constructor(link: Link, clock: ClientClock) {
    this.#link = link;
    this.#clock = clock;
  }

  /** Answers the checked result; rejects with a ClientError: the server's, `deadline`, `bad_answer`, or what {@link fail} says. */
  ask<N extends OperationName>(operation: N, args: readonly unknown[], timeoutMs: number): Promise<Results[N]> {
    const { promise, resolve, reject } = deferred<Results[N]>();
    const request: Request = {
      operation,
      args,
      timeoutMs,
      resolve: resolve as (result: unknown) => void,
      reject,
      cancelDeadline: () => {},
    };
    if (this.#inFlight.size < this.#inFlightMax) this.#start(request);
    else if (this.#waiting.length < waitingMax) this.#waiting.push(request);
    else reject(new ClientError("too_many_requests"));
    return promise;
  }

  /**
   * @param unansweredMax how many the server holds before it thinks itself flooded; half of them are used, as it still holds
   * those whose deadline has passed here
   */
  allow(unansweredMax: unknown): void {
    if (typeof unansweredMax !== "number" || !(unansweredMax >= 1)) return;
    this.#inFlightMax = Math.max(1, Math.min(inFlightMax, Math.floor(unansweredMax / 2)));
  }

  /** Sends and wants no answer. */
  tell(operation: OperationName, args: readonly unknown[]): void {
    this.#link.send(encode([frameTypes.request, 0, operation, args]));
  }

  /** Takes a reply or error frame; an id that nobody waits for is ignored. */
  settle(frame: readonly unknown[]): void {
    const [type, id, payload] = frame;
    const request = this.#take(id as number);
    if (!request) return;
    if (type === frameTypes.error) return request.reject(readError(payload));
    try {
      request.resolve(readAnswer(request.operation, payload));
    } catch (error) {
      request.reject(new ClientError("bad_answer", "unknown", toClientError(error).message));
    }
  }

  /** The link is down: what was sent has an unknown outcome, what waited was not done. */
  fail(): void {
    // Those that wait first: an answered request would start them.
    for (const request of this.#waiting.splice(0)) request.reject(new ClientError("offline"));
    for (const id of [...this.#inFlight.keys()]) this.#take(id)?.reject(new ClientError("disconnected"));
  }

  #start(request: Request): void {
    const id = this.#nextId;
    this.#nextId = id >= 0xffffffff ? 1 : id + 1;
    let bytes: Uint8Array;
    try {
      bytes = encode([frameTypes.request, id, request.operation, request.args]);
    } catch (error) {
      return request.reject(new ClientError("bad_request", "final", String(error)));
    }
    this.#inFlight.set(id, request);
    request.cancelDeadline = this.#clock.after(request.timeoutMs, () => {
      this.#take(id)?.reject(new ClientError("deadline"));
    });
    this.#link.send(bytes);
  }

  #take(id: number): Request | undefined {
    const request = this.#inFlight.get(id);
    if (!request) return undefined;
    this.#inFlight.delete(id);
    request.cancelDeadline();
    const next = this.#inFlight.size < this.#inFlightMax ? this.#waiting.shift() : undefined;
    if (next) this.#start(next);
    return request;
  }
}
