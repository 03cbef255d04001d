// A durable operation as the outbox keeps it, in memory and in the storage. Plain data.
import { decode, encode } from "../protocol/codec";
import type { MessageBody } from "../protocol/entry";
import { BadField, isMap } from "../protocol/fields";
import type { Field } from "../protocol/fields";
import type { ClientId, ConversationId, Seq } from "../protocol/ids";
import { isConversationId } from "../protocol/ids";
import { messageBody, operations } from "../protocol/operations";
import type { OperationName } from "../protocol/operations";
import { ClientError } from "./errors";

/** Operations that the outbox keeps until they are answered for good. */
export type DurableName = Extract<
  OperationName,
  "send" | "read" | "settings" | "create" | "join" | "leave" | "add" | "remove" | "role" | "update"
>;

interface Common {
  /** Ascending in the order of the queue; its key in the storage. */
  readonly id: string;
  readonly createdAt: number;
  /** Why it was refused for good; it waits for retry or discard. */
  readonly error: ClientError | null;
}

/** A message on its way. */
export interface SendOperation extends Common {
  readonly operation: "send";
  readonly conversation: ConversationId;
  /** One item of a `send`. */
  readonly args: readonly [ClientId, MessageBody];
}

/** Any other durable operation. */
export interface OtherOperation extends Common {
  readonly operation: Exclude<DurableName, "send">;
  /** Null for `create`. */
  readonly conversation: ConversationId | null;
  /** What follows the conversation on the wire. */
  readonly args: readonly unknown[];
}

/** What the outbox holds. */
export type Operation = SendOperation | OtherOperation;

const durable = new Set<string>([
  "send",
  "read",
  "settings",
  "create",
  "join",
  "leave",
  "add",
  "remove",
  "role",
  "update",
]);

/** Its arguments as they stand on the wire. */
export function wireArgs({ conversation, args }: Operation): readonly unknown[] {
  return conversation === null ? args : [conversation, ...args];
}

/** Whether it speaks of a seq of the log, which another generation does not have. */
export function namesSeq(operation: Operation): boolean {
  if (operation.operation === "read") return true;
  return operation.operation === "send" && operation.args[1][3] != null;
}

/** The seq of a read mark. */
export function readSeqOf(operation: Operation): Seq | null {
  const seq = operation.operation === "read" ? operation.args[1] : null;
  return typeof seq === "number" ? seq : null;
}

/** The id by which its entry in the log is known. */
export function clientIdOf(operation: Operation): ClientId | null {
  if (operation.operation === "read" || operation.operation === "settings") return null;
  return operation.args[operation.operation === "create" ? 1 : 0] as ClientId;
}

/** As the storage keeps it. */
export function toRecord({ error, ...operation }: Operation): unknown {
  if (!error) return operation;
  const { code, outcome, message, details } = error;
  return { ...operation, error: { code, outcome, message, details } };
}

/** An operation from the storage; null for what is none, as another version may have left it. */
export function fromRecord(record: unknown): Operation | null {
  if (!isMap(record) || typeof record.id !== "string" || !Array.isArray(record.args)) return null;
  if (typeof record.operation !== "string" || !durable.has(record.operation)) return null;
  const isCreate = record.operation === "create";
  if (isCreate ? record.conversation !== null : !isConversationId(record.conversation)) return null;
  if (record.operation === "send" && !isSendItem(record.args)) return null;
  const { id, operation, conversation, args } = record;
  const createdAt = typeof record.createdAt === "number" ? record.createdAt : 0;
  return { id, operation, conversation, args, createdAt, error: errorFrom(record.error) } as Operation;
}

function isSendItem([clientId, body]: readonly unknown[]): boolean {
  try {
    messageBody.read(body);
    return typeof clientId === "string";
  } catch {
    return false;
  }
}

function errorFrom(record: unknown): ClientError | null {
  if (!isMap(record) || typeof record.code !== "string") return null;
  return new ClientError(
    record.code,
    "final",
    typeof record.message === "string" ? record.message : undefined,
    record.details,
  );
}

/** The arguments, if the server will take them; throws ClientError `bad_request` or `too_large` for what it would refuse. */
export function checkedArgs<N extends OperationName>(name: N, args: readonly unknown[]): readonly unknown[] {
  const fields: readonly Field<unknown>[] = operations[name].args;
  try {
    // A copy by way of the wire, as for messages.
    return decode(encode(fields.map((field, i) => field.read(args[i])))) as readonly unknown[];
  } catch (error) {
    if (error instanceof BadField) throw new ClientError(error.code, "final", error.message);
    throw new ClientError("bad_request", "final", String(error));
  }
}
