// Commands that talk to a running server do so with the client SDK, as any application would.
import { createClient } from "../client";
import type { ClientOptions, ParleyClient } from "../client";
import { errorCodes } from "../protocol/codes";
import type { ErrorCode } from "../protocol/codes";
import type { Config } from "../lib/settings";
import { isConversationId } from "../protocol/ids";
import { CommandFailure, exitCodes, readConfig, reasonOf } from "./context";
import type { CommandContext, CommonOptions } from "./context";
import { mintToken, parseDuration, parseUser } from "./token";

/** Options of commands that connect. */
export interface ConnectOptions extends CommonOptions {
  readonly url?: string;
  readonly token?: string;
  /** Who to sign in as, with a token made from the configured or the demo secret. */
  readonly as?: string;
  /** How long to wait for the server: a number with s, m, h or d. */
  readonly wait: string;
}

/** One device for all commands of a person, so that they do not fill the list of devices. */
const deviceId = "parley-command";
/** Who signs in where neither `--as` nor a token says it. */
export const defaultUser = "operator";
/** Life of a token made for one command, seconds; a longer command gets another. */
const tokenSeconds = 3600;

/**
 * Signs in, runs `work`, and closes. Fails with exit code 4 where the server cannot be reached in time, with 1 where it
 * refuses the token.
 */
export async function withClient(
  context: CommandContext,
  options: ConnectOptions,
  more: Partial<ClientOptions>,
  work: (client: ParleyClient) => Promise<void>,
): Promise<void> {
  const config = await readConfig(context, options);
  const url = addressOf(context, options, config);
  const given = options.token ?? (options.as === undefined ? context.environment["PARLEY_TOKEN"] : undefined);
  const user = parseUser(options.as ?? defaultUser);
  const waitMs = 1000 * parseDuration("--wait", options.wait);
  const refused = Promise.withResolvers<never>();
  const tokenRefused = (): void => {
    const { reason } = client.connection.getSnapshot();
    refused.reject(new CommandFailure(`${url} refused the token: ${reason ?? "it expired"}`, exitCodes.failed));
  };
  const token = given === undefined ? () => mintToken(config, user, tokenSeconds) : once(given, tokenRefused);
  await using client: ParleyClient = createClient({ url, token, deviceId, platform: "parley command line", ...more });
  const all = async (): Promise<void> => {
    await becomeReady(client, url, waitMs);
    await work(client);
  };
  await Promise.race([all(), refused.promise]);
}

/** The server that a command talks to: the named one, `PARLEY_URL`, or the configured host and port. */
export function addressOf(context: CommandContext, { url }: { readonly url?: string }, config: Config): string {
  const host = config.host.includes(":") ? `[${config.host}]` : config.host;
  return url ?? context.environment["PARLEY_URL"] ?? `http://${host}:${config.port}`;
}

/** A given token cannot be renewed here: asked for another, `refused` is told and the client signs out. */
function once(token: string, refused: () => void): () => Promise<string | null> {
  let asked = false;
  return () => {
    const answer = asked ? null : token;
    if (asked) refused();
    asked = true;
    return Promise.resolve(answer);
  };
}

async function becomeReady(client: ParleyClient, url: string, waitMs: number): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(unreachable(client, url)), waitMs);
  try {
    await Promise.race([client.ready(), late.promise]);
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    throw new CommandFailure(`${url} refused to sign in: ${reasonOf(error)}`, exitCodes.failed, error);
  } finally {
    clearTimeout(timer);
  }
}

function unreachable(client: ParleyClient, url: string): CommandFailure {
  const { reason } = client.connection.getSnapshot();
  const says = `${url} ${hasOwn(errorCodes, reason) ? refusedWith(reason) : silent(reason)}`;
  return new CommandFailure(says, exitCodes.unreachable);
}

/** A server that answers is running: what it lacks stands in its log. */
function refusedWith(code: ErrorCode): string {
  return `does not let anybody in now (${code}): ${errorCodes[code].says}; its log and /readyz say why`;
}

function silent(reason: string | null): string {
  return `did not answer (${reason ?? "time-out"}); is the server running?`;
}

function hasOwn<T extends object>(table: T, name: string | null): name is keyof T & string {
  return name !== null && Object.hasOwn(table, name);
}

/** The conversation that an argument names: an id, or `@USER` for the direct conversation with somebody. */
export async function resolveConversation(client: ParleyClient, text: string): Promise<string> {
  if (text.startsWith("@")) return client.openDirect(parseUser(text.slice(1)));
  if (isConversationId(text)) return text;
  const given = JSON.stringify(text.slice(0, 140));
  throw new CommandFailure(`CONVERSATION: given ${given}; allowed: a conversation's id, or @USER`, exitCodes.usage);
}
