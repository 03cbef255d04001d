// `npm run services -- [names]`: starts the servers that Parley is developed and tested with, and stops them together.
// Builds or installs what is missing. `npm test` starts the shared ones of a run through it as well (`--for-tests`).
import { parseArgs } from "node:util";
import {
  say,
  serviceNames,
  type ServiceName,
  settingVariables,
  testVariables,
  Unavailable,
  usualPorts,
} from "./services/catalog";
import { accepts } from "./services/daemon";
import { logFolder } from "./services/folders";
import type { Service } from "./services/service";
import { startService } from "./services/start";

const usage = `npm run services -- [names] [--ephemeral]

Starts ${serviceNames.join(", ")} (all of them, or those named) on loopback, with empty data that goes with them.
  --ephemeral   ports that are free, in place of the usual ${Object.values(usualPorts).join(", ")}
Ctrl-C or SIGTERM stops them together.`;

interface Outcome {
  readonly name: ServiceName;
  readonly service: Service | null;
  /** Why it is not there. */
  readonly reason: string;
}

function readArguments() {
  const { values, positionals } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    options: {
      ephemeral: { type: "boolean", default: false },
      // Those without an address in the environment; one line of JSON in place of words; standard input ends: stop.
      "for-tests": { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const unknown = positionals.filter((name) => !serviceNames.includes(name as ServiceName));
  if (unknown.length > 0)
    throw new Error(`there is no service ${unknown.join(", ")}; there are ${serviceNames.join(", ")}`);
  const forTests = values["for-tests"];
  const all = serviceNames.filter((name) => !forTests || !process.env[testVariables[name]]);
  const names = positionals.length > 0 ? [...new Set(positionals as ServiceName[])] : all;
  return { names, forTests, ephemeral: values.ephemeral || forTests, help: values.help };
}

async function start(name: ServiceName, ephemeral: boolean, logs: string): Promise<Outcome> {
  try {
    const usual = usualPorts[name];
    const taken = !ephemeral && (await accepts(usual));
    if (taken) say(`port ${usual} is taken; ${name} gets another`);
    const service = await startService(name, { logs, ...(ephemeral || taken ? {} : { port: usual }) });
    return { name, service, reason: "" };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    say(`${name} is left out: ${error.message}`);
    if (!(error instanceof Unavailable)) process.exitCode = 1;
    return { name, service: null, reason: error.message };
  }
}

/** The addresses as lines to paste into a shell: for a server of one's own, and for tests. */
function settings(running: readonly Service[]): string {
  return running
    .flatMap(({ name, uri }) => {
      const setting = settingVariables[name];
      const address = name === "mongodb" ? uri.replace("/?", "/parley?") : uri;
      return [...(setting ? [`export ${setting}='${address}'`] : []), `export ${testVariables[name]}='${uri}'`];
    })
    .join("\n");
}

function report(outcomes: readonly Outcome[], logs: string): void {
  const running = outcomes.flatMap(({ service }) => service ?? []);
  process.stdout.write(`${settings(running)}\n`);
  for (const { name, pid, port } of running) say(`${name} runs on port ${port}, pid ${pid}`);
  say(`logs: ${logs}; Ctrl-C stops ${running.length > 1 ? "them" : "it"} and drops the data`);
}

/** What `npm test` reads: one line with the variables to set, and why the others are missing. */
function reportForTests(outcomes: readonly Outcome[]): void {
  const environment = outcomes.flatMap(({ name, service }) => (service ? [[testVariables[name], service.uri]] : []));
  const missing = outcomes.flatMap(({ name, service, reason }) => (service ? [] : [[name, reason]]));
  const line = { environment: Object.fromEntries(environment), missing: Object.fromEntries(missing) };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Settles when a person, the system or `npm test` wants an end. */
async function asked(forTests: boolean): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => resolve());
  if (forTests) process.stdin.on("end", () => resolve()).resume();
  await promise;
}

async function main(): Promise<void> {
  const { names, forTests, ephemeral, help } = readArguments();
  if (help) {
    process.stdout.write(`${usage}\n`);
    return;
  }
  const end = asked(forTests);
  const logs = logFolder();
  const starting = Promise.all(names.map((name) => start(name, ephemeral, logs)));
  const outcomes = await Promise.race([starting, end]);
  // Asked to end while something is built or starts: what is under way ends with this process.
  if (outcomes === undefined) return;
  if (forTests) reportForTests(outcomes);
  else report(outcomes, logs);
  const running = outcomes.flatMap(({ service }) => service ?? []);
  if (running.length > 0) await end;
  await Promise.all(running.map((service) => service[Symbol.asyncDispose]()));
  if (running.length > 0 && !forTests) say("stopped");
}

try {
  await main();
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
}
process.exit();
