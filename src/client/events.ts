// The event stream of a client: listeners run at once, in the order they came. Owned by the client.
import type { ClientEvents, Unsubscribe } from "./types";

type Listener<N extends keyof ClientEvents> = (event: ClientEvents[N]) => void;

/** Hands events on. A listener that throws is reported as an `error` event, or to the platform where it listens to those. */
export class Events {
  readonly #listeners = new Map<keyof ClientEvents, Set<Listener<never>>>();

  on<N extends keyof ClientEvents>(name: N, listener: Listener<N>): Unsubscribe {
    const own: Listener<N> = (event) => listener(event);
    const set = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, set);
    set.add(own as Listener<never>);
    return () => void set.delete(own as Listener<never>);
  }

  emit<N extends keyof ClientEvents>(name: N, event: ClientEvents[N]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        (listener as Listener<N>)(event);
      } catch (error) {
        if (name === "error") reportToPlatform(error);
        else this.report(error);
      }
    }
  }

  /** Something went wrong that nobody waits for. */
  report(thrown: unknown): void {
    this.emit("error", { error: thrown instanceof Error ? thrown : new Error(String(thrown)) });
  }
}

/** What a listener of errors throws has nobody left to go to. */
function reportToPlatform(error: unknown): void {
  const platform = globalThis as { reportError?: (error: unknown) => void };
  if (platform.reportError) platform.reportError(error);
  else
    queueMicrotask(() => {
      throw error;
    });
}
