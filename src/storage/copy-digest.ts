// Counts and digests of what a store holds, by reading it back: how a copy proves that both sides hold the same.
// Streams: one page at a time is in memory, however large the data.
import { createHash } from "node:crypto";
import { CopyError, compareKeys, keyOf, lineOf } from "./copy";
import type { TransferKind, TransferPage, TransferRow, TransferSource } from "./copy";

/** What all rows of one kind come to. */
export interface KindSum {
  readonly rows: number;
  /** SHA-256, hexadecimal, over the lines of an export of this kind, each with its line feed. */
  readonly digest: string;
}

/** Adds up pages. */
export class Summing {
  readonly #kind: TransferKind;
  readonly #hash = createHash("sha256");
  #rows = 0;

  constructor(kind: TransferKind) {
    this.#kind = kind;
  }

  add(rows: readonly TransferRow[]): void {
    for (const row of rows) this.#hash.update(`${lineOf(this.#kind, row)}\n`);
    this.#rows += rows.length;
  }

  /** May be asked once. */
  sum(): KindSum {
    return { rows: this.#rows, digest: this.#hash.digest("hex") };
  }
}

type Readable = Pick<TransferSource, "name" | "pages">;

/** Reads all rows of a kind. @param onRows is told how many more were read; may throw to end it */
export async function sumKind(
  store: Readable,
  kind: TransferKind,
  onRows: (count: number) => void = () => {},
): Promise<KindSum> {
  const summing = new Summing(kind);
  for await (const { rows } of store.pages(kind, null)) {
    summing.add(rows);
    onRows(rows.length);
  }
  return summing.sum();
}

/** Throws a {@link CopyError} that names the first row in which two stores differ. */
export async function throwDifference(
  source: Readable,
  target: Readable,
  kind: TransferKind,
  sums: readonly [KindSum, KindSum],
): Promise<never> {
  const [left, right] = sums;
  const where = await firstDifference(source, target, kind);
  throw new CopyError(
    "differs",
    `${source.name} and ${target.name} do not hold the same: ${kind} ${left.rows} and ${right.rows} rows, ` +
      `digests ${left.digest.slice(0, 12)}… and ${right.digest.slice(0, 12)}…; ${where}. ` +
      "Was a server running on either of them? Stop it, remove the copy, and copy again",
  );
}

async function firstDifference(source: Readable, target: Readable, kind: TransferKind): Promise<string> {
  const right = rowsOf(target.pages(kind, null));
  for await (const row of rowsOf(source.pages(kind, null))) {
    const other = await right.next();
    if (other.done) return `${named(kind, row)} is missing in the copy`;
    const order = compareKeys(kind, row, other.value);
    if (order < 0) return `${named(kind, row)} is missing in the copy`;
    if (order > 0) return `${named(kind, other.value)} is only in the copy`;
    if (lineOf(kind, row) !== lineOf(kind, other.value)) return `${named(kind, row)} differs`;
  }
  const rest = await right.next();
  return rest.done
    ? "read again, they are the same: one of them was written meanwhile"
    : `${named(kind, rest.value)} is only in the copy`;
}

async function* rowsOf(pages: AsyncIterable<TransferPage>): AsyncGenerator<TransferRow, void> {
  for await (const { rows } of pages) yield* rows;
}

function named(kind: TransferKind, row: TransferRow): string {
  return `${kind} ${JSON.stringify(keyOf(kind, row))}`;
}
