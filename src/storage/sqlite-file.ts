// Where the SQLite store is: for the server and for commands that work on the file itself.
import { join, resolve } from "node:path";

/** The file of the SQLite store: the named one, or `parley.sqlite` in the data folder. */
export function sqliteFile(config: { readonly store: string; readonly dataDir: string }): string {
  const named = config.store.slice("sqlite:".length);
  return resolve(named === "" ? join(config.dataDir, "parley.sqlite") : named);
}
