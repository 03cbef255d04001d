// What the errors of MongoDB's driver mean for a write: whether it is certainly undone, and whether repeating it can help.
// Pure. In doubt an outcome is uncertain: only then is "refused" true (G1).
import {
  MongoError,
  MongoNetworkError,
  MongoNotConnectedError,
  MongoServerError,
  MongoServerSelectionError,
  MongoTopologyClosedError,
  MongoWriteConcernError,
} from "mongodb";

/** Why a command did not succeed. */
export interface Failure {
  /** A sentence with the fix where there is one. */
  readonly reason: string;
  /** Nothing of the command was applied, nor will be. */
  readonly certain: boolean;
  /** The same command fails again whatever happens to the servers. */
  readonly lasting: boolean;
}

/** A document of a write was refused while others may have been taken. */
export class WriteRefused extends Error {
  override readonly name = "WriteRefused";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** A command failed behind others of the same write, or beside statements of its own, that were applied. */
export class PartlyApplied extends Error {
  override readonly name = "PartlyApplied";

  constructor(cause: unknown) {
    super("a write was applied in part", { cause });
  }
}

/** The code of a unique index that holds the key already. */
export const duplicateKey = 11000;

/** Refused before anything is done, for as long as nobody changes users, rights or the program. */
const lasting: ReadonlyMap<number, string> = new Map([
  [2, "the database refused a value"],
  [9, "the database did not understand a command"],
  [13, "this user may not write to the database; grant it readWrite on it"],
  [14, "the database refused the type of a value"],
  [18, "the database refused the name or password in the store's address"],
  [59, "the database does not know a command that Parley needs"],
  [121, "the database refused a document; remove the validation rules on Parley's collections"],
  [10334, "a document is larger than the database allows"],
]);

/** What a server refuses before anything is done: it is not the primary, or it has no room. */
const beforehand: ReadonlySet<number> = new Set([10107, 13435, 13436, 14031]);

const meanings: ReadonlyMap<number, string> = new Map([
  [64, "a majority of the database's members did not confirm in time"],
  [91, "the database is shutting down"],
  [189, "the database's primary stepped down"],
  [10107, "the database's member is not the primary"],
  [11600, "the database is shutting down"],
  [11602, "the database's primary changed"],
  [14031, "the database's disk is full; free space on it"],
]);

/**
 * What an error of the driver means. @param single whether the command held one document only
 * Throws what is no error of the driver.
 */
export function failureOf(error: unknown, single: boolean): Failure {
  if (error instanceof PartlyApplied) return { ...failureOf(error.cause, single), certain: false };
  if (error instanceof WriteRefused) {
    // Also of other codes a member says that it did nothing; a router says so of a shard whose reply it has lost.
    const undone = error.code === duplicateKey || beforehand.has(error.code);
    return serverFailure(error.code, error.message, single, undone);
  }
  if (error instanceof MongoWriteConcernError) {
    return { ...serverFailure(Number(error.code ?? 0), error.message, single, false), certain: false, lasting: false };
  }
  if (error instanceof MongoServerError) {
    const code = Number(error.code ?? 0);
    return serverFailure(code, error.message, single, beforehand.has(code));
  }
  if (!isOfDriver(error)) throw error;
  if (error.name === "MongoInvalidArgumentError" || error.name.startsWith("BSON")) {
    return { reason: `a document cannot be written: ${error.message}`, certain: true, lasting: true };
  }
  return { reason: reasonOf(error), certain: neverSent(error), lasting: false };
}

/** An error of the driver as a sentence with the fix. */
export function reasonOf(error: unknown): string {
  if (error instanceof PartlyApplied) return reasonOf(error.cause);
  if (error instanceof MongoServerSelectionError) return `no primary of the database answers (${error.message})`;
  if (error instanceof MongoNetworkError || isOfSocket(error))
    return `the connection to the database was lost (${error.message})`;
  if (isNamed(error, "MongoWaitQueueTimeoutError")) {
    return `the database does not answer in time, and every connection to it is taken (${error.message})`;
  }
  const coded = error instanceof MongoServerError || error instanceof WriteRefused;
  const code = coded ? Number(error.code ?? 0) : 0;
  const message = error instanceof Error ? error.message : String(error);
  const says = meanings.get(code) ?? lasting.get(code);
  return says ? `${says} (${code}: ${message})` : message;
}

/** Whether the driver or the documents' encoder threw it, or a connection's socket did, or it is a {@link WriteRefused}. */
export function isOfDriver(error: unknown): error is Error {
  if (error instanceof MongoError || error instanceof WriteRefused || isOfSocket(error)) return true;
  if (error instanceof PartlyApplied) return isOfDriver(error.cause);
  return error instanceof Error && error.name.startsWith("BSON");
}

/** The driver lets the socket's own error through where a command is being written while the connection is lost. */
function isOfSocket(error: unknown): error is Error {
  return error instanceof Error && "syscall" in error && (error.syscall === "write" || error.syscall === "read");
}

/** @param undone whether this error says that the document it is about was not applied */
function serverFailure(code: number, message: string, single: boolean, undone: boolean): Failure {
  const forGood = lasting.get(code);
  const says = forGood ?? meanings.get(code);
  const reason = says ? `${says} (${code}: ${message})` : message;
  // Of several documents those before the failure may be in.
  return { reason, certain: forGood !== undefined || (single && undone), lasting: forGood !== undefined };
}

/** The driver keeps the classes of its pool to itself. */
function isNamed(error: unknown, name: string): error is Error {
  return error instanceof Error && error.name === name;
}

/** Whether it failed before the command left this process. */
function neverSent(error: Error): boolean {
  if (error instanceof MongoServerSelectionError) return true;
  if (error instanceof MongoNotConnectedError || error instanceof MongoTopologyClosedError) return true;
  if (error instanceof MongoNetworkError && "beforeHandshake" in error && error.beforeHandshake === true) return true;
  // Whoever waits for a connection; not `PoolClearedOnNetworkError`, which takes one away from a command under way.
  return /^Mongo(PoolCleared|PoolClosed|WaitQueueTimeout)Error$/.test(error.name);
}
