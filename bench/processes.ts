// Starts what a bench needs, each as a process of its own: Parley, the raw baselines, the generator. All end with the bench.
import type { Subprocess } from "bun";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Plan, Target } from "./plan";
import { benchSecret } from "./tokens";

type Piped = Subprocess<"ignore", "pipe", "inherit">;

/** A server under load; disposing ends it. */
export interface Serving extends AsyncDisposable {
  readonly target: Target;
  /** `kill -9`; resolves once it is gone. */
  kill(): Promise<void>;
  /** Asks it to stop; resolves once it has. */
  stop(): Promise<void>;
}

const root = join(import.meta.dir, "..");

/** What is ended with this process, however it ends, but by `kill -9`. */
const children = new Set<number>();

/** Ends this process at a signal, and its children with it. Called once, where a process begins. */
export function endWithChildren(): void {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130));
  process.on("exit", () => {
    for (const pid of children) endQuietly(pid);
  });
}

/** Has a process end with this one; the answered function lets it go. */
export function keep(pid: number): () => void {
  children.add(pid);
  return () => void children.delete(pid);
}

function endQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}

/** A folder that goes when it is disposed. */
export function temporaryFolder(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "parley-bench-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Starts the raw WebSocket server. */
export async function startRawServer(): Promise<Serving> {
  const child = spawn("bench/raw-server.ts", []);
  const { port } = JSON.parse(await firstLine(child)) as { port: number };
  return serving(child, { port, pid: child.pid, raw: true, secret: "" });
}

/** Starts Parley as an operator would, with everything on and the limits of one address and person raised for the load. */
export async function startParley(dataDir: string, extra: Readonly<Record<string, string>> = {}): Promise<Serving> {
  const port = freePort();
  const env = {
    PARLEY_PORT: String(port),
    PARLEY_DATA_DIR: dataDir,
    PARLEY_AUTH_SECRET: benchSecret,
    PARLEY_LOG_LEVEL: "warn",
    PARLEY_CONNECTIONS_PER_USER: "10000",
    PARLEY_CONNECTIONS_PER_ADDRESS: "100000",
    PARLEY_RATES_SESSION_PER_SECOND: "1000000",
    PARLEY_RATES_SESSION_BURST: "1000000",
    PARLEY_RATES_USER_PER_SECOND: "1000000",
    PARLEY_RATES_USER_BURST: "1000000",
    ...extra,
  };
  const child = Bun.spawn([process.execPath, "src/main.ts", "serve"], {
    cwd: root,
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "inherit",
  });
  void child.exited.then(keep(child.pid));
  await untilReady(child, port);
  return serving(child, { port, pid: child.pid, raw: false, secret: benchSecret });
}

/** Runs a plan in a generator process; `onOutcome` is told each of its lines. Rejects when it fails. */
export async function generate(plan: Plan, onOutcome: (value: unknown) => void): Promise<void> {
  await linesOf(spawn("bench/generator.ts", [JSON.stringify(plan)]), onOutcome);
}

/** Inserts rows raw in a process of its own; see raw-sqlite.ts. */
export async function insertRawRows(conversations: number, seconds: number): Promise<unknown> {
  let outcome: unknown = null;
  await linesOf(spawn("bench/raw-sqlite.ts", [String(conversations), String(seconds)]), (value) => (outcome = value));
  return outcome;
}

function spawn(script: string, args: readonly string[]): Piped {
  const child = Bun.spawn([process.execPath, script, ...args], {
    cwd: root,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  void child.exited.then(keep(child.pid));
  return child;
}

function serving(child: Subprocess, target: Target): Serving {
  const end = async (signal: "SIGTERM" | "SIGKILL"): Promise<void> => {
    child.kill(signal);
    const deadline = setTimeout(() => child.kill("SIGKILL"), 15_000);
    await child.exited;
    clearTimeout(deadline);
  };
  return {
    target,
    kill: () => end("SIGKILL"),
    stop: () => end("SIGTERM"),
    [Symbol.asyncDispose]: () => end("SIGTERM"),
  };
}

async function untilReady(child: Subprocess, port: number): Promise<void> {
  for (let tries = 0; tries < 600 && child.exitCode === null; tries++) {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null);
    if (answer?.ok) return;
    await Bun.sleep(50);
  }
  child.kill("SIGKILL");
  throw new Error("the server did not become ready");
}

function freePort(): number {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  probe.stop(true);
  return probe.port;
}

async function firstLine(child: Piped): Promise<string> {
  const reader = child.stdout.getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { done, value } = await reader.read();
    if (done) throw new Error("the process ended without a word");
    text += Buffer.from(value).toString();
  }
  return text.slice(0, text.indexOf("\n"));
}

async function linesOf(child: Piped, onLine: (value: unknown) => void): Promise<void> {
  let rest = "";
  for await (const chunk of child.stdout) {
    const lines = (rest + Buffer.from(chunk).toString()).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(JSON.parse(line));
  }
  const code = await child.exited;
  if (code !== 0) throw new Error(`a process of the bench ended with ${code}`);
}
