// The log: pino, JSON lines for machines, one readable line each on a terminal. Holds no message bodies and no tokens.
import { pino } from "pino";
import type { DestinationStream, Logger } from "pino";
import type { Config } from "./settings";

/** A logger with its context; `child({...})` adds to it. First argument fields, second the sentence. */
export type Log = Logger;

/** Names under which a secret or a text of a person might slip into a line; their values are dropped. */
const hiddenNames = ["token", "secret", "authorization", "cookie", "password", "body", "text"];

/** What {@link createLog} needs of the configuration. */
export type LogSettings = Pick<Config, "logLevel" | "logFormat">;

/**
 * A log that writes to standard output, or to `stream` in tests. Writes are synchronous, so that the last line before an
 * exit is there; the server logs connections and faults, never single messages.
 */
export function createLog(settings: LogSettings, stream?: DestinationStream): Log {
  const pretty = settings.logFormat === "pretty" || (settings.logFormat === "auto" && process.stdout.isTTY === true);
  const output = stream ?? pino.destination({ fd: 1, sync: true });
  const options = {
    level: settings.logLevel,
    base: null,
    redact: { paths: hiddenNames.flatMap((name) => [name, `*.${name}`]), remove: true },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return pino(options, pretty ? { write: (line: string) => void output.write(prettyLine(line)) } : output);
}

/** Says nothing; for commands and tests that need a log to hand on. */
export function silentLog(): Log {
  return pino({ level: "silent" });
}

const colours: Readonly<Record<string, string>> = { warn: "\u001b[33m", error: "\u001b[31m", fatal: "\u001b[31;1m" };
const dim = "\u001b[2m";
const plain = "\u001b[0m";

/** One JSON line as a person reads it: time, level where it is not info, sentence, then the fields. */
export function prettyLine(line: string): string {
  const { time, level, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const label = level === "info" ? "" : `${colours[String(level)] ?? dim}${String(level)}${plain} `;
  const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${fieldText(value)}`);
  const stack = isError(err) ? `\n${dim}${err.stack ?? err.message}${plain}` : "";
  return `${dim}${String(time).slice(11, 23)}${plain} ${label}${String(msg ?? "")}${dim}${rest.join("")}${plain}${stack}\n`;
}

function fieldText(value: unknown): string {
  return typeof value === "string" && !/[\s"]/.test(value) ? value : JSON.stringify(value);
}

function isError(value: unknown): value is { readonly message: string; readonly stack?: string } {
  return typeof value === "object" && value !== null && "message" in value;
}
