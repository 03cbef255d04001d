#!/usr/bin/env bun
// The command line. It alone reads argv and environment, and ends the process with the codes of cli/context.ts.
import { Command, CommanderError } from "commander";
import packageJson from "../package.json";
import { runBackup, runRestore } from "./cli/backup";
import { runCopy, runExport } from "./cli/copy";
import { defaultUser } from "./cli/connect";
import { CommandFailure, exitCodes, reasonOf } from "./cli/context";
import type { CommandContext } from "./cli/context";
import { runHistory, runSend, runTail } from "./cli/messages";
import { parentOf } from "./cli/parent";
import { runDrain, runNodes } from "./cli/nodes";
import { runServe } from "./cli/serve";
import { runServeNode } from "./cli/serve-node";
import { runServeNodes } from "./cli/serve-nodes";
import type { ServeNodesOptions } from "./cli/serve-nodes";
import { runConfig } from "./cli/show-config";
import { runToken } from "./cli/token";
import { configureFailpoints } from "./lib/failpoints";

const afterHelp = `
Settings come from defaults, then the file, then PARLEY_* variables; "parley config" shows them.
Exit codes: 0 done, 1 failed, 2 wrong arguments or configuration, 3 another server took over the data,
4 the server or the database could not be reached or did not answer in time, 5 a copy differs from its source,
6 a copy was stopped before it was done.`;

function createProgram(context: CommandContext): Command {
  const program = new Command("parley")
    .description("A self-hosted instant-messaging server.")
    .version(context.version)
    .option("--config <file>", "configuration file (JSON)")
    .option("--json", "answer in JSON, for scripts")
    .addHelpText("after", afterHelp)
    .exitOverride();
  addServerCommands(program, context);
  addDataCommands(program, context);
  addNodeCommands(program, context);
  addMessageCommands(program, context);
  return program;
}

function serving(program: Command, name: string, settings: { readonly hidden?: boolean } = {}): Command {
  return program
    .command(name, settings)
    .option("--host <address>", "address to listen on")
    .option("--port <number>", "port to listen on; 0 takes a free one")
    .option("--data <folder>", "folder of everything that is kept");
}

function addServerCommands(program: Command, context: CommandContext): void {
  serving(program, "serve")
    .description("run the server in the foreground; with --nodes several of them behind one port")
    .option("--nodes <number>", "run this many nodes of a cluster on this machine, and look after them")
    .option("--admin-port <number>", "with --nodes: the first node's own port on loopback; the next has the next one")
    .action((_, command: Command) => {
      const options = command.optsWithGlobals<ServeNodesOptions>();
      return options.nodes === undefined ? runServe(context, options) : runServeNodes(context, options);
    });
  serving(program, "serve-node", { hidden: true })
    .description("one of several nodes, started by serve --nodes")
    .requiredOption("--name <name>", "name of the node")
    .requiredOption("--admin-port <number>", "port of its own on loopback")
    .action((_, command: Command) => runServeNode(context, command.optsWithGlobals()));
  program
    .command("config")
    .description("show the effective configuration, secrets masked")
    .action((_, command: Command) => runConfig(context, command.optsWithGlobals()));
  program
    .command("token")
    .description("sign a token for a person with the configured secret")
    .argument("<user>")
    .option("--ttl <time>", "life of the token, such as 30m, 12h, 7d", "12h")
    .option("--operator", "let it use the server API too")
    .action((user: string, _, command: Command) => runToken(context, user, command.optsWithGlobals()));
}

function addNodeCommands(program: Command, context: CommandContext): void {
  const asking = (name: string, says: string): Command =>
    program
      .command(name)
      .description(says)
      .option("--url <address>", "any node; else PARLEY_URL, else the configured host and port")
      .option("--token <token>", "of an operator; else PARLEY_TOKEN, else the configured secret");
  asking("nodes", "list the nodes of the cluster: what each owns and how it is").action((_, command: Command) =>
    runNodes(context, command.optsWithGlobals()),
  );
  asking("drain", "have a node give its partitions and clients to the others; it stays up until it is restarted")
    .argument("<node>", "its id, its name, or host/name")
    .option("--wait", "end only when it owns nothing any more")
    .action((node: string, _, command: Command) => runDrain(context, node, command.optsWithGlobals()));
}

function addDataCommands(program: Command, context: CommandContext): void {
  program
    .command("backup")
    .description("copy the data to a file, consistently, also while the server runs")
    .argument("<file>")
    .action((file: string, _, command: Command) => runBackup(context, file, command.optsWithGlobals()));
  program
    .command("restore")
    .description("put a backup in the place of the data; the server must not run")
    .argument("<file>")
    .option("--force", "replace the data that is there; it is kept beside it")
    .action((file: string, _, command: Command) => runRestore(context, file, command.optsWithGlobals()));
  program
    .command("copy")
    .description("move all data from one store to another, both without a server (STORE: sqlite:PATH or mongodb://…)")
    .requiredOption("--from <store>", "where the data is")
    .requiredOption("--to <store>", "an empty store; or the unfinished copy, to go on with it")
    .action((_, command: Command) => runCopy(context, command.optsWithGlobals()));
  program
    .command("export")
    .description("write all data as lines of JSON, the same ones from every store")
    .argument("<file>")
    .option("--from <store>", "where the data is; else the configured store")
    .action((file: string, _, command: Command) => runExport(context, file, command.optsWithGlobals()));
}

function addMessageCommands(program: Command, context: CommandContext): void {
  const connecting = (name: string, says: string): Command =>
    program
      .command(name)
      .description(`${says} (CONVERSATION: an id, or @USER)`)
      .option("--url <address>", "the server; else PARLEY_URL, else the configured host and port")
      .option("--token <token>", "sign in with this token; else PARLEY_TOKEN")
      .option("--as <user>", `sign in as this person, with a token made here; else as ${defaultUser}`)
      .option("--wait <time>", "how long to wait for the server", "10s");
  connecting("send", "send a text and print its seq once it is stored")
    .argument("<conversation>")
    .argument("<text>")
    .action((conversation: string, text: string, _, command: Command) =>
      runSend(context, conversation, text, command.optsWithGlobals()),
    );
  connecting("tail", "print what arrives from now on")
    .argument("[conversation]")
    .action((conversation: string | undefined, _, command: Command) =>
      runTail(context, conversation, command.optsWithGlobals()),
    );
  connecting("history", "print the newest messages")
    .argument("<conversation>")
    .option("--limit <number>", "most messages", "50")
    .action((conversation: string, _, command: Command) =>
      runHistory(context, conversation, command.optsWithGlobals()),
    );
}

function createContext(): CommandContext {
  const stop = new AbortController();
  const abort = (): void => stop.abort();
  // A terminal and npm may both pass on the same Ctrl-C, so a repeated signal changes nothing: stopping is bounded anyway.
  const onSignals = { SIGINT: abort, SIGTERM: abort, SIGHUP: abort };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => onSignals[signal]());
  const interactive = process.stderr.isTTY === true;
  const redraw = (line: string | null): void =>
    void process.stderr.write(line === null ? "\r\u001b[K" : `\r\u001b[K${line}`);
  return {
    environment: process.env,
    version: packageJson.version,
    interactive,
    print: (line) => void process.stdout.write(`${line}\n`),
    say: (line) => void process.stderr.write(`${line}\n`),
    progress: interactive ? redraw : () => undefined,
    stopped: stop.signal,
    onSignal: (signal, call) => {
      onSignals[signal] = call;
    },
    program: [process.execPath, import.meta.path],
    parent: parentOf(process),
  };
}

function exitCodeOf(thrown: unknown, context: CommandContext): number {
  // Commander has said what was wrong by itself; asking for help is no error.
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  context.say(`parley: ${reasonOf(thrown)}`);
  return thrown instanceof CommandFailure ? thrown.exitCode : exitCodes.failed;
}

function armFailpoints(context: CommandContext): void {
  const spec = context.environment["PARLEY_FAILPOINTS"];
  if (spec === undefined) return;
  try {
    configureFailpoints(spec);
  } catch (error) {
    throw new CommandFailure(`PARLEY_FAILPOINTS: ${reasonOf(error)}`, exitCodes.usage, error);
  }
  context.say(`parley: failpoints are armed (${spec}): this process fails on purpose`);
}

const context = createContext();
try {
  armFailpoints(context);
  await createProgram(context).parseAsync();
  process.exitCode = exitCodes.ok;
} catch (thrown) {
  process.exitCode = exitCodeOf(thrown, context);
}
// What was printed leaves first, also into a slow pipe; then nothing left behind holds the process.
await new Promise<void>((resolve) => process.stdout.write("", () => resolve()));
process.exit();
