// Time as a port, so that everything that decides runs under a virtual clock in simulation.

/** Cancels a timer; idempotent. */
export type Cancel = () => void;

/** What time it is, and when to be called. Everything that decides is handed one. */
export interface Clock {
  /** Wall-clock milliseconds since 1970; may step. */
  now(): number;
  /** Milliseconds that never step back; for durations and deadlines. */
  monotonic(): number;
  /** Calls once, `ms` or later from now. Timers do not keep the process alive. */
  after(ms: number, call: () => void): Cancel;
  /** Calls once at the end of this turn of the event loop, after what arrived with it was handled. */
  endOfTurn(call: () => void): void;
}

/** The machine's own clock and timers. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
  endOfTurn: (call) => void setImmediate(call),
};
