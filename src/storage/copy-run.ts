// Moves a whole data set from a source to a target: page by page, resumable, and proven by reading both back.
// Owned by the commands copy, backup and restore. One page is in memory at a time, whatever the size of the data.
import { failpoint } from "../lib/failpoints";
import { CopyError, transferKinds } from "./copy";
import type {
  CopyEnd,
  CopyPosition,
  Settled,
  SettlingTarget,
  TransferKind,
  TransferSource,
  TransferState,
  TransferTarget,
} from "./copy";
import { Summing, sumKind, throwDifference } from "./copy-digest";
import type { KindSum } from "./copy-digest";

/** What a copy is doing, and how much of it is done. `rows` of a kind's `total` were copied, or compared on both sides. */
export interface CopyProgress {
  readonly phase: "copying" | "comparing";
  readonly kind: TransferKind;
  readonly rows: number;
  /** An estimate. */
  readonly total: number;
}

/** How to copy. */
export interface CopyOptions {
  readonly source: TransferSource;
  readonly target: TransferTarget | SettlingTarget;
  /** The copy's generation: the source's, so that clients keep their positions, or a new one, so that they begin anew. */
  readonly generation: "kept" | "renewed";
  /** Added to the source's epoch counter. */
  readonly epochLeap: number;
  readonly onProgress: (progress: CopyProgress) => void;
  /** Ends it at the next page with a {@link CopyError} `stopped`. */
  readonly signal: AbortSignal;
}

/** What a copy came to. */
export interface Copied {
  /** Whether it was complete already, and nothing was done. */
  readonly wasDone: boolean;
  readonly resumed: boolean;
  readonly generation: string;
  readonly epoch: number;
  readonly sums: Readonly<Record<TransferKind, KindSum>>;
  readonly settled: Settled;
}

const nothingSettled: Settled = { reopened: 0, people: 0 };

/**
 * Copies a source that no server uses. Goes on where an earlier attempt of the same copy ended. Rejects with a
 * {@link CopyError}, or the store's own error; the target then is unfinished, and no server starts on it.
 */
export async function copyStopped(options: CopyOptions): Promise<Copied> {
  const { source, target } = options;
  const from = await source.state();
  if (!source.exact && !settles(target)) {
    throw new CopyError(
      "refused",
      `${source.name} and ${target.name} are of one kind: copy it with the database's own tools (mongodump, mongorestore)`,
    );
  }
  const begun = await target.begin(from);
  const run = new Run(options);
  const end = endOf(options, from);
  if (begun.state === "done") {
    return { ...copiedTo(end), wasDone: true, resumed: false, sums: await run.sumsOf(source), settled: nothingSettled };
  }
  await run.copyFrom(begun.state === "resumed" ? begun.position : { kind: "users", after: null });
  const sums = await run.compare();
  await expectUnused(source, from);
  failpoint("copy.compared");
  const settled = await finish(options, end);
  return { ...copiedTo(end), wasDone: false, resumed: begun.state === "resumed", sums, settled };
}

/**
 * Copies a source while servers may be using it. What was acknowledged before it began is in the copy; what came later is
 * there in part. The copy is whole by itself: logs without a gap, nothing past their heads, and open where a server has to
 * finish something.
 */
export async function copyOnline(options: CopyOptions & { readonly target: SettlingTarget }): Promise<Copied> {
  const { source, target } = options;
  const from = await source.state();
  const run = new Run(options);
  await target.begin(from);
  for await (const { rows } of source.pages("heads", null)) {
    run.throwIfStopped();
    target.noteHeads(rows);
  }
  const sums = await run.copyAll();
  // Epochs that were taken meanwhile may stand in heads that were read late.
  const { epoch, featureLevel } = await source.state();
  const end = endOf(options, { ...from, epoch, featureLevel });
  const settled = await target.settleAndFinish(end, true);
  return { ...copiedTo(end), wasDone: false, resumed: false, sums, settled };
}

async function finish({ source, target }: CopyOptions, end: CopyEnd): Promise<Settled> {
  if (!source.exact && settles(target)) return target.settleAndFinish(end, false);
  await target.finish(end);
  return nothingSettled;
}

function endOf({ generation, epochLeap }: CopyOptions, from: TransferState): CopyEnd {
  return {
    generation: generation === "kept" ? from.generation : crypto.randomUUID(),
    epoch: from.epoch + epochLeap,
    featureLevel: from.featureLevel,
  };
}

function copiedTo({ generation, epoch }: CopyEnd): Pick<Copied, "generation" | "epoch"> {
  return { generation, epoch };
}

function settles(target: TransferTarget | SettlingTarget): target is SettlingTarget {
  return "settleAndFinish" in target;
}

async function expectUnused(source: TransferSource, from: TransferState): Promise<void> {
  const { generation, epoch } = await source.state();
  if (generation === from.generation && epoch === from.epoch) return;
  throw new CopyError(
    "differs",
    `a server was started on ${source.name} during the copy; stop it, remove the copy, and copy again`,
  );
}

/** The passes of one copy. */
class Run {
  readonly #options: CopyOptions;

  constructor(options: CopyOptions) {
    this.#options = options;
  }

  throwIfStopped(): void {
    if (this.#options.signal.aborted) throw new CopyError("stopped", "stopped before it was done");
  }

  async copyFrom({ kind: first, after }: CopyPosition): Promise<void> {
    for (const kind of transferKinds.slice(transferKinds.indexOf(first))) {
      await this.#copyKind(kind, kind === first ? after : null, () => {});
    }
  }

  /** Copies everything, and compares what was read with what then stands in the target. */
  async copyAll(): Promise<Copied["sums"]> {
    const { source, target } = this.#options;
    const sums: Partial<Record<TransferKind, KindSum>> = {};
    for (const kind of transferKinds) {
      const summing = new Summing(kind);
      await this.#copyKind(kind, null, (rows) => summing.add(rows));
      sums[kind] = summing.sum();
    }
    const written = await this.sumsOf(target);
    for (const kind of transferKinds) {
      if (sums[kind]?.digest === written[kind].digest) continue;
      throw new CopyError("differs", `${target.name} does not hold the ${kind} that were read from ${source.name}`);
    }
    return written;
  }

  /** Reads both sides again. Throws where they differ. */
  async compare(): Promise<Copied["sums"]> {
    const { source, target } = this.#options;
    const sums: Partial<Record<TransferKind, KindSum>> = {};
    for (const kind of transferKinds) {
      const onRows = await this.#progress("comparing", kind);
      const both = await Promise.all([sumKind(source, kind, onRows), sumKind(target, kind)]);
      if (both[0].digest !== both[1].digest) await throwDifference(source, target, kind, both);
      sums[kind] = both[0];
    }
    return sums as Copied["sums"];
  }

  /** What one side holds. */
  async sumsOf(side: Pick<TransferSource, "name" | "pages">): Promise<Copied["sums"]> {
    const sums: Partial<Record<TransferKind, KindSum>> = {};
    for (const kind of transferKinds) {
      sums[kind] = await sumKind(side, kind, await this.#progress("comparing", kind));
    }
    return sums as Copied["sums"];
  }

  async #copyKind(
    kind: TransferKind,
    after: CopyPosition["after"],
    each: (rows: Parameters<Summing["add"]>[0]) => void,
  ): Promise<void> {
    const { source, target } = this.#options;
    const onRows = await this.#progress("copying", kind);
    for await (const page of source.pages(kind, after)) {
      each(page.rows);
      await target.write(kind, page);
      onRows(page.rows.length);
    }
    failpoint("copy.kind");
    await target.finishKind(kind);
  }

  async #progress(phase: CopyProgress["phase"], kind: TransferKind): Promise<(count: number) => void> {
    const total = await this.#options.source.count(kind);
    let rows = 0;
    this.#options.onProgress({ phase, kind, rows, total });
    return (count) => {
      this.throwIfStopped();
      rows += count;
      this.#options.onProgress({ phase, kind, rows, total });
    };
  }
}
