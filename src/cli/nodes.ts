// `parley nodes` and `parley drain NODE`: the nodes of the cluster, by the server API of any of them.
import type { Config } from "../lib/settings";
import type { ListedNode, NodeReport } from "../transport/cluster-nodes";
import { defaultUser, addressOf } from "./connect";
import { CommandFailure, exitCodes, readConfig, reasonOf } from "./context";
import type { CommandContext, CommonOptions } from "./context";
import { mintToken, parseUser } from "./token";

/** Options of both commands. */
export interface NodesOptions extends CommonOptions {
  readonly url?: string;
  readonly token?: string;
}

/** Options of `drain`. */
export interface DrainOptions extends NodesOptions {
  /** Ends only when the node owns nothing any more. */
  readonly wait?: boolean;
}

/** What the server API says of nodes; that of a later release may say more. */
interface Nodes {
  readonly self: string;
  readonly unclaimed: number;
  readonly nodes: readonly ListedNode[];
}

/** Life of the token made for one request, seconds. */
const tokenSeconds = 60;
/** How long one answer may take, milliseconds. */
const answerMs = 10_000;
/** How often it is looked whether a node is drained, and for how long, milliseconds. */
const lookMs = 200;
const drainedWithinMs = 120_000;

/** Prints a node a line; `--json`: what the server API says. */
export async function runNodes(context: CommandContext, options: NodesOptions): Promise<void> {
  const nodes = await (await apiOf(context, options))<Nodes>("GET", "/v1/nodes");
  if (options.json) return context.print(JSON.stringify(nodes));
  const rows = [heads, ...nodes.nodes.map(cellsOf)];
  const widths = heads.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  for (const row of rows)
    context.print(
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    );
  const claimed = nodes.nodes.reduce((sum, { claims }) => sum + claims, 0);
  const silent = nodes.nodes.filter(({ report }) => report === null).length;
  const odd = silent === 0 ? "" : `; ${silent} did not answer`;
  context.print(`${claimed} partitions claimed, ${nodes.unclaimed} by nobody${odd}`);
}

const heads = [
  ...["NODE", "ID", "STATE", "OWNS", "CLAIMS", "EPOCH", "SESSIONS", "ACTORS", "WAITING", "LAG"],
  ...["LEVEL", "VERSION", "UP", "HOST", "OWN ADDRESS"],
];

function cellsOf({ id, claims, report }: ListedNode): readonly string[] {
  if (report === null) return ["?", id, "silent", "?", String(claims)];
  const { name, host, version, owned, sessions, actors, asksWaiting, lagMs, featureLevel } = report;
  const epochs = owned.map(([, epoch]) => epoch);
  const epoch = epochs.length === 0 ? "-" : String(Math.max(...epochs));
  const loads = [sessions, actors, asksWaiting].map(String);
  return [
    ...[name, id, stateOf(report), String(owned.length), String(claims), epoch, ...loads, `${lagMs} ms`],
    ...[String(featureLevel), version, lifeOf(report.uptimeSeconds), host, report.adminUrl ?? "-"],
  ];
}

function stateOf({ state, ready, reason, natsConnected }: NodeReport): string {
  const why = ready || reason === null || reason === state ? [] : [reason];
  const all = [state, ...why, ...(natsConnected ? [] : ["no NATS"])];
  return all.join(", ");
}

function lifeOf(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

/** Has a node drained. @param wanted its id, its name, or host/name */
export async function runDrain(context: CommandContext, wanted: string, options: DrainOptions): Promise<void> {
  const ask = await apiOf(context, options);
  const { id } = await ask<{ readonly id: string }>("POST", `/v1/nodes/${encodeURIComponent(wanted)}/drain`);
  const state = options.wait ? await untilDrained(context, ask, id) : "draining";
  context.print(options.json ? JSON.stringify({ id, state }) : `${id}: ${state}`);
}

async function untilDrained(context: CommandContext, ask: Ask, id: string): Promise<string> {
  const giveUpAt = performance.now() + drainedWithinMs;
  while (performance.now() < giveUpAt && !context.stopped.aborted) {
    const { nodes } = await ask<Nodes>("GET", "/v1/nodes");
    const node = nodes.find((each) => each.id === id);
    if (node === undefined) return "gone";
    if (node.claims === 0 && (node.report === null || node.report.state === "drained")) {
      return node.report === null ? "gone" : "drained";
    }
    await Bun.sleep(lookMs);
  }
  throw new CommandFailure(`${id} is still draining; look at \`parley nodes\` and at its log`, exitCodes.unreachable);
}

/** Asks the server API; answers of refusal end the command. */
type Ask = <T>(method: string, path: string) => Promise<T>;

async function apiOf(context: CommandContext, options: NodesOptions): Promise<Ask> {
  const config = await readConfig(context, options);
  const url = addressOf(context, options, config).replace(/\/$/, "");
  const bearer = options.token ?? context.environment["PARLEY_TOKEN"] ?? null;
  return async <T>(method: string, path: string): Promise<T> => {
    const token = bearer ?? (await operatorToken(config));
    const response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(answerMs),
    }).catch((error: unknown) => {
      const why = `${url} did not answer (${reasonOf(error)}); is the server running?`;
      throw new CommandFailure(why, exitCodes.unreachable, error);
    });
    const body: unknown = await response.json().catch(() => null);
    if (!response.ok) throw refusalOf(url, response.status, body);
    return body as T;
  };
}

function operatorToken(config: Config): Promise<string> {
  if (config.adminSecret !== null) return Promise.resolve(config.adminSecret);
  return mintToken(config, parseUser(defaultUser), tokenSeconds, true);
}

function refusalOf(url: string, status: number, body: unknown): CommandFailure {
  const { error } = (body ?? {}) as { readonly error?: Readonly<Record<"code" | "message" | "outcome", unknown>> };
  if (typeof error?.message !== "string") return new CommandFailure(`${url} answered with status ${status}`);
  const details = "details" in error && error.details !== null ? ` ${JSON.stringify(error.details).slice(0, 500)}` : "";
  const exitCode = error.outcome === "final" ? exitCodes.failed : exitCodes.unreachable;
  return new CommandFailure(`${String(error.code)}: ${error.message}${details}`, exitCode);
}
