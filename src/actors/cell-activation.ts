// One life of an actor: what it may do to the world, until it ends.
// Owned by ActorCell; whatever an ended activation still tries is ignored.
import type { Cancel, Clock } from "../lib/clock";
import type { Epoch } from "../protocol/ids";
import type { ActorKind, KindName, PlacedContext } from "./actor";
import { SelfTell } from "./system-letters";
import type { Ask, Life } from "./system-letters";

/** What an activation needs of its cell. */
export interface ActivationHost {
  readonly key: string;
  readonly clock: Clock;
  readonly kind: ActorKind;
  /** As {@link Placement.mayAnswer}, for the actor's partition. */
  mayAnswer(): boolean;
  /** As {@link Life.hold}. */
  hold(ask: Ask): boolean;
  tell(kind: KindName, key: string, message: unknown): void;
  tellSelf(letter: SelfTell): void;
  stopRequested(activation: Activation): void;
}

/** The context of one activation, and whether it still lives. */
export class Activation implements PlacedContext, Life {
  readonly epoch: Epoch;
  /** It asked to end, or was told to; it receives nothing any more. */
  stopping = false;
  #ended = false;
  readonly #host: ActivationHost;
  #timers: Set<Cancel> | null = null;

  constructor(host: ActivationHost, epoch: Epoch) {
    this.#host = host;
    this.epoch = epoch;
  }

  get key(): string {
    return this.#host.key;
  }

  get clock(): Clock {
    return this.#host.clock;
  }

  get ended(): boolean {
    return this.#ended;
  }

  mayAnswer(message: unknown, value: unknown): boolean {
    return this.#host.mayAnswer() || this.#host.kind.isBacked?.(message, value) === true;
  }

  mayRefuse(): boolean {
    return this.#host.mayAnswer();
  }

  hold(ask: Ask): boolean {
    return this.#host.hold(ask);
  }

  tell(kind: KindName, key: string, message: unknown): void {
    if (!this.#ended) this.#host.tell(kind, key, message);
  }

  tellSelf(ms: number, message: unknown): Cancel {
    if (this.#ended) return () => undefined;
    this.#timers ??= new Set();
    const timers = this.#timers;
    const letter = new SelfTell(message, this);
    const stopClock = this.clock.after(ms, () => {
      timers.delete(cancel);
      this.#host.tellSelf(letter);
    });
    const cancel = (): void => {
      // Fallen due but not yet received, it is not received either.
      letter.cancelled = true;
      timers.delete(cancel);
      stopClock();
    };
    timers.add(cancel);
    return cancel;
  }

  stop(): void {
    if (this.#ended || this.stopping) return;
    this.stopping = true;
    this.#host.stopRequested(this);
  }

  /** Called by the cell, once. */
  end(): void {
    this.#ended = true;
    for (const cancel of this.#timers ?? []) cancel();
    this.#timers = null;
  }
}
