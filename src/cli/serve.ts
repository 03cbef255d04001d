// `parley serve`: runs a server until it is told to stop, or until another one takes over its data.
import { maskPassword } from "../lib/config";
import { isLoopback } from "../lib/settings";
import type { Config } from "../lib/settings";
import { startServer } from "../server";
import type { EndReason, RunningServer, ServerOverrides } from "../server";
import { createLog } from "../lib/log";
import type { Log } from "../lib/log";
import { CommandFailure, exitCodes, readConfig } from "./context";
import type { CommandContext, CommonOptions, Overrides } from "./context";

/** Options of the command. */
export interface ServeOptions extends CommonOptions {
  readonly host?: string;
  readonly port?: string;
  readonly data?: string;
}

/** Runs until stopped, also where it is still starting. Fails as {@link serveUntil} does. */
export async function runServe(context: CommandContext, options: ServeOptions): Promise<void> {
  const config = await readConfig(context, options, overridesOf(options));
  await serveUntil({
    config,
    log: createLog(config),
    version: context.version,
    stopped: context.stopped,
    onReady: (server) => greet(context, server, placeOf(config)),
  });
}

/** The settings that the command line may set. */
export function overridesOf({ host, port, data }: ServeOptions): Overrides {
  return {
    PARLEY_HOST: ["--host", host],
    PARLEY_PORT: ["--port", port],
    PARLEY_DATA_DIR: ["--data", data],
  };
}

/** What {@link serveUntil} runs. */
export interface Serving extends Pick<ServerOverrides, "node"> {
  readonly config: Config;
  readonly log: Log;
  readonly version: string;
  readonly stopped: AbortSignal;
  /** Called once, when clients may come. */
  readonly onReady: (server: RunningServer) => void;
}

/** Runs one server of this process until `stopped`. Fails with exit code 3 where another server fenced it, 1 where it had to leave. */
export async function serveUntil({ config, log, stopped, onReady, ...overrides }: Serving): Promise<void> {
  const starting = startServer(config, { log, ...overrides });
  const server = await Promise.race([starting, whenStopped(stopped)]);
  if (server === "stopped") {
    // Perhaps it waits for its database. Ending it here is no worse than a crash, which every step of a start survives.
    starting.catch(() => undefined);
    return log.info("stopped before it was ready");
  }
  onReady(server);
  const why = await Promise.race([server.ended, whenStopped(stopped)]);
  await server.stop();
  if (why === "stopped") return;
  const said = endings[why];
  log.fatal(said);
  throw new CommandFailure(said, why === "fenced" ? exitCodes.fenced : exitCodes.failed);
}

/** Why a server ended that nobody stopped. */
const endings: Readonly<Record<EndReason, string>> = {
  fenced: "another server opened the same data and took over; this one has stopped",
  outdated: "the other nodes use features of a newer release; start that release here too",
  foreign: "another deployment took this cluster's place on NATS; give each its own PARLEY_NATS_PREFIX",
};

function whenStopped(signal: AbortSignal): Promise<"stopped"> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve("stopped");
    signal.addEventListener("abort", () => resolve("stopped"), { once: true });
  });
}

/** Where everything is kept, for a person: the folder, or the store that is not in it. */
export function placeOf({ store, dataDir }: Pick<Config, "store" | "dataDir">): string {
  return store === "sqlite" ? dataDir : maskPassword(store);
}

/** What a greeting tells; the log says it too, for machines. */
interface Greeting {
  readonly url: string;
  /** Whether demo sign-in is offered. */
  readonly demo: boolean;
}

/** Says where to look and how to stop. */
export function greet(context: CommandContext, server: Greeting, data: string, beside = ""): void {
  context.say("");
  context.say(`  Parley ${context.version} is ready at ${server.url}${beside}`);
  if (server.demo) context.say("  Open it in two windows and sign in as two people (demo sign-in, this machine only).");
  context.say(`  Data: ${data}   Stop: Ctrl-C`);
  if (!isLoopback(new URL(server.url).hostname))
    context.say("  Put a proxy with TLS before it: tokens travel over this.");
  context.say("");
}
