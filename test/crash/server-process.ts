// A real server as a process that tests may kill: `bun src/main.ts serve` on a port and a data folder that outlive it.
import type { Subprocess } from "bun";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { benchSecret, signToken } from "../../bench/tokens";

const ownSources = join(import.meta.dir, "../..");
const readyTimeoutMs = 30_000;

/** How a start differs from the last. */
export interface StartOptions {
  readonly environment?: Readonly<Record<string, string>>;
  /** A command to run the server under, such as strace. */
  readonly under?: readonly string[];
}

/** One server through all its lives. Disposing kills it and removes its data. */
export class ServerProcess implements AsyncDisposable {
  readonly port: number;
  readonly dataDir: string;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #sources: string;
  #child: Subprocess<"ignore", "ignore", "pipe"> | null = null;
  #errors: Promise<string> = Promise.resolve("");

  /**
   * @param environment of every life, such as where its data is
   * @param sources the folder whose `src` it runs: this clone, or another release
   */
  constructor(environment: Readonly<Record<string, string>> = {}, sources = ownSources) {
    this.#environment = environment;
    this.#sources = sources;
    this.dataDir = mkdtempSync(join(tmpdir(), "parley-crash-"));
    const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
    this.port = probe.port;
    probe.stop(true);
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}/v1/ws`;
  }

  /** Process id of the present life. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Settles with the exit code once the present life ends. */
  get exited(): Promise<number> {
    return this.#child?.exited ?? Promise.resolve(0);
  }

  token(user: string): string {
    return signToken(user, benchSecret);
  }

  /** Starts it and waits until it takes requests. Rejects with what it wrote when it ends before. */
  async start({ environment = {}, under = [] }: StartOptions = {}): Promise<void> {
    const child = Bun.spawn([...under, process.execPath, "src/main.ts", "serve"], {
      cwd: this.#sources,
      env: { ...foreignVariables(), ...settingsOf(this), ...this.#environment, ...environment },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    this.#child = child;
    this.#errors = new Response(child.stderr).text();
    const deadline = performance.now() + readyTimeoutMs;
    while (child.exitCode === null && child.signalCode === null && performance.now() < deadline) {
      const answer = await fetch(`http://127.0.0.1:${this.port}/readyz`).catch(() => null);
      if (answer?.ok) return;
      await Bun.sleep(10);
    }
    await this.kill();
    throw new Error(`the server did not become ready: ${await this.#errors}`);
  }

  /** `kill -9`; resolves once it is gone. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.exited;
  }

  /** Asks it to stop and waits. */
  async stop(): Promise<number> {
    this.#child?.kill("SIGTERM");
    return await this.exited;
  }

  /** What it wrote to stderr in the life that ended last. */
  errors(): Promise<string> {
    return this.#errors;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}

/** Without settings of Parley, and without the addresses of servers that tests stand on. */
function foreignVariables(): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("PARLEY_")));
}

function settingsOf(server: ServerProcess): Record<string, string> {
  return {
    PARLEY_PORT: String(server.port),
    PARLEY_DATA_DIR: server.dataDir,
    PARLEY_AUTH_SECRET: benchSecret,
    PARLEY_LOG_LEVEL: "error",
    PARLEY_RATES_SESSION_PER_SECOND: "100000",
    PARLEY_RATES_SESSION_BURST: "100000",
    PARLEY_RATES_USER_PER_SECOND: "100000",
    PARLEY_RATES_USER_BURST: "100000",
  };
}
