// `parley serve-node`: one node of several behind one port, started by `parley serve --nodes` and by nobody else. It tells its
// supervisor that its event loop turns, obeys SIGTERM alone (Ctrl-C is the supervisor's), and drains where that one is gone.
import { createLog } from "../lib/log";
import type { RunningServer } from "../server";
import { CommandFailure, exitCodes, readConfig } from "./context";
import type { CommandContext, ParentProcess } from "./context";
import { overridesOf, serveUntil } from "./serve";
import type { ServeOptions } from "./serve";
import { supervisorTimes } from "./supervisor-words";
import type { NodeBeat } from "./supervisor-words";

/** Options of the command; all are given by the supervisor. */
export interface ServeNodeOptions extends ServeOptions {
  readonly name: string;
  readonly adminPort: string;
}

/** Runs until it is told to stop or its supervisor is gone. */
export async function runServeNode(context: CommandContext, options: ServeNodeOptions): Promise<void> {
  const { parent } = context;
  if (parent === null) {
    throw new CommandFailure("serve-node is started by `parley serve --nodes`, not by hand", exitCodes.usage);
  }
  // Ctrl-C reaches every process of the terminal; the supervisor ends them one after the other.
  for (const signal of ["SIGINT", "SIGHUP"] as const) context.onSignal(signal, () => undefined);
  const orphaned = new AbortController();
  parent.onGone(() => orphaned.abort());
  let server: RunningServer | null = null;
  const stopBeating = beat(parent, () => beatOf(server));
  try {
    const config = await readConfig(context, options, overridesOf(options));
    const log = createLog(config).child({ node: options.name });
    orphaned.signal.addEventListener("abort", () => log.error("the supervisor is gone: draining"));
    await serveUntil({
      config,
      log,
      version: context.version,
      stopped: AbortSignal.any([context.stopped, orphaned.signal]),
      node: { name: options.name, adminPort: Number(options.adminPort) },
      onReady: (started) => {
        server = started;
      },
    });
  } finally {
    stopBeating();
  }
}

function beatOf(server: RunningServer | null): NodeBeat {
  if (server === null) return { at: null, ready: false, reason: "starting" };
  const { ready, reason } = server.readiness();
  return { at: { url: server.url, adminUrl: server.adminUrl ?? server.url }, ready, reason };
}

/** Tells the parent, again and again, that the event loop turns; at once where it listens, or readiness changes. */
function beat(parent: ParentProcess, read: () => NodeBeat): () => void {
  let told: NodeBeat | null = null;
  let toldAt = Number.NEGATIVE_INFINITY;
  const look = (): void => {
    const now = performance.now();
    const next = read();
    const changed = next.ready !== told?.ready || (next.at === null) !== (told.at === null);
    if (!changed && now - toldAt < supervisorTimes.beatMs) return;
    if (!parent.send(next)) return;
    told = next;
    toldAt = now;
  };
  look();
  const timer = setInterval(look, supervisorTimes.beatMs / 5);
  return () => clearInterval(timer);
}
