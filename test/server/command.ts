// Runs the command `parley` as a process, for tests of what it prints and how it ends.
import type { Subprocess } from "bun";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");

/** What a finished command said. */
export interface Finished {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** One running command. Disposing kills it. */
export class Command implements AsyncDisposable {
  readonly #child: Subprocess<"ignore", "pipe", "pipe">;
  readonly #out: Listened;
  readonly #err: Listened;

  /** @param environment everything it gets, beside the path and the home folder */
  constructor(args: readonly string[], environment: Readonly<Record<string, string>>, program = bunProgram) {
    const { PATH = "", HOME = "" } = process.env;
    this.#child = Bun.spawn([...program, ...args], {
      cwd: root,
      env: { PATH, HOME, ...environment },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#out = new Listened(this.#child.stdout);
    this.#err = new Listened(this.#child.stderr);
  }

  /** The first line that matches, of either stream; rejects when the command ends without it. */
  async line(pattern: RegExp): Promise<string> {
    const found = Promise.race([this.#out.line(pattern), this.#err.line(pattern)]);
    const ended = Promise.all([this.#out.ended, this.#err.ended]).then(() => {
      throw new Error(`ended without ${pattern}: ${this.#out.text}${this.#err.text}`);
    });
    return Promise.race([found, ended]);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async finished(): Promise<Finished> {
    const code = await this.#child.exited;
    await Promise.all([this.#out.ended, this.#err.ended]);
    return { code, out: this.#out.text, err: this.#err.text };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}

const bunProgram: readonly string[] = [process.execPath, join(root, "src/main.ts")];
/** The package's `bin`, under plain Node. */
export const nodeProgram: readonly string[] = ["node", join(root, "bin/parley.mjs")];

/** A stream of text that is read as it comes. */
class Listened {
  text = "";
  readonly ended: Promise<void>;
  #waiting: { readonly pattern: RegExp; readonly resolve: (line: string) => void }[] = [];

  constructor(stream: ReadableStream<Uint8Array>) {
    this.ended = this.#read(stream);
  }

  line(pattern: RegExp): Promise<string> {
    return new Promise((resolve) => {
      this.#waiting.push({ pattern, resolve });
      this.#look();
    });
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      this.text += decoder.decode(chunk, { stream: true });
      this.#look();
    }
  }

  #look(): void {
    // The last piece may still grow.
    const lines = this.text.split("\n").slice(0, -1);
    this.#waiting = this.#waiting.filter(({ pattern, resolve }) => {
      const line = lines.find((each) => pattern.test(each));
      if (line !== undefined) resolve(line);
      return line === undefined;
    });
  }
}
