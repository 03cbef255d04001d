// Online backup of a MongoDB database: a copy of it in one file, of the form that backups of files have, while servers go on.
import { copyOnline } from "./copy-run";
import type { Copied, CopyProgress } from "./copy-run";
import { openMongoSource } from "./copy-mongo";
import type { OpenDatabase } from "./copy-mongo";
import { createSqliteTarget } from "./copy-sqlite-target";

/** What to back up, and where to. */
export interface MongoBackup {
  /** The database; it stays open. */
  readonly database: OpenDatabase;
  /** The file to make; its folder exists, and the file does not. */
  readonly file: string;
  readonly onProgress: (progress: CopyProgress) => void;
  /** Ends it; nothing is left then. */
  readonly signal: AbortSignal;
}

/** Rejects with a {@link CopyError}, or the driver's error; no file of that name is there then. See {@link copyOnline}. */
export async function backUpMongo({ database, file, onProgress, signal }: MongoBackup): Promise<Copied> {
  const source = await openMongoSource({ ...database, close: () => Promise.resolve() });
  const target = createSqliteTarget({ file, resumable: false });
  try {
    return await copyOnline({ source, target, generation: "kept", epochLeap: 0, onProgress, signal });
  } finally {
    await target.close();
  }
}
