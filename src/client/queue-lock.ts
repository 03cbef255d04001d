// Which tab drains which queue. Every client drains its own and holds a Web Lock on it while it lives; the queues of clients
// that are gone are taken over by one of those that live. Where there are no locks, the storage belongs to one client alone.

/** The part of `navigator.locks` that is used. */
export interface Locks {
  request<T>(
    name: string,
    options: { readonly ifAvailable?: boolean; readonly signal?: AbortSignal },
    call: (lock: unknown) => Promise<T>,
  ): Promise<T>;
}

/** The platform's locks, where it has them. */
export function platformLocks(): Locks | null {
  const locks: unknown = (globalThis as { navigator?: { locks?: unknown } }).navigator?.locks;
  return locks ? (locks as Locks) : null;
}

/** Holds the lock `name` until `signal` aborts; resolves once it is held. */
export function hold(locks: Locks, name: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    locks
      .request(name, {}, () => {
        resolve();
        return new Promise<void>((release) => {
          if (signal.aborted) release();
          else signal.addEventListener("abort", () => release(), { once: true });
        });
      })
      .catch(reject);
  });
}

/** Calls `adopt` once the lock `name` is free; `at once` answers without it where it is not free now. */
export async function whenFree(
  locks: Locks,
  name: string,
  when: "at once" | "later",
  signal: AbortSignal,
  adopt: () => Promise<void>,
): Promise<"adopted" | "taken"> {
  const options = when === "at once" ? { ifAvailable: true } : { signal };
  return locks.request(name, options, async (lock) => {
    if (lock === null) return "taken";
    await adopt();
    return "adopted";
  });
}
