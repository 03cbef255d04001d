// `parley backup FILE` and `parley restore FILE`: the data of the configured store, out and in. A backup is one SQLite file,
// whatever store it was made of, and goes into either.
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { systemClock } from "../lib/clock";
import type { Config } from "../lib/settings";
import { sqliteFile } from "../storage/sqlite-file";
import { backUpMongo } from "../storage/copy-backup";
import { openMongoDatabase } from "../storage/copy-mongo";
import { copyStopped } from "../storage/copy-run";
import { backUp } from "../storage/sqlite-backup";
import { epochLeap, restoreSqlite } from "../storage/sqlite-restore";
import { CommandFailure, exitCodes, readConfig } from "./context";
import type { CommandContext, CommonOptions } from "./context";
import { openSource, openTarget, orFailure, parseStore, reporter } from "./stores";

/** Copies the data while servers may be using it; `--json`: `{file,bytes}`. Never overwrites a file. */
export async function runBackup(context: CommandContext, file: string, options: CommonOptions): Promise<void> {
  const config = await readConfig(context, options);
  const to = resolve(file);
  if (existsSync(to)) throw new CommandFailure(`${to} exists; choose another name`);
  if (isMongo(config)) await backUpDatabase(context, config, to);
  else await backUpFile(context, config, to);
  context.progress(null);
  const bytes = Bun.file(to).size;
  context.print(options.json ? JSON.stringify({ file: to, bytes }) : `${to}: ${megabytes(bytes)}, checked`);
}

async function backUpFile(context: CommandContext, config: Config, to: string): Promise<void> {
  const from = sqliteFile(config);
  if (!existsSync(from)) throw new CommandFailure(`there is no data at ${from}; name its folder with PARLEY_DATA_DIR`);
  await backUp(from, to, systemClock, (done, total) => context.progress(portion("copied", done, total)));
}

function backUpDatabase(context: CommandContext, config: Config, file: string): Promise<void> {
  return orFailure(context, async () => {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const database = await openMongoDatabase(config.store);
    try {
      await backUpMongo({ database, file, onProgress: reporter(context), signal: context.stopped });
    } finally {
      await database.close();
    }
  });
}

/** Options of `restore`. */
export interface RestoreCommandOptions extends CommonOptions {
  readonly force?: boolean;
}

/** Puts a backup in the place of the data; `--json`: `{file,conversations,bytes,generation}`, or `to` for `file` with MongoDB. */
export async function runRestore(context: CommandContext, file: string, options: RestoreCommandOptions): Promise<void> {
  const config = await readConfig(context, options);
  if (isMongo(config)) return restoreMongo(context, resolve(file), config, options);
  const to = sqliteFile(config);
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

async function restoreMongo(
  context: CommandContext,
  file: string,
  config: Config,
  options: RestoreCommandOptions,
): Promise<void> {
  if (options.force) {
    const why = "a database is never replaced; name an empty one in PARLEY_STORE, and drop the old one when you like";
    throw new CommandFailure(`--force: ${why}`, exitCodes.usage);
  }
  await orFailure(context, async () => {
    await using closing = new AsyncDisposableStack();
    const source = await openSource({ kind: "sqlite", file }, "snapshot");
    closing.defer(() => source.close());
    const target = await openTarget(parseStore("PARLEY_STORE", config.store));
    closing.defer(() => target.close());
    const { generation, sums } = await copyStopped({
      ...{ source, target, generation: "renewed", epochLeap },
      ...{ onProgress: reporter(context), signal: context.stopped },
    });
    context.progress(null);
    const { heads, entries } = sums;
    const says = `${target.name}: ${heads.rows} conversations, ${entries.rows} entries, compared; start the servers now`;
    const told = { to: target.name, conversations: heads.rows, bytes: Bun.file(file).size, generation };
    context.print(options.json ? JSON.stringify(told) : says);
  });
}

function isMongo({ store }: Config): boolean {
  return store.startsWith("mongodb");
}

function portion(verb: string, done: number, total: number): string {
  const percent = total === 0 ? 100 : Math.floor((100 * done) / total);
  return `${verb} ${megabytes(done)} of ${megabytes(total)} (${percent} %)`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
