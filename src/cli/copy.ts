// `parley copy --from STORE --to STORE`: moves a whole deployment between stores; `parley export FILE`: its canonical lines.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { resolve } from "node:path";
import { finished } from "node:stream/promises";
import { sqliteFile } from "../storage/sqlite-file";
import { CopyError, lineOf, transferKinds } from "../storage/copy";
import type { TransferSource } from "../storage/copy";
import { copyStopped } from "../storage/copy-run";
import type { Copied } from "../storage/copy-run";
import { readConfig } from "./context";
import type { CommandContext, CommonOptions } from "./context";
import { openSource, openTarget, orFailure, parseStore, reporter } from "./stores";
import type { StoreAddress } from "./stores";

/** Options of `copy`. */
export interface CopyCommandOptions extends CommonOptions {
  readonly from: string;
  readonly to: string;
}

/**
 * Copies a data set whose servers are stopped. Ends with code 5 where both sides do not hold the same in the end, with 6 where
 * it was stopped; `--json`: `{from,to,generation,epoch,resumed,wasDone,reopened,kinds:{KIND:{rows,digest}}}`.
 */
export async function runCopy(context: CommandContext, options: CopyCommandOptions): Promise<void> {
  const [from, to] = [parseStore("--from", options.from), parseStore("--to", options.to)];
  await orFailure(context, async () => {
    await using closing = new AsyncDisposableStack();
    const source = await openSource(from, "alone");
    closing.defer(() => source.close());
    const target = await openTarget(to);
    closing.defer(() => target.close());
    const copied = await copyStopped({
      ...{ source, target, generation: "kept", epochLeap: 0 },
      ...{ onProgress: reporter(context), signal: context.stopped },
    });
    context.progress(null);
    tell(context, options, source.name, target.name, copied);
  });
}

function tell(context: CommandContext, { json }: CommonOptions, from: string, to: string, copied: Copied): void {
  const { sums: kinds, settled, ...rest } = copied;
  if (json) return context.print(JSON.stringify({ from, to, ...rest, reopened: settled.reopened, kinds }));
  for (const kind of transferKinds) {
    const { rows, digest } = kinds[kind];
    context.print(`${kind.padEnd(12)} ${String(rows).padStart(10)}  ${digest}`);
  }
  if (copied.wasDone) return context.print(`${to} is this copy already; nothing was done`);
  if (settled.reopened > 0) context.print(`${settled.reopened} conversations were left open; a server finishes them`);
  context.print(`${to} holds the same as ${from}; start its servers on it now, and none on the old one`);
}

/** Options of `export`. */
export interface ExportOptions extends CommonOptions {
  readonly from?: string;
}

/** Writes every row as a line of JSON, in one order whatever the store; `--json`: `{file,lines,digest}`. Overwrites nothing. */
export async function runExport(context: CommandContext, file: string, options: ExportOptions): Promise<void> {
  const from = options.from === undefined ? await configured(context, options) : parseStore("--from", options.from);
  const to = resolve(file);
  await orFailure(context, async () => {
    await using closing = new AsyncDisposableStack();
    const source = await openSource(from, "snapshot");
    closing.defer(() => source.close());
    const { lines, digest } = await writeLines(context, source, to);
    context.progress(null);
    context.print(
      options.json ? JSON.stringify({ file: to, lines, digest }) : `${to}: ${lines} lines, SHA-256 ${digest}`,
    );
  });
}

async function configured(context: CommandContext, options: CommonOptions): Promise<StoreAddress> {
  const config = await readConfig(context, options);
  return config.store.startsWith("mongodb")
    ? parseStore("PARLEY_STORE", config.store)
    : { kind: "sqlite", file: sqliteFile(config) };
}

async function writeLines(
  context: CommandContext,
  source: TransferSource,
  file: string,
): Promise<{ readonly lines: number; readonly digest: string }> {
  const report = reporter(context);
  const hash = createHash("sha256");
  const out = createWriteStream(file, { flags: "wx", mode: 0o600 });
  await once(out, "open");
  let lines = 0;
  for (const kind of transferKinds) {
    const total = await source.count(kind);
    let done = 0;
    for await (const { rows } of source.pages(kind, null)) {
      if (context.stopped.aborted) throw new CopyError("stopped", `${file} is not complete`);
      const text = rows.map((row) => `${lineOf(kind, row)}\n`).join("");
      hash.update(text);
      if (!out.write(text)) await once(out, "drain");
      done += rows.length;
      report({ phase: "copying", kind, rows: done, total });
    }
    lines += done;
  }
  out.end();
  await finished(out);
  return { lines, digest: hash.digest("hex") };
}
