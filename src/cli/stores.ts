// Opens what `copy`, `backup`, `restore` and `export` read and write, by its address, and says what went wrong with which code.
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { CopyError } from "../storage/copy";
import type { SettlingTarget, TransferSource, TransferTarget } from "../storage/copy";
import { createMongoTarget, openMongoDatabase, openMongoSource } from "../storage/copy-mongo";
import type { CopyProgress } from "../storage/copy-run";
import { openSqliteSource } from "../storage/copy-sqlite-source";
import type { SqliteReading } from "../storage/copy-sqlite-source";
import { createSqliteTarget } from "../storage/copy-sqlite-target";
import { failureOf, isOfDriver } from "../storage/mongo-failures";
import { StartupError } from "../storage/sqlite-errors";
import { CommandFailure, exitCodes } from "./context";
import type { CommandContext } from "./context";

/** Where a data set is. */
export type StoreAddress =
  | { readonly kind: "sqlite"; readonly file: string }
  | { readonly kind: "mongodb"; readonly uri: string };

/** What an option named as a store; anything else ends the command with code 2. */
export function parseStore(option: string, text: string): StoreAddress {
  if (/^mongodb(\+srv)?:\/\/./.test(text)) return { kind: "mongodb", uri: text };
  if (/^sqlite:./.test(text)) return { kind: "sqlite", file: resolve(text.slice("sqlite:".length)) };
  // What was given is not repeated: it may hold a password.
  throw new CommandFailure(`${option}: allowed: sqlite:PATH or mongodb://HOST/DATABASE`, exitCodes.usage);
}

/** Opens a data set to read it. @param reading of a file only; a database is read as its servers see it */
export async function openSource(address: StoreAddress, reading: SqliteReading): Promise<TransferSource> {
  if (address.kind === "sqlite") return openSqliteSource(address.file, reading);
  return openMongoSource(await openMongoDatabase(address.uri));
}

/** Opens what a copy is made in; nothing is changed yet. */
export async function openTarget(address: StoreAddress): Promise<TransferTarget | SettlingTarget> {
  if (address.kind === "mongodb") return createMongoTarget(await openMongoDatabase(address.uri));
  const folder = dirname(address.file);
  if (!existsSync(folder)) await mkdir(folder, { recursive: true, mode: 0o700 });
  return createSqliteTarget({ file: address.file, resumable: true });
}

/** Least time between two lines of progress where nobody watches, milliseconds. */
const sayEveryMs = 10_000;

/** Shows progress: drawn over itself on a terminal, else a line now and then on standard error. */
export function reporter(context: CommandContext): (progress: CopyProgress) => void {
  let saidAt = performance.now();
  return ({ phase, kind, rows, total }) => {
    const line = `${phase} ${kind}: ${rows} of ${Math.max(rows, total)}`;
    context.progress(line);
    if (context.interactive || performance.now() - saidAt < sayEveryMs) return;
    saidAt = performance.now();
    context.say(line);
  };
}

const codes: Readonly<Record<CopyError["why"], number>> = {
  refused: exitCodes.failed,
  failed: exitCodes.failed,
  differs: exitCodes.differs,
  stopped: exitCodes.stopped,
};

/** Runs `work`; every way it can fail has its sentence and its exit code. */
export async function orFailure<T>(context: CommandContext, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw failureFor(error);
  } finally {
    context.progress(null);
  }
}

function failureFor(error: unknown): unknown {
  if (error instanceof CopyError) {
    const again = error.why === "stopped" ? "; the same command goes on where it was" : "";
    return new CommandFailure(error.message + again, codes[error.why], error);
  }
  // No server answered; a refused password, for one, has no such cause.
  if (error instanceof StartupError && isOfDriver(error.cause)) {
    return new CommandFailure(error.message, exitCodes.unreachable, error);
  }
  if (!isOfDriver(error)) return error;
  const { reason, lasting } = failureOf(error, true);
  const says = lasting ? reason : `${reason}; the same command goes on where it was`;
  return new CommandFailure(says, lasting ? exitCodes.failed : exitCodes.unreachable, error);
}
