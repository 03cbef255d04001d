// `parley serve`: runs a server until it is told to stop, or until another one takes over its data.
import { maskPassword } from "../lib/config";
import { isLoopback } from "../lib/settings";
import type { Config } from "../lib/settings";
import { startServer } from "../server";
import type { RunningServer } from "../server";
import { createLog } from "../lib/log";
import { CommandFailure, exitCodes, readConfig } from "./context";
import type { CommandContext, CommonOptions, Overrides } from "./context";

/** Options of the command. */
export interface ServeOptions extends CommonOptions {
  readonly host?: string;
  readonly port?: string;
  readonly data?: string;
}

/** Runs until stopped, also where it is still starting. Fails with exit code 3 where another server fenced this one. */
export async function runServe(context: CommandContext, options: ServeOptions): Promise<void> {
  const overrides: Overrides = {
    PARLEY_HOST: ["--host", options.host],
    PARLEY_PORT: ["--port", options.port],
    PARLEY_DATA_DIR: ["--data", options.data],
  };
  const config = await readConfig(context, options, overrides);
  const log = createLog(config);
  const starting = startServer(config, { log, version: context.version });
  const server = await Promise.race([starting, whenStopped(context.stopped)]);
  if (server === "stopped") {
    // Perhaps it waits for its database. Ending it here is no worse than a crash, which every step of a start survives.
    starting.catch(() => undefined);
    return log.info("stopped before it was ready");
  }
  greet(context, server, placeOf(config));
  const why = await Promise.race([server.ended, whenStopped(context.stopped)]);
  await server.stop();
  if (why === "fenced") {
    const said = "another server opened the same data and took over; this one has stopped";
    log.fatal(said);
    throw new CommandFailure(said, exitCodes.fenced);
  }
}

function whenStopped(signal: AbortSignal): Promise<"stopped"> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve("stopped");
    signal.addEventListener("abort", () => resolve("stopped"), { once: true });
  });
}

/** Where everything is kept, for a person: the folder, or the store that is not in it. */
function placeOf({ store, dataDir }: Pick<Config, "store" | "dataDir">): string {
  return store === "sqlite" ? dataDir : maskPassword(store);
}

/** Says where to look and how to stop; the log says it too, for machines. */
function greet(context: CommandContext, server: RunningServer, data: string): void {
  context.say("");
  context.say(`  Parley ${context.version} is ready at ${server.url}`);
  if (server.demo) context.say("  Open it in two windows and sign in as two people (demo sign-in, this machine only).");
  context.say(`  Data: ${data}   Stop: Ctrl-C`);
  if (!isLoopback(new URL(server.url).hostname))
    context.say("  Put a proxy with TLS before it: tokens travel over this.");
  context.say("");
}
