// The event stream of a client: listeners run at once, in the order they came. Owned by the client.
import { ClientError } from "./errors";
import type { ClientEvents, Unsubscribe } from "./types";

const connectionCodes = new Set(["offline", "disconnected", "closed"]);

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

  /** Something went wrong that nobody waits for. That there is no connection is told by the connection's state alone. */
  report(thrown: unknown): void {
    if (thrown instanceof ClientError && thrown.outcome !== "final" && connectionCodes.has(thrown.code)) return;
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
