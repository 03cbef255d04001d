// A folder with a filled file in it, ways to copy from and to it, and the canonical lines of any data set. For tests of copying.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lineOf, transferKinds } from "../../src/storage/copy";
import type { SettlingTarget, TransferKind, TransferSource, TransferTarget } from "../../src/storage/copy";
import { copyStopped } from "../../src/storage/copy-run";
import type { Copied, CopyOptions } from "../../src/storage/copy-run";
import { openSqliteSource } from "../../src/storage/copy-sqlite-source";
import { createSqliteTarget } from "../../src/storage/copy-sqlite-target";
import { openSqliteStore } from "../../src/storage/sqlite-store";
import { fillStore } from "./sample-data";
import type { SampleSize } from "./sample-data";

/** Several pages of entries, more than one of everything else. */
export const smallSize: SampleSize = { people: 30, conversations: 12, messages: 2500 };

/** Files that go with the test. */
export class CopyWorld implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async open(): Promise<CopyWorld> {
    return new CopyWorld(await mkdtemp(join(tmpdir(), "parley-copy-")));
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** A closed file with a data set in it. */
  async filled(name = "from.sqlite", size: SampleSize = smallSize): Promise<string> {
    const file = this.path(name);
    const store = await openSqliteStore({ file });
    try {
      await fillStore(store, size);
      return file;
    } finally {
      await store.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Copies, and closes both sides. */
export async function moved(
  source: TransferSource,
  target: TransferTarget | SettlingTarget,
  options: Partial<CopyOptions> = {},
): Promise<Copied> {
  const { signal } = new AbortController();
  try {
    return await copyStopped({
      ...{ source, target, generation: "kept", epochLeap: 0, onProgress: () => {}, signal },
      ...options,
    });
  } finally {
    await source.close();
    await target.close();
  }
}

/** Copies one file to another. */
export function movedFile(from: string, to: string, options: Partial<CopyOptions> = {}): Promise<Copied> {
  return moved(openSqliteSource(from, "alone"), createSqliteTarget({ file: to, resumable: true }), options);
}

/** Every canonical line, or those of some kinds. Closes the source. */
export async function linesOf(
  source: TransferSource,
  kinds: readonly TransferKind[] = transferKinds,
): Promise<readonly string[]> {
  const lines: string[] = [];
  try {
    for (const kind of kinds) {
      for await (const { rows } of source.pages(kind, null)) lines.push(...rows.map((row) => lineOf(kind, row)));
    }
    return lines;
  } finally {
    await source.close();
  }
}

/** The canonical lines of a file. */
export function linesOfFile(file: string): Promise<readonly string[]> {
  return linesOf(openSqliteSource(file, "snapshot"));
}
