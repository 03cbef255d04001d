// What was refused for good lately: the same request, coming late by another way, is refused again, whatever has changed since (G4).
// One a node for all conversations, so that it outlives their activations. What was sent before this node owned a conversation never
// reaches it (ClusterInbox), so that no other node's refusals are to be known.
import type { Clock } from "../lib/clock";
import { AppError, toAppError } from "../lib/errors";
import type { ErrorCode } from "../protocol/codes";
import type { ClientId, ConversationId, Epoch, UserId } from "../protocol/ids";
import type { ErrorTuple } from "../protocol/operations";
import type { Reply } from "./actor";
import type { SendItem } from "./conversation-send";

/** Refusals are kept for so long, milliseconds: three times what a request may be under way (`askTimeoutMs`). */
const keptMs = 30_000;
/** Refusals that are kept; past it the oldest is forgotten. */
const keptMax = 100_000;

interface Refusal {
  readonly at: number;
  readonly error: AppError;
}

/** See the head of this file. */
export class Refusals {
  readonly #clock: Pick<Clock, "monotonic">;
  /** In the order told. */
  readonly #kept = new Map<string, Refusal>();

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** How many are kept. */
  get size(): number {
    return this.#kept.size;
  }

  find(name: string): AppError | null {
    return this.#kept.get(name)?.error ?? null;
  }

  keep(name: string, error: AppError): void {
    this.#kept.delete(name);
    this.#kept.set(name, { at: this.#clock.monotonic(), error });
    if (this.#kept.size > keptMax) this.#kept.delete(this.#kept.keys().next().value as string);
  }

  /** Forgets those that are old enough. */
  trim(): void {
    const before = this.#clock.monotonic() - keptMs;
    for (const [name, { at }] of this.#kept) {
      if (at > before) return;
      this.#kept.delete(name);
    }
  }
}

/** Those of one activation's conversation, under its epoch. */
export class ConversationRefusals {
  readonly #all: Refusals;
  readonly #prefix: string;

  constructor(all: Refusals, conversation: ConversationId, epoch: Epoch) {
    this.#all = all;
    this.#prefix = `${conversation} ${epoch} `;
  }

  /** Throws what this request was refused with. To be asked where nothing is stored under its id. Needs no `this`. */
  readonly assertNew = (user: UserId, clientId: ClientId): void => {
    if (this.#all.size === 0) return;
    this.#all.trim();
    const told = this.#all.find(this.#nameOf(user, clientId));
    if (told) throw told;
  };

  /** Keeps what items of a send were refused with, and answers the outcomes. To be called when they are told. */
  kept<T extends readonly (number | ErrorTuple)[]>(user: UserId, items: readonly SendItem[], outcomes: T): T {
    for (let at = 0; at < outcomes.length; at++) {
      const outcome = outcomes[at];
      if (typeof outcome !== "object") continue;
      const [code, message, , , details] = outcome;
      this.#keep(user, (items[at] as SendItem)[0], new AppError(code as ErrorCode, message, { details }));
    }
    return outcomes;
  }

  /** A reply that keeps a refusal before it is told. */
  keeping(user: UserId, clientId: ClientId, reply: Reply): Reply {
    return {
      ok: (value) => reply.ok(value),
      fail: (error) => {
        this.#keep(user, clientId, toAppError(error));
        reply.fail(error);
      },
    };
  }

  /** Of an id that stands for something else a repetition of that is answered as ever. */
  #keep(user: UserId, clientId: ClientId, error: AppError): void {
    if (error.outcome === "final" && error.code !== "id_reused") this.#all.keep(this.#nameOf(user, clientId), error);
  }

  /** No part but the last may contain a space. */
  #nameOf(user: UserId, clientId: ClientId): string {
    return `${this.#prefix}${user} ${clientId}`;
  }
}
