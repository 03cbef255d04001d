// A small world for tests of the actor system: actors whose every step the test decides, on a clock it moves.
// Used by system.test.ts and its neighbours only.
import { VirtualClock } from "../../test/sim/virtual-clock";
import { toAppError } from "../lib/errors";
import type { ActorKind, PlacedActor, PlacedContext, Reply } from "./actor";
import { createActorSystem } from "./system";
import type { ActorSystem } from "./system";

/** What a test decides about its actors; what it leaves out does the plain thing. */
export interface Script {
  readonly activate?: (ctx: PlacedContext) => Promise<void> | void;
  readonly receive?: (message: unknown, reply: Reply, ctx: PlacedContext) => Promise<void> | void;
  readonly passivate?: (ctx: PlacedContext) => Promise<boolean> | boolean;
  readonly limits?: Partial<Pick<ActorKind, "mailboxMax" | "idleMs" | "activeMax">>;
  readonly epoch?: () => number | null;
  readonly stop?: () => void;
  readonly mayAnswer?: () => boolean;
  readonly isBacked?: (message: unknown, value: unknown) => boolean;
}

/** A system, its clock, and everything that happened to its actors, in order. */
export interface World {
  readonly clock: VirtualClock;
  readonly system: ActorSystem;
  readonly trace: string[];
  /** Asks an actor and notes the answer: `key: value` or `key! code`. */
  ask(key: string, message: unknown, timeoutMs?: number): void;
}

/** Actors of kind `conversation` that echo, unless the script says otherwise. */
export function world(script: Script = {}): World {
  const clock = new VirtualClock();
  const trace: string[] = [];
  const kind: ActorKind = {
    name: "conversation",
    mailboxMax: 100,
    idleMs: 60_000,
    activeMax: 1000,
    ...script.limits,
    stop: () => script.stop?.(),
    isBacked: (message, value) => script.isBacked?.(message, value) ?? false,
    async activate(ctx): Promise<PlacedActor> {
      trace.push(`${ctx.key} activates`);
      await script.activate?.(ctx);
      return {
        receive: (message, reply) =>
          script.receive ? script.receive(message, reply, ctx) : reply.ok(`echo ${String(message)}`),
        async passivate() {
          trace.push(`${ctx.key} passivates`);
          return (await script.passivate?.(ctx)) ?? true;
        },
        abort: (error) => void trace.push(`${ctx.key} aborts: ${error.code}`),
      };
    },
  };
  const system = createActorSystem({
    clock,
    kinds: [kind],
    placement: {
      epochOf: () => (script.epoch ? script.epoch() : 7),
      suspect: () => void trace.push("suspects"),
      mayAnswer: () => script.mayAnswer?.() ?? true,
    },
    events: {
      failed: (_kind, key, phase) => void trace.push(`${key} failed to ${phase}`),
      dropped: (_kind, key, reason, count) => void trace.push(`${key} dropped ${count}: ${reason}`),
    },
  });
  const ask = (key: string, message: unknown, timeoutMs?: number): void => {
    system.ask("conversation", key, message, timeoutMs).then(
      (value) => trace.push(`${key}: ${String(value)}`),
      (error: unknown) => trace.push(`${key}! ${toAppError(error).code}`),
    );
    clock.settle();
  };
  return { clock, system, trace, ask };
}
