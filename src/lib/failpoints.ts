// Failpoints and negative controls: places where a test makes the process die, fail or wait, and guarantees it switches off.
// Off unless main (or a worker's first message) calls `configureFailpoints`; then the one piece of state of lib/ is set once.

type Action = "exit" | "end" | "stop" | "throw" | "delay";

interface Armed {
  readonly action: Action;
  /** Milliseconds of a delay. */
  readonly ms: number;
  /** Acts on this hit only, counted from 1; 0 acts on every hit. */
  readonly on: number;
  hits: number;
}

/** What a failpoint with the action `throw` throws. */
export class FailpointError extends Error {
  override readonly name = "FailpointError";
}

/** The exception to "no global state": a failpoint must be reachable from anywhere and cost nothing when off. */
const state: { given: string; armed: ReadonlyMap<string, Armed> | null; controls: ReadonlySet<string> | null } = {
  given: "",
  armed: null,
  controls: null,
};

const form =
  /^(?<name>[a-z][\w.-]*)(?:=(?<action>exit|end|stop|throw|delay)(?::(?<ms>\d{1,6}))?(?:@(?<on>\d{1,9}))?)?$/i;

/**
 * Arms failpoints by a list separated by commas or semicolons: `commit.before=exit@3` (kill -9 of this process at the third
 * hit), `commit.after=end` (ends this thread alone), `commit.before=stop` (SIGSTOP of this process), `ack.before-fanout=throw`, `x=delay:50`. A name alone, `negative.cursorWithoutMax`, turns that negative
 * control on. An empty list turns everything off. Throws on what it does not understand.
 */
export function configureFailpoints(spec: string): void {
  const points = new Map<string, Armed>();
  const names = new Set<string>();
  for (const part of spec.split(/[,;]/).map((each) => each.trim())) {
    if (part === "") continue;
    const { name, action, ms, on } = form.exec(part)?.groups ?? {};
    if (!name)
      throw new Error(
        `a failpoint is name=exit|end|stop|throw|delay:ms, with @hit at will, or a control's name: ${part}`,
      );
    if (action) points.set(name, { action: action as Action, ms: Number(ms ?? 0), on: Number(on ?? 0), hits: 0 });
    else names.add(name);
  }
  state.given = spec;
  state.armed = points.size > 0 ? points : null;
  state.controls = names.size > 0 ? names : null;
}

/** What {@link configureFailpoints} was given last: for the first message of a worker, which has its own copy of this state. */
export function failpointSpec(): string {
  return state.given;
}

/** A place where a test may stop, fail or delay this process. Costs one comparison when nothing is armed. */
export function failpoint(name: string): void {
  if (state.armed !== null) hit(state.armed.get(name));
}

/** Ample for what was answered in a turn to leave its socket. */
const lingerMs = 50;

/**
 * A place behind answers, where a test may kill this process once they have left: `exit` then comes {@link lingerMs} later,
 * and until then this answers true at every hit, so that the caller stops there. Other actions act as in {@link failpoint}.
 */
export function diesBehind(name: string): boolean {
  const point = state.armed?.get(name);
  if (!point) return false;
  if (point.action !== "exit") hit(point);
  else if (++point.hits === Math.max(1, point.on)) setTimeout(die, lingerMs);
  return point.action === "exit" && point.hits >= point.on;
}

/** Whether a negative control is on: code that keeps a guarantee asks, and leaves it unkept so that the proof can fail. */
export function isControlOn(name: string): boolean {
  return state.controls?.has(name) ?? false;
}

function hit(point: Armed | undefined): void {
  if (!point) return;
  point.hits++;
  if (point.on !== 0 && point.hits !== point.on) return;
  if (point.action === "throw") throw new FailpointError("a failpoint was armed to throw");
  if (point.action === "delay") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, point.ms);
  else if (point.action === "end") process.exit(1);
  else if (point.action === "stop") stopProcess();
  else die();
}

/** Stands still, all threads together, until somebody sends SIGCONT. */
function stopProcess(): void {
  process.kill(process.pid, "SIGSTOP");
  // Delivered within this time, so that nothing behind the failpoint happens before.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
}

/** As kill -9: no handler runs, nothing is flushed. */
function die(): void {
  process.kill(process.pid, "SIGKILL");
  // The signal is delivered to the process, not to this thread: wait here so that nothing after the failpoint happens.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
