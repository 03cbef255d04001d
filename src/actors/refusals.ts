// What was refused for good lately: the same request, coming late by another way, is refused again, whatever has changed since (G4).
// One a node for all conversations, so that it outlives their activations. Of other owners' refusals it knows nothing: what is for their
// epoch goes back to its sender (ClusterInbox), who asks again only for clients who are there still (KnownEpochs).
import type { Clock } from "../lib/clock";
import { AppError, toAppError } from "../lib/errors";
import type { ErrorCode } from "../protocol/codes";
import type { ClientId, ConversationId, Epoch, UserId } from "../protocol/ids";
import type { ErrorTuple } from "../protocol/operations";
import type { Reply } from "./actor";
import type { Change } from "./conversation-changes";
import type { SendItem } from "./conversation-send";
import type { ConversationState } from "./conversation-state";

/** Limits of what is kept. */
export const refusalLimits = {
  /** For so long, milliseconds: longer than a silent connection lives by default (61 s) and its last request is under way (10 s). */
  keptMs: 90_000,
  /** All together; past it the oldest is forgotten. */
  most: 100_000,
  /** Of one person; past it nothing more of theirs is kept. */
  ofPerson: 1_000,
  /** Forgotten in one go, so that nobody waits for it. */
  trimmed: 100,
} as const;

interface Refusal {
  readonly at: number;
  readonly user: UserId;
  readonly code: ErrorCode;
  readonly message: string;
}

/** See the head of this file. */
export class Refusals {
  readonly #clock: Pick<Clock, "monotonic">;
  /** In the order told. */
  readonly #kept = new Map<string, Refusal>();
  readonly #ofPerson = new Map<UserId, number>();

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** How many are kept. */
  get size(): number {
    return this.#kept.size;
  }

  /** What was refused under this name, as an error without details, or null. */
  find(name: string): AppError | null {
    this.#trim();
    const found = this.#kept.get(name);
    return found && this.#isFresh(found) ? new AppError(found.code, found.message) : null;
  }

  /** Counts from the first time: whoever repeats it is not refused for longer. */
  keep(name: string, user: UserId, { code, message }: AppError): void {
    this.#trim();
    const own = this.#ofPerson.get(user) ?? 0;
    if (this.#kept.has(name) || own >= refusalLimits.ofPerson) return;
    this.#kept.set(name, { at: this.#clock.monotonic(), user, code, message });
    this.#ofPerson.set(user, own + 1);
    if (this.#kept.size > refusalLimits.most) this.#forgetOldest();
  }

  #isFresh({ at }: Refusal): boolean {
    return this.#clock.monotonic() - at < refusalLimits.keptMs;
  }

  #trim(): void {
    for (let count = 0; count < refusalLimits.trimmed; count++) {
      const oldest = this.#kept.values().next().value;
      if (!oldest || this.#isFresh(oldest)) return;
      this.#forgetOldest();
    }
  }

  #forgetOldest(): void {
    for (const [name, { user }] of this.#kept) {
      this.#kept.delete(name);
      const left = (this.#ofPerson.get(user) ?? 1) - 1;
      if (left > 0) this.#ofPerson.set(user, left);
      else this.#ofPerson.delete(user);
      return;
    }
  }
}

/** Of changes these alone are kept: what else refuses them is for whoever asked to mend, and to repeat. */
const keptOfChanges: readonly ErrorCode[] = ["no_access", "forbidden"];

/** Those of one activation's conversation, under its epoch. */
export class ConversationRefusals {
  readonly #all: Refusals;
  readonly #state: Pick<ConversationState, "used">;
  readonly #prefix: string;

  constructor(all: Refusals, state: Pick<ConversationState, "used">, conversation: ConversationId, epoch: Epoch) {
    this.#all = all;
    this.#state = state;
    this.#prefix = `${conversation} ${epoch} `;
  }

  /** Throws what this request was refused with. To be asked where nothing is stored under its id. Needs no `this`. */
  readonly assertNew = (user: UserId, clientId: ClientId): void => {
    const told = this.#all.size === 0 ? null : this.#all.find(this.#nameOf(user, clientId));
    if (told) throw told;
  };

  /** What a send is told; its refusals are kept from here on. */
  kept(
    user: UserId,
    items: readonly SendItem[],
    outcomes: readonly (number | ErrorTuple)[],
  ): readonly (number | ErrorTuple)[] {
    if (outcomes.every((outcome) => typeof outcome === "number")) return outcomes;
    return outcomes.map((outcome, at) => {
      if (typeof outcome === "number") return outcome;
      const [code, message, , retryAfterMs, details] = outcome;
      const error = new AppError(code as ErrorCode, message, {
        details,
        ...(retryAfterMs !== null && { retryAfterMs }),
      });
      return this.#told(user, (items[at] as SendItem)[0], error).toTuple();
    });
  }

  /** A reply to a change that keeps a refusal before it is told. */
  keeping({ op, user, args: [, clientId] }: Change, reply: Reply): Reply {
    // The id of a creation names the conversation: another one would make another conversation.
    if (op === "create") return reply;
    return {
      ok: (value) => reply.ok(value),
      fail: (thrown) => {
        const error = toAppError(thrown);
        reply.fail(keptOfChanges.includes(error.code) ? this.#told(user, clientId, error) : error);
      },
    };
  }

  #told(user: UserId, clientId: ClientId, error: AppError): AppError {
    // Of an id that stands for something else a repetition of that is answered as ever.
    if (error.outcome !== "final" || error.code === "id_reused") return error;
    // The same request came once more while this refusal waited for what it rests on, and was allowed by then.
    if (this.#state.used(user, clientId)) return new AppError("outcome_unknown");
    this.#all.keep(this.#nameOf(user, clientId), user, error);
    return error;
  }

  /** No part but the last can contain a space, by the forms of ids. */
  #nameOf(user: UserId, clientId: ClientId): string {
    return `${this.#prefix}${user} ${clientId}`;
  }
}
