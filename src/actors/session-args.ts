// Checks the arguments of a request against the operation table, before any actor sees them (G11).
// Owned by sessions; pure. Errors say which argument, and what was expected of it.
import { AppError } from "../lib/errors";
import { BadField, freeMap } from "../protocol/fields";
import type { ClientId, ConversationId } from "../protocol/ids";
import type { MessageBody } from "../protocol/entry";
import { limits } from "../protocol/limits";
import { operations } from "../protocol/operations";
import type { Args, ErrorTuple, OperationName } from "../protocol/operations";

/** Whether the table has an operation of this name. */
export function isOperation(name: string): name is OperationName {
  return Object.hasOwn(operations, name);
}

/** The checked arguments; throws an AppError `bad_request`, `too_large` or `reserved` that names the first wrong one. */
export function readArgs<N extends OperationName>(name: N, given: unknown): Args<N> {
  if (!Array.isArray(given)) throw new AppError("bad_request", "expected an array of arguments");
  const { args } = operations[name];
  const read: unknown[] = [];
  try {
    for (const field of args) read.push(field.read(given[read.length]));
  } catch (error) {
    throw argumentError(error, name, read.length);
  }
  return read as unknown as Args<N>;
}

function argumentError(error: unknown, name: OperationName, index: number): unknown {
  if (!(error instanceof BadField)) return error;
  const argument = operations[name].names.split(", ")[index] ?? `argument ${index + 1}`;
  return new AppError(error.code, `${argument}${error.path}: ${error.message}`);
}

/** One message of a `send`. */
export type SendItem = readonly [ClientId, MessageBody];

/** A `send` whose items were checked one by one: those at fault are answered alone, the others go on. */
export interface CheckedSend {
  readonly conversation: ConversationId;
  /** Items that passed, in order. */
  readonly items: readonly SendItem[];
  /** By position of the request: the error of an item at fault, null for one that passed. Null: all passed. */
  readonly faults: readonly (ErrorTuple | null)[] | null;
}

/**
 * As {@link readArgs} for `send`, except that a wrong item fails by itself: one message that is too large never stops
 * those behind it (G4).
 */
export function readSend(given: unknown): CheckedSend {
  try {
    const [conversation, items] = readArgs("send", given);
    return { conversation, items, faults: null };
  } catch (error) {
    return readEachItem(given, error);
  }
}

function readEachItem(given: unknown, first: unknown): CheckedSend {
  const list: unknown = Array.isArray(given) ? given[1] : null;
  if (!Array.isArray(list) || list.length === 0 || list.length > limits.sendItemsMax) throw first;
  const items: SendItem[] = [];
  let conversation: ConversationId | null = null;
  const faults = list.map((item): ErrorTuple | null => {
    try {
      const [id, [one]] = readArgs("send", [(given as unknown[])[0], [item]]);
      conversation = id;
      items.push(one as SendItem);
      return null;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return error.toTuple();
    }
  });
  // With not one item right the fault may be the conversation's id; the first error says which.
  if (conversation === null) throw first;
  return { conversation, items, faults };
}

/** Outcomes of a checked send, with the faulty items' errors put back in their places. */
export function mergeFaults<T>(faults: readonly (ErrorTuple | null)[], outcomes: readonly T[]): (T | ErrorTuple)[] {
  let at = 0;
  return faults.map((fault) => fault ?? (outcomes[at++] as T));
}

/** How long the client waits for an answer, milliseconds; null where it does not say. Throws an AppError `bad_request` or `too_large`. */
export function readDeadline(meta: unknown): number | null {
  if (meta === undefined || meta === null) return null;
  const { deadlineMs } = readMeta(meta);
  if (deadlineMs === undefined || deadlineMs === null) return null;
  if (typeof deadlineMs !== "number" || !Number.isInteger(deadlineMs) || deadlineMs < 1) {
    throw new AppError("bad_request", "meta.deadlineMs: expected a positive integer");
  }
  return deadlineMs;
}

const metaMap = freeMap(limits.metaBytesMax);

function readMeta(meta: unknown): Readonly<Record<string, unknown>> {
  try {
    return metaMap.read(meta);
  } catch (error) {
    if (error instanceof BadField) throw new AppError(error.code, `meta: ${error.message}`);
    throw error;
  }
}
