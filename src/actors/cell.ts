// One actor's place on this node: its mailbox, and the activation that handles what lies in it.
// Owned by ActorSystem, one for each key in use; keeps "one message at a time" and "never two activations of a key".
import type { Clock } from "../lib/clock";
import { AppError, toAppError } from "../lib/errors";
import type { Epoch } from "../protocol/ids";
import type { ActorKind, KindName, PlacedActor } from "./actor";
import { Activation } from "./cell-activation";
import type { ActivationHost } from "./cell-activation";
import { Mailbox } from "./mailbox";
import type { MailboxOwner } from "./mailbox";
import type { Turns } from "./mailbox-turns";
import { NotHere } from "./not-here";
import type { Ask, Letter, SelfTell } from "./system-letters";

/** What was being done when an actor failed. */
export type Phase = "activate" | "receive" | "passivate" | "abort";

/** Why messages were not handled. */
export type DropReason = "mailboxFull" | "tooManyActive" | "activationFailed" | "actorEnded" | "stopped";

/** What a cell needs of its system. */
export interface CellHost {
  readonly clock: Clock;
  readonly turns: Turns;
  epochOf(partition: number): Epoch | null;
  /** As `Placement.mayAnswer`. */
  mayAnswer(partition: number): boolean;
  /** As `Life.hold`. */
  hold(ask: Ask): boolean;
  /** From one actor to another, wherever that one is. */
  route(kind: KindName, key: string, message: unknown): void;
  /** Something threw. The activation has ended, or never began. */
  failed(cell: ActorCell, phase: Phase, error: unknown): void;
  /** An activation ended itself or could not begin. */
  suspect(cell: ActorCell): void;
  dropped(cell: ActorCell, reason: DropReason, count: number): void;
  /** An activation that had begun has ended. */
  ended(cell: ActorCell): void;
  /** The cell holds neither an activation nor messages, and is not used again. */
  vacated(cell: ActorCell): void;
}

/**
 * `vacant`: no activation; `activating`: one is being loaded, messages wait; `active`; `passivating`: it makes itself
 * durable, messages wait for the next; `stopping`: it ends as soon as the current message is done.
 */
type State = "vacant" | "activating" | "active" | "passivating" | "stopping";

/** See the head of this file. A cell that was vacated is not used again. */
export class ActorCell implements MailboxOwner<Letter>, ActivationHost {
  readonly key: string;
  readonly kind: ActorKind;
  readonly partition: number;
  /** Neighbours by last use and when that was (monotonic milliseconds): {@link KindCells} alone touches them. */
  older: ActorCell | null = null;
  newer: ActorCell | null = null;
  usedAt = 0;
  readonly #host: CellHost;
  readonly #mailbox: Mailbox<Letter>;
  #state: State = "vacant";
  #activation: Activation | null = null;
  #actor: PlacedActor | null = null;
  /** What ends the activation that is stopping. */
  #stopError: AppError | null = null;

  constructor(kind: ActorKind, key: string, partition: number, host: CellHost) {
    this.kind = kind;
    this.key = key;
    this.partition = partition;
    this.#host = host;
    this.#mailbox = new Mailbox<Letter>(this, host.turns, kind.mailboxMax);
  }

  get clock(): Clock {
    return this.#host.clock;
  }

  get state(): State {
    return this.#state;
  }

  /** Messages waiting. */
  get depth(): number {
    return this.#mailbox.depth;
  }

  /** Whether its activation is to end and has not yet: what it did is not seen, and it says nothing any more. */
  get isEnding(): boolean {
    return this.#state === "stopping" || this.#activation?.stopping === true;
  }

  /** The activation, where it has begun and is not ending. */
  get actor(): PlacedActor | null {
    return this.isEnding ? null : this.#actor;
  }

  /** Takes a message, or answers it `overloaded` where the mailbox is full. */
  deliver(letter: Letter): void {
    // Looked at first: an active one may handle the letter within the offer, and be gone after it.
    const vacant = this.#state === "vacant";
    if (!this.#mailbox.offer(letter)) {
      letter.fail(new AppError("overloaded", undefined, { retryAfterMs: 100 }));
      this.#host.dropped(this, "mailboxFull", 1);
      return;
    }
    if (vacant) this.#activate();
  }

  /** Begins to passivate. False where that cannot begin now: not active, or something is being handled or waits. */
  passivate(): boolean {
    const activation = this.#activation;
    if (this.#state !== "active" || !this.#actor || !activation) return false;
    if (this.#mailbox.busy || this.#mailbox.depth > 0) return false;
    this.#state = "passivating";
    this.#mailbox.pause();
    promised(this.#actor.passivate.bind(this.#actor)).then(
      (done) => this.#passivated(activation, done),
      (error: unknown) => this.#passivationFailed(activation, error),
    );
    return true;
  }

  /** Ends the activation, after the current message where there is one; what waits is answered `waiting` at once. */
  stop(owed: AppError, waiting: AppError): void {
    const letters = this.#mailbox.takeAll();
    this.#answer(letters, waiting, "stopped");
    this.#mailbox.pause();
    this.#stopError = owed;
    if (this.#activation) this.#activation.stopping = true;
    if (this.#state === "active" && !this.#mailbox.busy) this.#end(owed);
    else if (this.#state === "active") this.#state = "stopping";
  }

  // The mailbox's owner.

  handle(letter: Letter): Promise<void> | void {
    if (letter.isVoid() || !this.#actor || !this.#activation) return;
    letter.receivedBy(this.#activation);
    return this.#actor.receive(letter.message, letter);
  }

  failed(letter: Letter, error: unknown): void {
    const answer = new AppError("internal", undefined, { cause: error });
    letter.fail(answer);
    this.#host.failed(this, "receive", error);
    this.#stopError = answer;
    this.#state = "stopping";
  }

  rested(): void {
    if (this.#state === "stopping") this.#end(this.#stopError ?? new AppError("outcome_unknown"));
  }

  // The activation's host.

  mayAnswer(): boolean {
    return this.#host.mayAnswer(this.partition);
  }

  hold(ask: Ask): boolean {
    return this.#host.hold(ask);
  }

  tell(kind: KindName, key: string, message: unknown): void {
    this.#host.route(kind, key, message);
  }

  tellSelf(letter: SelfTell): void {
    // Past the capacity if need be: an actor bounds its own timers, and must not lose one to a crowd of callers.
    this.#mailbox.push(letter);
  }

  stopRequested(activation: Activation): void {
    this.#mailbox.pause();
    this.#host.suspect(this);
    if (this.#state !== "active") return;
    this.#state = "stopping";
    // Not while the actor's own code, a timer of its or an answer from the store, is on the stack.
    if (!this.#mailbox.busy) queueMicrotask(() => this.#endIfCurrent(activation));
  }

  #endIfCurrent(activation: Activation): void {
    if (this.#activation === activation && this.#state === "stopping") this.rested();
  }

  #activate(): void {
    const epoch = this.#host.epochOf(this.partition);
    if (epoch === null) {
      this.#vacate(new NotHere("shutting_down", "this node no longer serves this actor; repeat"), "stopped");
      return;
    }
    const activation = new Activation(this, epoch);
    this.#state = "activating";
    this.#activation = activation;
    this.#stopError = null;
    promised(() => this.kind.activate(activation)).then(
      (actor) => this.#activated(activation, actor),
      (error: unknown) => this.#activationFailed(activation, error),
    );
  }

  #activated(activation: Activation, actor: PlacedActor): void {
    this.#actor = actor;
    if (activation.stopping) {
      this.#end(this.#stopError ?? new AppError("outcome_unknown"));
      return;
    }
    this.#state = "active";
    this.#mailbox.resume();
  }

  #activationFailed(activation: Activation, error: unknown): void {
    activation.end();
    this.#forget();
    if (!activation.stopping) this.#host.failed(this, "activate", error);
    this.#host.suspect(this);
    this.#vacate(this.#stopError ?? toAppError(error), "activationFailed");
  }

  #passivated(activation: Activation, done: boolean): void {
    if (activation.stopping && !done) {
      this.#end(this.#stopError ?? new AppError("outcome_unknown"));
    } else if (done) {
      activation.end();
      this.#forget();
      this.#host.ended(this);
      this.#goOn();
    } else {
      this.#state = "active";
      this.#mailbox.resume();
    }
  }

  #passivationFailed(activation: Activation, error: unknown): void {
    this.#host.failed(this, "passivate", error);
    this.#abort(activation, new AppError("internal", undefined, { cause: error }));
    this.#goOn();
  }

  /** After an activation ended: what came meanwhile gets the next one. */
  #goOn(): void {
    if (this.#mailbox.depth > 0) this.#activate();
    else this.#host.vacated(this);
  }

  /** Ends the activation by `abort`; what waits is answered with the same error. */
  #end(error: AppError): void {
    const letters = this.#mailbox.takeAll();
    if (this.#activation) this.#abort(this.#activation, error);
    this.#answer(letters, error, "actorEnded");
    this.#goOn();
  }

  #abort(activation: Activation, error: AppError): void {
    const actor = this.#actor;
    activation.end();
    this.#forget();
    // Not vacant before it is over: what the actor sends itself from here waits for the next activation.
    this.#state = "stopping";
    try {
      actor?.abort(error);
    } catch (thrown) {
      this.#host.failed(this, "abort", thrown);
    }
    this.#state = "vacant";
    this.#host.ended(this);
  }

  #forget(): void {
    this.#state = "vacant";
    this.#activation = null;
    this.#actor = null;
  }

  #vacate(error: AppError, reason: DropReason): void {
    this.#state = "vacant";
    const letters = this.#mailbox.takeAll();
    this.#host.vacated(this);
    this.#answer(letters, error, reason);
  }

  #answer(letters: readonly Letter[], error: AppError, reason: DropReason): void {
    let dropped = 0;
    for (const letter of letters) {
      if (letter.isVoid()) continue;
      letter.fail(error);
      dropped += 1;
    }
    if (dropped > 0) this.#host.dropped(this, reason, dropped);
  }
}

/** What `call` promises; a throw before the promise is a rejection too. */
async function promised<T>(call: () => Promise<T>): Promise<T> {
  return await call();
}
