// A node as a process of its own: this program again, with a channel to its parent. Its log goes where this one's goes; what it
// writes to standard error is passed on a line at a time, and the last line kept: it says why a process ended.
import { StringDecoder } from "node:string_decoder";
import type { NodeProcess, ProcessEnd, StartProcess } from "./supervisor-node";

/** What every node process is started with. */
export interface NodeProgram {
  /** The program and its first arguments. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Arguments that tell this node from the others. */
  readonly argsOf: (name: string) => readonly string[];
  /** Takes a line of standard error. */
  readonly say: (line: string) => void;
}

/** Longest line of standard error that is kept in one piece, characters. */
const lineMax = 2_000;

/** Starts node processes of this program. */
export function processStarter({ command, environment, argsOf, say }: NodeProgram): StartProcess {
  return (name, hear): NodeProcess => {
    const child = Bun.spawn([...command, ...argsOf(name)], {
      env: { ...environment },
      stdin: "ignore",
      stdout: "inherit",
      stderr: "pipe",
      serialization: "json",
      ipc: (message) => hear(message),
    });
    const said = lastLine(child.stderr, (line) => say(`${name}: ${line}`));
    const ended = child.exited.then(
      async (): Promise<ProcessEnd> => ({
        code: child.exitCode,
        signal: nameOf(child.signalCode),
        said: (await said)?.replace(/^parley: /, "") ?? null,
      }),
    );
    return { pid: child.pid, ended, kill: (signal) => child.kill(signal) };
  };
}

function nameOf(signal: NodeJS.Signals | number | null): string | null {
  return signal === null ? null : String(signal);
}

/** Hands on each line of a stream; resolves with the last one that is not empty, never rejects. */
async function lastLine(stream: ReadableStream<Uint8Array>, each: (line: string) => void): Promise<string | null> {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  let last: string | null = null;
  const take = (line: string): void => {
    if (line.trim() === "") return;
    last = line;
    each(line);
  };
  try {
    for await (const bytes of stream) {
      const lines = (rest + decoder.write(Buffer.from(bytes))).split("\n");
      rest = (lines.pop() ?? "").slice(0, lineMax);
      for (const line of lines) take(line.slice(0, lineMax));
    }
  } catch (error) {
    take(`standard error could not be read: ${String(error)}`);
  }
  take(rest);
  return last;
}
