// `parley send`, `parley tail` and `parley history`: a person's messages in a terminal.
import { ClientError } from "../client";
import type { ConversationView, Message, ParleyClient } from "../client";
import { CommandFailure, exitCodes } from "./context";
import type { CommandContext } from "./context";
import { resolveConversation, withClient } from "./connect";
import type { ConnectOptions } from "./connect";
import { entryLine, entryRecord, messageLine, messageRecord } from "./show-message";

/** Longest wait for an acknowledgement, milliseconds; past it the outcome is not known. */
const ackTimeoutMs = 15_000;

/** Sends one text and prints its seq once it is stored; `--json`: `{conversation,seq}`. */
export function runSend(
  context: CommandContext,
  conversation: string,
  text: string,
  options: ConnectOptions,
): Promise<void> {
  return withClient(context, options, {}, async (client) => {
    const id = await orFailure(resolveConversation(client, conversation));
    const handle = client.conversation(id).send(text);
    const seq = await orFailure(Promise.race([handle.acked, rejectLater(ackTimeoutMs)]));
    context.print(options.json ? JSON.stringify({ conversation: id, seq }) : String(seq));
  });
}

/** Prints what arrives from now on, in one conversation or in all, until it is stopped. */
export function runTail(
  context: CommandContext,
  conversation: string | undefined,
  options: ConnectOptions,
): Promise<void> {
  // A tail shows everything, however long the connection was away.
  return withClient(context, options, { resumeEntriesMax: Number.POSITIVE_INFINITY }, async (client) => {
    const only = conversation === undefined ? null : await orFailure(resolveConversation(client, conversation));
    client.on("entry", ({ conversation: id, entry }) => {
      if (only !== null && id !== only) return;
      context.print(options.json ? JSON.stringify({ conversation: id, ...entryRecord(entry) }) : entryLine(id, entry));
    });
    context.say("following; Ctrl-C ends");
    await untilStopped(context, client);
  });
}

/** Options of `history`. */
export interface HistoryOptions extends ConnectOptions {
  readonly limit: string;
}

/** Most messages that one `history` prints. */
const historyMax = 100_000;

/** Prints the newest messages, oldest of them first; `--json`: one object a line. */
export function runHistory(context: CommandContext, conversation: string, options: HistoryOptions): Promise<void> {
  const limit = Number(options.limit);
  if (!Number.isInteger(limit) || limit < 1 || limit > historyMax) {
    const given = JSON.stringify(options.limit);
    throw new CommandFailure(
      `--limit: given ${given}; allowed: a whole number from 1 to ${historyMax}`,
      exitCodes.usage,
    );
  }
  return withClient(context, options, {}, async (client) => {
    const view = client.conversation(await orFailure(resolveConversation(client, conversation)));
    for (const message of await orFailure(loadNewest(context, view, limit))) {
      context.print(options.json ? JSON.stringify(messageRecord(message)) : messageLine(message));
    }
  });
}

async function loadNewest(context: CommandContext, view: ConversationView, limit: number): Promise<readonly Message[]> {
  await view.loadBefore();
  for (;;) {
    const { messages, hasBefore } = view.getSnapshot();
    if (messages.length >= limit || !hasBefore || context.stopped.aborted) {
      context.progress(null);
      return messages.slice(-limit);
    }
    context.progress(`${messages.length} of ${limit} messages`);
    await view.loadBefore();
  }
}

function untilStopped(context: CommandContext, client: ParleyClient): Promise<void> {
  return new Promise((resolve, reject) => {
    context.stopped.addEventListener("abort", () => resolve());
    client.connection.subscribe(() => {
      const { state, reason } = client.connection.getSnapshot();
      if (state === "signedOut") reject(new CommandFailure(`signed out (${reason ?? "by the server"})`));
    });
  });
}

function rejectLater(ms: number): Promise<never> {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new ClientError("deadline")), ms).unref();
  });
}

/** A refusal as the command's end: by its outcome, so that a script knows whether repeating may help. */
async function orFailure<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    const exitCode = error.outcome === "final" ? exitCodes.failed : exitCodes.unreachable;
    const details = error.details === null ? "" : ` ${JSON.stringify(error.details).slice(0, 500)}`;
    throw new CommandFailure(`${error.code}: ${error.message}${details}`, exitCode, error);
  }
}
