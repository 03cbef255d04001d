// `parley serve --nodes N`: several nodes of one cluster on this machine, behind one port, with the same data. This process
// serves nobody: it starts the nodes, restarts those that crash, and ends them in turn.
import { systemClock } from "../lib/clock";
import { createLog } from "../lib/log";
import type { Log } from "../lib/log";
import type { Config } from "../lib/settings";
import { offersDemo } from "../transport/demo";
import { findPorts, placesOfNodes } from "../transport/listen";
import { CommandFailure, exitCodes, readConfig } from "./context";
import type { CommandContext } from "./context";
import { greet, overridesOf, placeOf } from "./serve";
import type { ServeOptions } from "./serve";
import { Supervisor } from "./supervisor";
import type { ProcessEnd } from "./supervisor-node";
import { processStarter } from "./supervisor-process";
import type { NodeProgram } from "./supervisor-process";

/** Options of the command. */
export interface ServeNodesOptions extends ServeOptions {
  readonly nodes?: string;
  readonly adminPort?: string;
}

/** Most nodes of one machine: beyond its cores they are of no use. */
const nodesMax = 64;
/** How long the ports may still be those of nodes whose supervisor was killed, and how often it is looked, milliseconds. */
const portsWithinMs = 2_000;
const portsLookMs = 100;

/**
 * Runs until SIGINT or SIGTERM; SIGHUP restarts the nodes one after the other. Fails with exit code 2 where so many nodes
 * could not be safe, with the first node's own code where that one ends before it listens.
 */
export async function runServeNodes(context: CommandContext, options: ServeNodesOptions): Promise<void> {
  const config = await readConfig(context, options, overridesOf(options));
  const count = wholeOption("--nodes", options.nodes, 1, nodesMax);
  if (config.nats === null && count > 1)
    throw new CommandFailure(`--nodes: given ${count}; ${needsNats}`, exitCodes.usage);
  const log = createLog(config);
  const adminPort = adminPortOf(options, config.port, count);
  const [port = 0, ...adminPorts] = await whileTaken(() =>
    findPorts(placesOfNodes(config.host, config.port, adminPort, count)),
  );
  const names = adminPorts.map((_, i) => `node-${i + 1}`);
  const supervisor = new Supervisor({
    names,
    start: processStarter(
      programOf(context, options, port, new Map(names.map((name, i) => [name, adminPorts[i] ?? 0]))),
    ),
    clock: systemClock,
    log,
    random: Math.random,
    drainMs: config.drainMs,
  });
  await supervise(context, supervisor, log, () => tell(context, config, port, count));
}

const needsNats =
  "allowed: 1 without PARLEY_NATS: several nodes find each other, and divide the work, through a NATS server";

/** The whole number that an option gave. */
function wholeOption(option: string, text: string | undefined, min: number, max: number): number {
  const value = /^\d{1,6}$/.test(text ?? "") ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  const given = JSON.stringify(text?.slice(0, 100));
  throw new CommandFailure(`${option}: given ${given}; allowed: a whole number from ${min} to ${max}`, exitCodes.usage);
}

/** The first node's own port: the one after the shared one, where nothing else is said; 0 where that is any free one. */
function adminPortOf({ adminPort }: ServeNodesOptions, port: number, nodes: number): number {
  if (adminPort !== undefined) return wholeOption("--admin-port", adminPort, 0, 65_536 - nodes);
  if (port === 0 || port + nodes <= 65_535) return port === 0 ? 0 : port + 1;
  throw new CommandFailure(
    `--admin-port: ${nodes} ports after ${port} do not exist; name another first one`,
    exitCodes.usage,
  );
}

async function whileTaken(find: () => readonly number[]): Promise<readonly number[]> {
  const giveUpAt = performance.now() + portsWithinMs;
  for (;;) {
    try {
      return find();
    } catch (error) {
      if (performance.now() >= giveUpAt) throw error;
      await Bun.sleep(portsLookMs);
    }
  }
}

function programOf(
  { program, environment, say }: CommandContext,
  { config, host, data }: ServeNodesOptions,
  port: number,
  adminPorts: ReadonlyMap<string, number>,
): NodeProgram {
  const given = Object.entries({ "--config": config, "--host": host, "--data": data });
  const options = given.flatMap(([option, value]) => (value === undefined ? [] : [option, value]));
  const argsOf = (name: string): readonly string[] => [
    ...["serve-node", "--name", name, "--admin-port", String(adminPorts.get(name) ?? 0)],
    ...[...options, "--port", String(port)],
  ];
  return { command: program, environment, say, argsOf };
}

/** Runs the nodes until it is told to stop. */
async function supervise(
  context: CommandContext,
  supervisor: Supervisor,
  log: Log,
  onStarted: () => void,
): Promise<void> {
  const stopped = Promise.withResolvers<void>();
  context.stopped.addEventListener("abort", () => stopped.resolve());
  if (context.stopped.aborted) stopped.resolve();
  context.onSignal("SIGHUP", () => void supervisor.restartAll());
  // Between a crash and the next start nothing else holds this process.
  const hold = setInterval(() => undefined, 60_000);
  try {
    const started = await Promise.race([supervisor.start(), stopped.promise]);
    if (started?.ok === false) throw failedStart(started.end);
    if (started?.ok === true) onStarted();
    const fenced = await Promise.race([supervisor.fenced, stopped.promise]);
    if (fenced) throw new CommandFailure(fenced.said ?? "another server took over the data", exitCodes.fenced);
  } finally {
    await supervisor.stop();
    clearInterval(hold);
  }
  log.info("stopped");
}

/** The first node has said on standard error why it could not start; so its code is enough. */
function failedStart({ code, signal, said }: ProcessEnd): CommandFailure {
  const how = said ?? `it ended (${signal ?? `code ${code}`})`;
  return new CommandFailure(
    `the first node could not start: ${how}`,
    code === null || code === 0 ? exitCodes.failed : code,
  );
}

function tell(context: CommandContext, config: Config, port: number, nodes: number): void {
  const host = config.host.includes(":") ? `[${config.host}]` : config.host;
  const shown = { url: `http://${host}:${port}`, demo: offersDemo(config) };
  greet(context, shown, placeOf(config), nodes === 1 ? "" : ` (${nodes} nodes)`);
}
