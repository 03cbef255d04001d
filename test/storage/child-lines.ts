// A process of its own that says what happens to it, a line each; ended with the test. Test code only.

/** The lines of a child, one by one, and how it ended. */
export class Child implements AsyncDisposable {
  readonly #process;
  readonly #lines: AsyncIterator<string>;

  constructor(command: readonly string[], failpoints: string) {
    this.#process = Bun.spawn([...command], {
      env: { ...process.env, PARLEY_FAILPOINTS: failpoints },
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#lines = linesOf(this.#process.stdout);
  }

  /** Writes a line to it, if it is still there. */
  async tell(line: string): Promise<void> {
    try {
      this.#process.stdin.write(`${line}\n`);
      await this.#process.stdin.flush();
    } catch {
      // It has ended: that shows elsewhere.
    }
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Reads on until a line begins like this, and answers it; null where the output ends first. */
  async until(start: string): Promise<string | null> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) return null;
      if (value.startsWith(start)) return value;
    }
  }

  /** Every line to the end. */
  async rest(): Promise<readonly string[]> {
    const lines: string[] = [];
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) return lines;
      lines.push(value);
    }
  }

  async ended(): Promise<unknown> {
    await this.#process.exited;
    return this.#process.signalCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncIterator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
