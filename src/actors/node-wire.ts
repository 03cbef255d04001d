// What nodes say to each other about actors, as MessagePack: requests to a partition's owner, and their answers.
// Pure. Arrays by position; a later release adds at the end, and what it cannot say so it says under another version.
import { AppError } from "../lib/errors";
import { decode, encode } from "../protocol/codec";
import { errorCodes } from "../protocol/codes";
import type { ErrorCode } from "../protocol/codes";
import type { Epoch } from "../protocol/ids";
import type { ErrorTuple } from "../protocol/operations";
import type { KindName } from "./actor";
import { NotHere } from "./not-here";
import type { Incarnation } from "./placement-shares";

/** Of requests; one that is not known is answered as {@link NotHere}. */
const version = 1;
const kinds: readonly KindName[] = ["conversation", "user"];

/** A message to an actor elsewhere. */
export interface NodeRequest {
  readonly kind: KindName;
  readonly key: string;
  /** Who asks, and over which of its connections: one of an older connection than was seen before comes too late. */
  readonly caller: Incarnation;
  readonly connection: number;
  /** How long the caller will wait, milliseconds; 0: it wants no answer. */
  readonly timeoutMs: number;
  readonly message: unknown;
  /** The same for every attempt at one ask, and no other of the caller's; 0: one that nobody repeats by number. */
  readonly number: number;
  /** By the caller's monotonic clock, milliseconds; null: it did not say. */
  readonly sentAt: number | null;
  /** The only epoch of the partition under which it may be done, 0 where the caller knows of none; null: under any. */
  readonly epoch: Epoch | null;
}

/** Encodes a request. */
export function encodeRequest(request: NodeRequest): Uint8Array {
  const { kind, key, caller, connection, timeoutMs, message, number, sentAt, epoch } = request;
  const at = sentAt === null ? null : Math.floor(sentAt);
  const waits = Math.ceil(timeoutMs);
  return encode([version, kinds.indexOf(kind), key, caller, connection, waits, message, number, at, epoch]);
}

/** Null for what is no request of this version. Never throws. */
export function decodeRequest(bytes: Uint8Array): NodeRequest | null {
  const parts = decodeArray(bytes);
  if (parts === null) return null;
  const [spoken, kindAt, key, caller, connection, timeoutMs, message, number = 0, sentAt = null, epoch = null] = parts;
  const kind = kinds[kindAt as number];
  if (spoken !== version || kind === undefined || typeof key !== "string" || typeof caller !== "string") return null;
  if (typeof connection !== "number" || typeof timeoutMs !== "number" || typeof number !== "number") return null;
  if ((sentAt !== null && typeof sentAt !== "number") || (epoch !== null && typeof epoch !== "number")) return null;
  return { kind, key, caller, connection, timeoutMs, message, number, sentAt, epoch };
}

/** Forms of an answer, by its first item. */
const answers = { value: 0, error: 1, notHere: 2 } as const;

/** Encodes what an actor answered. Throws where the value has no encoding. */
export function encodeValue(value: unknown): Uint8Array {
  return encode([answers.value, value]);
}

/** Encodes an error; {@link NotHere} stays what it is. @param epoch under which whoever answers serves the partition; 0: it does not say */
export function encodeFailure(error: AppError, epoch: Epoch = 0): Uint8Array {
  return encode([error instanceof NotHere ? answers.notHere : answers.error, error.toTuple(), epoch]);
}

/** What an owner answered. */
export type NodeAnswer =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: AppError; readonly epoch: Epoch };

const garbled: NodeAnswer = {
  ok: false,
  error: new AppError("outcome_unknown", "an answer could not be read; repeat with the same client id to learn"),
  epoch: 0,
};

/** Decodes an answer; what cannot be read is an unknown outcome. Never throws. */
export function decodeAnswer(bytes: Uint8Array): NodeAnswer {
  const parts = decodeArray(bytes);
  if (parts === null) return garbled;
  const [form, content, epoch = 0] = parts;
  if (form === answers.value) return { ok: true, value: content };
  if ((form !== answers.error && form !== answers.notHere) || !Array.isArray(content)) return garbled;
  if (typeof epoch !== "number") return garbled;
  return { ok: false, error: errorOf(content as unknown as ErrorTuple, form === answers.notHere), epoch };
}

/** The error of another node, whose release may know codes that this one does not: the outcome decides then. */
function errorOf([name, message, outcome, retryAfterMs, details]: ErrorTuple, notHere: boolean): AppError {
  const known = Object.hasOwn(errorCodes, name) ? (name as ErrorCode) : codeFor(outcome);
  const options = retryAfterMs === null ? { details } : { details, retryAfterMs };
  return notHere ? new NotHere(known, message, options) : new AppError(known, message, options);
}

function codeFor(outcome: ErrorTuple[2]): ErrorCode {
  if (outcome === "final") return "not_supported";
  return outcome === "retry" ? "store_unavailable" : "outcome_unknown";
}

function decodeArray(bytes: Uint8Array): readonly unknown[] | null {
  try {
    const value = decode(bytes);
    return Array.isArray(value) ? value : null;
  } catch {
    return null; // counted by whoever reads it
  }
}
