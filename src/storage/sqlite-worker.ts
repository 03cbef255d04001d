// The entry of the store's threads: the first message says which role this one plays; then it answers requests, in order.
// Imported on the main thread it does nothing.
import { configureFailpoints } from "../lib/failpoints";
import type { Database } from "bun:sqlite";
import { Checkpointer } from "./sqlite-checkpointer";
import { copyConsistently } from "./sqlite-copy";
import { reasonOf, StartupError } from "./sqlite-errors";
import { migrate } from "./migrations";
import type { StoreFile, WorkerAnswer, WorkerRequest, WorkerStart, WriterStarted } from "./sqlite-messages";
import { openForReading, openForWriting } from "./sqlite-open";
import { packBatch, type PackedWrite, unpackBatch } from "./sqlite-packing";
import { Reader } from "./sqlite-reader";
import { sqliteMigrations } from "./sqlite-schema";
import { refuseOldLibrary } from "./sqlite-sharing";
import { lockWaitMs, Writer } from "./sqlite-writer";

type Handle = (operation: string, argument: unknown) => Uint8Array<ArrayBuffer>;

interface Role {
  readonly started: WriterStarted | null;
  readonly handle: Handle;
  /** What is done once an answer is on its way. */
  readonly afterwards?: () => void;
}

/** How long a start waits while another process brings a shared file to the schema, milliseconds. */
const migrateWaitMs = 30_000;
/** How long a start waits for the lock of a shared file: one that stands still in a transaction is ended meanwhile, milliseconds. */
const startWaitMs = 10_000;
/** How long one answer's ranges of a shared file are read for, milliseconds: an old state that is read keeps the log from being folded in. */
const cutMs = 250;

const nothing = () => packBatch(null);

function startWriter({ file, sharing }: StoreFile): Role {
  const db = openForWriting(file, sharing);
  if (sharing) refuseOldLibrary(String(db.query("SELECT sqlite_version()").values()[0]?.[0]));
  const { schema } = migrate(db, sqliteMigrations, sharing ? migrateWaitMs : 0);
  const { value } = db.query("SELECT value FROM meta WHERE key = 'generation'").get() as { value: string };
  const { synchronous } = db.query("PRAGMA synchronous").get() as { synchronous: number };
  const writer = new Writer(db, sharing);
  // SQLite opens a file it may not write to without a word; say it at the start, not at the first message.
  const failure = writer.probe(sharing ? startWaitMs : lockWaitMs);
  if (failure !== null) throw new StartupError(`cannot write to ${file}: ${failure}`);
  const operations: Record<string, (argument: unknown) => Uint8Array<ArrayBuffer>> = {
    commit: (batch) => packBatch(writer.commit(unpackBatch(batch as Uint8Array) as PackedWrite[])),
    claim: (partitions) => packBatch(writer.claim(partitions as number[])),
    raise: (level) => packBatch(writer.raiseFeatureLevel(level as number)),
    probe: () => packBatch(writer.refusal() ?? writer.probe()),
    close: () => closed(db),
  };
  return {
    started: { generation: value, schema, synchronous },
    handle: (name, argument) => known(operations, name)(argument),
    afterwards: () => writer.limitLog(),
  };
}

function startCheckpointer({ file, sharing }: StoreFile): Role {
  const db = openForWriting(file, sharing);
  if (sharing) {
    const checkpointer = new Checkpointer(db, file, sharing);
    const shared: Handle = (name) => {
      if (name !== "close") return packBatch(checkpointer.round());
      checkpointer.close();
      return nothing();
    };
    return { started: null, handle: shared };
  }
  const handle: Handle = (name) => {
    if (name === "close") return closed(db);
    return packBatch(db.query("PRAGMA wal_checkpoint(PASSIVE)").get());
  };
  return { started: null, handle };
}

function startReader({ file, sharing }: StoreFile): Role {
  const db = openForReading(file);
  const reader = new Reader(db, sharing ? cutMs : Number.POSITIVE_INFINITY);
  const handle: Handle = (name, argument) =>
    name === "close" ? closed(db) : packBatch(reader.readAll(argument as Parameters<Reader["readAll"]>[0]));
  return { started: null, handle };
}

function startCopier({ file }: StoreFile): Role {
  const handle: Handle = (name, argument) => {
    if (name === "copy") copyConsistently(file, argument as string);
    return nothing();
  };
  return { started: null, handle };
}

function known<T>(table: Readonly<Record<string, T>>, name: string): T {
  const found = table[name];
  if (found === undefined) throw new Error(`no operation ${name}`);
  return found;
}

function closed(db: Database): Uint8Array<ArrayBuffer> {
  db.close();
  return nothing();
}

const roles: Readonly<Record<WorkerStart["role"], (file: StoreFile) => Role>> = {
  writer: startWriter,
  reader: startReader,
  checkpointer: startCheckpointer,
  copier: startCopier,
};

function start({ role, failpoints, ...file }: WorkerStart): Role {
  configureFailpoints(failpoints);
  return roles[role](file);
}

function answer(id: number, act: () => Uint8Array<ArrayBuffer>): void {
  try {
    const bytes = act();
    postMessage([id, bytes, null] satisfies WorkerAnswer, [bytes.buffer]);
  } catch (error) {
    postMessage([id, null, error instanceof StartupError ? error.message : reasonOf(error)]);
  }
}

function listen(): void {
  let role: Role | null = null;
  self.addEventListener("message", ({ data }: MessageEvent<WorkerStart | WorkerRequest>) => {
    if ("role" in data) {
      answer(0, () => {
        role = start(data);
        return packBatch(role.started);
      });
      return;
    }
    const [id, operation, argument] = data;
    answer(id, () => {
      if (!role) throw new Error("the worker has not started");
      return role.handle(operation, argument);
    });
    if (operation === "commit") role?.afterwards?.();
  });
}

if (!Bun.isMainThread) listen();
