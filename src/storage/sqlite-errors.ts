// What SQLite's errors mean for an operator and for whoever waits for a write.

/** The server cannot start on this data; the message tells the operator the fix. */
export class StartupError extends Error {
  override readonly name = "StartupError";
}

/** SQLite's own name of an error (`SQLITE_FULL`), or null where it is not one of SQLite's. */
export function sqliteCode(error: unknown): string | null {
  const code = error instanceof Error && "code" in error ? error.code : null;
  return typeof code === "string" && code.startsWith("SQLITE_") ? code : null;
}

const meanings: readonly (readonly [prefix: string, says: string])[] = [
  ["SQLITE_FULL", "the disk is full; free space on it"],
  ["SQLITE_IOERR_WRITE", "the disk refused a write; check its space, quota and health"],
  ["SQLITE_IOERR", "the disk failed; check its health"],
  ["SQLITE_READONLY", "the data folder is read-only; make it and its files writable for this user"],
  ["SQLITE_CANTOPEN", "the file cannot be opened; check that the data folder exists and this user may write there"],
  ["SQLITE_PERM", "this user may not use the file; check its owner and mode"],
  ["SQLITE_BUSY", "the file is locked by another process; stop that process"],
  ["SQLITE_LOCKED", "the file is locked by another process; stop that process"],
  ["SQLITE_CORRUPT", "the file is damaged; stop the server and restore a backup with `parley restore`"],
  ["SQLITE_NOTADB", "the file is not a database, or its beginning is damaged; restore a backup with `parley restore`"],
];

/** An error of SQLite as a sentence with the fix. */
export function reasonOf(error: unknown): string {
  const code = sqliteCode(error);
  const says = code && meanings.find(([prefix]) => code.startsWith(prefix))?.[1];
  const message = error instanceof Error ? error.message : String(error);
  return says ? `${says} (${code}: ${message})` : message;
}
