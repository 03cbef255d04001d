// The router of a node that is alone: every actor lives here, so what is asked is asked of this node's system.
// Owned by server.ts. A cluster's router implements the same port and hands on what lives elsewhere.
import type { KindName, PlacedActor, Router } from "./actor";
import { createActorSystem } from "./system";
import type { ActorSystem, DrainReport, SystemOptions, SystemStats } from "./system";
import { claimAll } from "./local-placement";
import type { ClaimingStore, LocalPlacement } from "./local-placement";

/** What a system needs, and the store that says who owns the data. */
export interface LocalRouterOptions extends Omit<SystemOptions, "placement"> {
  readonly store: ClaimingStore;
  /** Another server took the data over: called once, after everything here was answered retryable and stopped. */
  readonly onSteppedDown: () => void;
}

/** Claims all partitions and begins to route. Rejects as `store.claim` does. */
export async function startLocalRouter(options: LocalRouterOptions): Promise<LocalRouter> {
  const { store, clock, onSteppedDown } = options;
  const stepDown = (): void => {
    router.stop();
    onSteppedDown();
  };
  const placement = await claimAll({ store, clock, onFenced: stepDown });
  const router = new LocalRouter(createActorSystem({ ...options, placement }), placement);
  return router;
}

/** See the head of this file. Made by {@link startLocalRouter}. */
export class LocalRouter implements Router {
  readonly #system: ActorSystem;
  readonly #placement: LocalPlacement;

  constructor(system: ActorSystem, placement: LocalPlacement) {
    this.#system = system;
    this.#placement = placement;
  }

  ask(kind: KindName, key: string, message: unknown, timeoutMs?: number): Promise<unknown> {
    return this.#system.ask(kind, key, message, timeoutMs);
  }

  tell(kind: KindName, key: string, message: unknown): void {
    this.#system.tell(kind, key, message);
  }

  tellHere(kind: KindName, key: string, message: unknown): boolean {
    this.#system.tell(kind, key, message);
    return true;
  }

  peek(kind: KindName, key: string): PlacedActor | null {
    return this.#system.peek(kind, key);
  }

  recentlyActive(kind: KindName, key: string): boolean {
    return this.#system.recentlyActive(kind, key);
  }

  stats(): SystemStats {
    return this.#system.stats();
  }

  /** As {@link ActorSystem.drain}; the sessions are gone by then, or are answered `shutting_down`. */
  drain(deadlineMs: number): Promise<DrainReport> {
    return this.#system.drain(deadlineMs);
  }

  /** As {@link ActorSystem.stop}; the epoch is not looked after any more. */
  stop(): void {
    this.#placement.close();
    this.#system.stop();
  }
}
