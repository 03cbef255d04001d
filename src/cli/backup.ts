// `parley backup FILE` and `parley restore FILE`: the data of a SQLite store, out and in.
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { systemClock } from "../lib/clock";
import { sqliteFile } from "../server";
import { backUp } from "../storage/sqlite-backup";
import { restoreSqlite } from "../storage/sqlite-restore";
import { CommandFailure, readConfig } from "./context";
import type { CommandContext, CommonOptions } from "./context";

/** Copies the data while a server may be using it; `--json`: `{file,bytes}`. Never overwrites a file. */
export async function runBackup(context: CommandContext, file: string, options: CommonOptions): Promise<void> {
  const from = sqliteFile(await readConfig(context, options));
  const to = resolve(file);
  if (!existsSync(from)) throw new CommandFailure(`there is no data at ${from}; name its folder with PARLEY_DATA_DIR`);
  if (existsSync(to)) throw new CommandFailure(`${to} exists; choose another name`);
  await backUp(from, to, systemClock, (done, total) => context.progress(portion("copied", done, total)));
  context.progress(null);
  const bytes = Bun.file(to).size;
  context.print(options.json ? JSON.stringify({ file: to, bytes }) : `${to}: ${megabytes(bytes)}, checked`);
}

/** Options of `restore`. */
export interface RestoreCommandOptions extends CommonOptions {
  readonly force?: boolean;
}

/** Puts a backup in the place of the data; `--json`: `{file,conversations,bytes,generation}`. */
export async function runRestore(context: CommandContext, file: string, options: RestoreCommandOptions): Promise<void> {
  const to = sqliteFile(await readConfig(context, options));
  await mkdir(dirname(to), { recursive: true, mode: 0o700 });
  const restored = await restoreSqlite({
    from: resolve(file),
    to,
    force: options.force === true,
    onProgress: (done, total) => context.progress(portion("restored", done, total)),
  });
  context.progress(null);
  const { conversations, bytes } = restored;
  const says = `${to}: ${conversations} conversations, ${megabytes(bytes)}; start the server now`;
  context.print(options.json ? JSON.stringify({ file: to, ...restored }) : says);
}

function portion(verb: string, done: number, total: number): string {
  const percent = total === 0 ? 100 : Math.floor((100 * done) / total);
  return `${verb} ${megabytes(done)} of ${megabytes(total)} (${percent} %)`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
