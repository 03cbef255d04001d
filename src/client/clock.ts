// Time as the client sees it, so that tests run under a virtual clock. The default works in browsers, Bun and Node.

/** Time, as a port. */
export interface ClientClock {
  /** Milliseconds since 1970; may step. */
  now(): number;
  /** Milliseconds that never step back. */
  monotonic(): number;
  /** Calls once, `ms` or later from now; the answer cancels it. */
  after(ms: number, call: () => void): () => void;
  /** Calls once, after this turn of the event loop. */
  defer(call: () => void): void;
}

/** The system's own time. Its timers do not keep a Bun or Node process alive. */
export function createSystemClock(): ClientClock {
  return {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    after(ms, call) {
      const timer: unknown = setTimeout(call, ms);
      unref(timer);
      return () => clearTimeout(timer as ReturnType<typeof setTimeout>);
    },
    defer: createDefer(),
  };
}

function unref(timer: unknown): void {
  if (typeof timer === "object" && timer !== null && "unref" in timer && typeof timer.unref === "function")
    timer.unref();
}

/** A macrotask without the 4 ms (hidden pages: 1 s) that browsers add to nested time-outs. */
function createDefer(): (call: () => void) => void {
  if (typeof setImmediate === "function") return (call) => void setImmediate(call);
  if (typeof MessageChannel !== "function") return (call) => void setTimeout(call, 0);
  const channel = new MessageChannel();
  const waiting: (() => void)[] = [];
  channel.port1.onmessage = () => waiting.shift()?.();
  return (call) => {
    waiting.push(call);
    channel.port2.postMessage(null);
  };
}
