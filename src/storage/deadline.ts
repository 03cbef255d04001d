// An answer within a bounded time, whatever the store is doing meanwhile.
// Used by both drivers for what may not wait for a thread or a server that is stuck.
import type { Clock } from "../lib/clock";
import { AppError } from "../lib/errors";

/** As `work`, but rejects with `store_unavailable` and these words after `ms`; what comes later is dropped. */
export async function within<T>(clock: Clock, ms: number, work: Promise<T>, says: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const cancel = clock.after(ms, () => late.reject(new AppError("store_unavailable", says)));
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    cancel();
  }
}
