// `parley serve --nodes N` as a process of a test, with its log read line by line. Disposing kills it and its nodes.
import type { Subprocess } from "bun";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");

/** A line of the log, as far as tests look at it. */
export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly node?: string;
  readonly pid?: number;
  readonly url?: string;
  readonly adminUrl?: string;
  readonly code?: number | null;
  readonly signal?: string | null;
  readonly said?: string | null;
  readonly why?: string;
  readonly inARow?: number;
}

/** A supervisor and its nodes. */
export class Supervised implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "parley-supervised-"));
  readonly lines: LogLine[] = [];
  /** Process ids of every node that was ever started. */
  readonly #pids = new Map<string, number[]>();
  readonly #adminUrls = new Map<string, string>();
  readonly #child: Subprocess<"ignore", "pipe", "pipe">;
  readonly #read: Promise<unknown>;
  #errors = "";
  #url = "";
  #wake = Promise.withResolvers<void>();

  constructor(nodes: number, environment: Readonly<Record<string, string>>, options: readonly string[] = []) {
    const { PATH = "", HOME = "" } = process.env;
    const args = ["src/main.ts", "serve", "--nodes", String(nodes), ...options];
    const settings = { PARLEY_DATA_DIR: join(this.folder, "data"), PARLEY_PORT: "0", PARLEY_LOG_FORMAT: "json" };
    this.#child = Bun.spawn([process.execPath, ...args], {
      cwd: root,
      env: { PATH, HOME, ...settings, ...environment },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const errors = new Response(this.#child.stderr).text().then((text) => {
      this.#errors = text;
    });
    this.#read = Promise.all([this.#readLog(), errors]);
  }

  /** The address that all nodes share. */
  get url(): string {
    return this.#url;
  }

  /** What it wrote to standard error; whole once it has ended. */
  get errors(): string {
    return this.#errors;
  }

  adminUrl(node: string): string {
    return this.#adminUrls.get(node) ?? "";
  }

  /** The present life of a node. */
  pid(node: string): number {
    return this.#pids.get(node)?.at(-1) ?? 0;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Settles with the exit code, once all it wrote was read. */
  async exited(): Promise<number> {
    const code = await this.#child.exited;
    await this.#read;
    return code;
  }

  /** The first line from `since` on that matches; rejects where it ends without one. */
  async line(matches: (line: LogLine) => boolean, since = 0): Promise<LogLine> {
    for (;;) {
      const found = this.lines.slice(since).find(matches);
      if (found !== undefined) return found;
      if (this.#child.exitCode !== null) throw new Error(`it ended: ${JSON.stringify(this.lines.slice(since))}`);
      await Promise.race([this.#wake.promise, this.#child.exited]);
    }
  }

  /** Waits until each of these nodes said that it is ready, from line `since` on. */
  async ready(nodes: readonly string[], since = 0): Promise<void> {
    for (const node of nodes) await this.line((line) => line.node === node && line.msg === "a node is ready", since);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    for (const pid of [...this.#pids.values()].flat()) if (isRunning(pid)) process.kill(pid, "SIGKILL");
    await this.#child.exited;
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #readLog(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of this.#child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#note(JSON.parse(line) as LogLine);
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    }
  }

  #note(line: LogLine): void {
    this.lines.push(line);
    const { node = "", pid, url, adminUrl } = line;
    if (line.msg === "a node was started" && pid !== undefined) {
      this.#pids.set(node, [...(this.#pids.get(node) ?? []), pid]);
    }
    if (url === undefined || adminUrl === undefined) return;
    this.#url = url;
    this.#adminUrls.set(node, adminUrl);
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // no such process
  }
}
