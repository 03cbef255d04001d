// A router that is known before there is one: the parts of a server name each other, and partitions are claimed last.
// Owned by server.ts. Until it is bound, asks are answered `shutting_down`, as they are after the end, and tells are lost.
import { AppError } from "../lib/errors";
import type { AskSource, KindName, PlacedActor, Router } from "./actor";

/** See the head of this file. */
export class LateRouter implements Router {
  #router: Router | null = null;

  /** From now on everything goes to `router`. */
  bind(router: Router): void {
    this.#router = router;
  }

  ask(kind: KindName, key: string, message: unknown, ...how: [number?, AskSource?]): Promise<unknown> {
    return this.#router?.ask(kind, key, message, ...how) ?? Promise.reject(new AppError("shutting_down"));
  }

  tell(kind: KindName, key: string, message: unknown): void {
    this.#router?.tell(kind, key, message);
  }

  tellHere(kind: KindName, key: string, message: unknown): boolean {
    return this.#router?.tellHere(kind, key, message) ?? false;
  }

  peek(kind: KindName, key: string): PlacedActor | null {
    return this.#router?.peek(kind, key) ?? null;
  }

  recentlyActive(kind: KindName, key: string): boolean {
    return this.#router?.recentlyActive(kind, key) ?? false;
  }
}
