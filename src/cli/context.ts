// What every command is given and what it may end with. main.ts makes it; no command reads argv or the environment.
import { readFile } from "node:fs/promises";
import { loadConfig } from "../lib/config";
import type { Config } from "../lib/settings";

/** How a command ends. Documented in OPERATIONS.md; scripts rely on them. */
export const exitCodes = {
  /** Done. */
  ok: 0,
  /** It could not be done; the last line on standard error says why. */
  failed: 1,
  /** Wrong arguments or configuration; nothing was begun. */
  usage: 2,
  /** Another server took over the data; this one has stopped. */
  fenced: 3,
  /** The server could not be reached or did not answer in time; the same command may be repeated. */
  unreachable: 4,
  /** A copy and its source do not hold the same. */
  differs: 5,
  /** A copy was stopped before it was done; the same command goes on where it was. */
  stopped: 6,
} as const;

/** Ends a command with a sentence for the operator; {@link exitCodes} says which. */
export class CommandFailure extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number = exitCodes.failed, cause?: unknown) {
    super(message, { cause });
    this.exitCode = exitCode;
  }
}

/** The process that started this one, through the channel that it made. */
export interface ParentProcess {
  /** False: not sent, as it has not taken the message before yet, or is gone. */
  send(message: object): boolean;
  /** Called once when it is gone. */
  onGone(call: () => void): void;
}

/** The world of one command. */
export interface CommandContext {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The program's version. */
  readonly version: string;
  /** Whether progress may be drawn over itself on standard error. */
  readonly interactive: boolean;
  /** Writes a line to standard output: the result. */
  readonly print: (line: string) => void;
  /** Writes a line to standard error: what is said beside it. */
  readonly say: (line: string) => void;
  /** Redraws a line on standard error; null ends it. Silent where nobody watches. */
  readonly progress: (line: string | null) => void;
  /** Aborted by SIGINT, SIGTERM and SIGHUP. */
  readonly stopped: AbortSignal;
  /** Has a signal do something else from now on. */
  readonly onSignal: (signal: "SIGINT" | "SIGHUP", call: () => void) => void;
  /** How this program is started again: the program and its first arguments. */
  readonly program: readonly string[];
  /** Null where whoever started this process made no channel to it. */
  readonly parent: ParentProcess | null;
}

/** Options that every command has. */
export interface CommonOptions {
  readonly config?: string;
  readonly json?: boolean;
}

/** What the command line sets above file and environment, by variable: the option and what was given. */
export type Overrides = Readonly<Record<string, readonly [option: string, given: string | undefined]>>;

/** The effective configuration; a problem ends the command with exit code 2. */
export async function readConfig(
  context: CommandContext,
  options: CommonOptions,
  overrides: Overrides = {},
): Promise<Config> {
  const name = options.config ?? context.environment["PARLEY_CONFIG"];
  const file = name === undefined ? null : { name, text: await readConfigFile(name) };
  const given = Object.entries(overrides).flatMap(([variable, [, text]]) =>
    text === undefined ? [] : [[variable, text]],
  );
  const environment = { ...context.environment, ...Object.fromEntries(given) };
  const loaded = loadConfig({ environment, file });
  if (!loaded.ok) throw new CommandFailure(naming(loaded.problem, overrides), exitCodes.usage);
  return loaded.config;
}

/** A problem with what an option set is a problem with the option. */
function naming(problem: string, overrides: Overrides): string {
  const [variable = ""] = problem.split(":");
  const [option, text] = overrides[variable] ?? [];
  return option === undefined || text === undefined ? problem : `${option}${problem.slice(variable.length)}`;
}

async function readConfigFile(name: string): Promise<string> {
  try {
    return await readFile(name, "utf8");
  } catch (error) {
    throw new CommandFailure(
      `${name}: cannot be read (${reasonOf(error)}); allowed: a JSON file`,
      exitCodes.usage,
      error,
    );
  }
}

/** The sentence of any thrown value. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
