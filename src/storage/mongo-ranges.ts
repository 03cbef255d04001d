// Ranges of logs from MongoDB: few commands, and little fetched that a bound in bytes then leaves out (G3, G11).
// Seqs are gapless and entries never change, so what one command did not bring, the next one may.
import { AppError } from "../lib/errors";
import type { Seq } from "../protocol/ids";
import type { EntryRow, Range, RangeRequest } from "./store";

/** Rows that the first command of a call asks for, at most: what lies past a bound in bytes is fetched for nothing. */
const firstRows = 64;
/** Rows that a later command asks for, at most: as many as the mean size seen so far lets expect. */
const laterRows = 256;

/** What a range needs of `entries`; each call is one command. */
export interface EntrySource {
  /** Entries of these gapless pieces of logs, in any order; pieces may overlap. */
  pieces(pieces: readonly Piece[]): Promise<readonly (readonly [conversation: string, row: EntryRow])[]>;
  /** At most `limit` entries at or below `from`, downward. */
  down(conversation: string, from: Seq, limit: number): Promise<readonly EntryRow[]>;
  /** At most `limit` entries of one kind, or that stand at `edge`, from `first` toward `last`. */
  ofKind(span: KindSpan, limit: number): Promise<readonly EntryRow[]>;
  /** The highest seq at or below `through`; 0 where there is none. */
  highest(conversation: string, through: Seq): Promise<Seq>;
}

/** A piece of one log, both ends included. */
export interface Piece {
  readonly conversation: string;
  readonly first: Seq;
  readonly last: Seq;
}

/** A piece of one log in the order from `first` to `last`, of which one kind is wanted, and the entry at `edge` whatever its kind. */
export interface KindSpan extends Piece {
  readonly kind: number;
  readonly edge: Seq;
}

/**
 * `readRanges` of the port. Upward ranges without a kind that follow each other share their commands: one for the first 64
 * rows, then one for 256 rows at most; any other range is read alone, one after the other, mostly by one command each.
 */
export async function readRangesFrom(
  source: EntrySource,
  requests: readonly RangeRequest[],
  bytesTotal: number,
): Promise<readonly Range[]> {
  const budget = new Budget(bytesTotal);
  const answers: Range[] = [];
  while (answers.length < requests.length) {
    const run = runFrom(requests, answers.length);
    if (run.length > 0) {
      answers.push(...(await readRun(source, run, budget)));
      continue;
    }
    const request = requests[answers.length] as RangeRequest;
    answers.push(await (request.kind === undefined ? readDown : readKind)(source, request, budget));
  }
  return answers;
}

/** Bytes that a whole call may still answer, and how large entries have been. */
class Budget {
  #left: number;
  #answered = false;
  #rows = 0;
  #bytes = 0;

  constructor(left: number) {
    this.#left = left;
  }

  get left(): number {
    return this.#left;
  }

  get isSpent(): boolean {
    return this.#answered && this.#left <= 0;
  }

  /** Whether an entry may be answered whatever its size: none was yet. */
  get isFresh(): boolean {
    return !this.#answered;
  }

  /** How many rows to fetch for the bytes that are left. */
  rowsFor(bytes: number): number {
    if (this.#rows === 0) return firstRows;
    const mean = Math.max(1, this.#bytes / this.#rows);
    return Math.min(laterRows, Math.max(1, Math.ceil(bytes / mean)));
  }

  seen(bytes: number): void {
    this.#rows++;
    this.#bytes += bytes;
  }

  spend({ entries, bytes }: Filling): void {
    this.#left -= bytes;
    this.#answered ||= entries.length > 0;
  }
}

/** One answer as it fills. */
class Filling {
  readonly entries: EntryRow[] = [];
  readonly #request: RangeRequest;
  readonly #bytesMax: number;
  readonly #oneAnyway: boolean;
  bytes = 0;

  constructor(request: RangeRequest, budget: Budget) {
    this.#request = request;
    this.#bytesMax = Math.min(request.bytesMax, budget.left);
    this.#oneAnyway = budget.isFresh;
  }

  get bytesLeft(): number {
    return this.#bytesMax - this.bytes;
  }

  get rowsLeft(): number {
    return this.#request.limit - this.entries.length;
  }

  /** False where it does not fit any more. */
  take(row: EntryRow): boolean {
    const fits = row.bytes.length <= this.bytesLeft || (this.#oneAnyway && this.entries.length === 0);
    if (!fits) return false;
    this.entries.push(row);
    this.bytes += row.bytes.length;
    return true;
  }

  /** Its answer; without `scannedTo`, it looked as far as its last entry. */
  range(scannedTo: Seq = this.entries.at(-1)?.seq ?? 0): Range {
    return { entries: this.entries, scannedTo };
  }
}

function runFrom(requests: readonly RangeRequest[], from: number): readonly RangeRequest[] {
  const plain = ({ direction, kind }: RangeRequest) => direction === "up" && kind === undefined;
  const end = requests.findIndex((request, at) => at >= from && !plain(request));
  return requests.slice(from, end === -1 ? undefined : end);
}

/** Plain upward requests, in order; rows of those that follow come with the commands of those before. */
async function readRun(source: EntrySource, run: readonly RangeRequest[], budget: Budget): Promise<readonly Range[]> {
  const ahead = new ReadAhead(source, run, budget);
  const answers: Range[] = [];
  for (const [at, request] of run.entries()) {
    const filling = new Filling(request, budget);
    const { first, last } = plainPiece(request);
    for (let seq = first; seq <= last && !budget.isSpent; seq++) {
      const row = await ahead.row(at, seq, filling.bytesLeft);
      if (row === null || !filling.take(row)) break;
    }
    budget.spend(filling);
    answers.push(filling.range());
  }
  return answers;
}

function plainPiece({ conversation, from, limit, scanMax }: RangeRequest): Piece {
  const first = Math.max(from, 1);
  return { conversation, first, last: first + Math.min(limit, scanMax) - 1 };
}

/** Rows of a run, fetched together: what the command that misses a row has room for beside it. */
class ReadAhead {
  readonly #source: EntrySource;
  readonly #run: readonly RangeRequest[];
  readonly #budget: Budget;
  /** Null: looked for, and beyond the end of its log. */
  readonly #rows = new Map<string, EntryRow | null>();

  constructor(source: EntrySource, run: readonly RangeRequest[], budget: Budget) {
    this.#source = source;
    this.#run = run;
    this.#budget = budget;
  }

  /** The row at `seq` of the request `at`, or null past the end of its log. */
  async row(at: number, seq: Seq, bytesLeft: number): Promise<EntryRow | null> {
    const { conversation } = this.#run[at] as RangeRequest;
    const key = keyOf(conversation, seq);
    if (!this.#rows.has(key)) await this.#fetch(this.#pieces(at, seq, bytesLeft));
    return this.#rows.get(key) ?? null;
  }

  async #fetch(pieces: readonly Piece[]): Promise<void> {
    for (const { conversation, first, last } of pieces)
      for (let seq = first; seq <= last; seq++) this.#rows.set(keyOf(conversation, seq), null);
    for (const [conversation, row] of await this.#source.pieces(pieces)) {
      this.#rows.set(keyOf(conversation, row.seq), row);
      this.#budget.seen(row.bytes.length);
    }
  }

  /** The rest of the request `at`, and the beginnings of those behind it that were not fetched yet. */
  #pieces(at: number, seq: Seq, bytesLeft: number): readonly Piece[] {
    const { conversation, last } = plainPiece(this.#run[at] as RangeRequest);
    let rows = this.#budget.rowsFor(this.#budget.left);
    const own = Math.min(rows, last - seq + 1, this.#budget.rowsFor(bytesLeft));
    const pieces = [{ conversation, first: seq, last: seq + own - 1 }];
    rows -= own;
    for (const request of this.#run.slice(at + 1)) {
      if (rows <= 0) break;
      const piece = plainPiece(request);
      const count = Math.min(rows, piece.last - piece.first + 1, this.#budget.rowsFor(request.bytesMax));
      if (count < 1 || this.#rows.has(keyOf(piece.conversation, piece.first))) continue;
      pieces.push({ ...piece, last: piece.first + count - 1 });
      rows -= count;
    }
    return pieces;
  }
}

function keyOf(conversation: string, seq: Seq): string {
  return `${conversation} ${seq}`;
}

/** Downward without a kind: from `from`, or from the head where that is lower. */
async function readDown(source: EntrySource, request: RangeRequest, budget: Budget): Promise<Range> {
  const filling = new Filling(request, budget);
  const most = Math.min(request.limit, request.scanMax);
  for (let next = request.from; next >= 1 && filling.entries.length < most && !budget.isSpent; ) {
    const asked = Math.min(most - filling.entries.length, budget.rowsFor(filling.bytesLeft));
    const rows = await source.down(request.conversation, next, asked);
    for (const { bytes } of rows) budget.seen(bytes.length);
    if (!rows.every((row) => filling.take(row)) || rows.length < asked) break;
    next = (rows.at(-1)?.seq ?? 1) - 1;
  }
  budget.spend(filling);
  return filling.range();
}

/**
 * One kind out of a span. How far it looked must be known, and the log may end within the span: the entry at the span's edge
 * toward the head comes along whatever its kind, and only where it does not exist the end of the log is asked for.
 */
async function readKind(source: EntrySource, request: RangeRequest, budget: Budget): Promise<Range> {
  const { conversation, direction, scanMax, limit } = request;
  const up = direction === "up";
  const empty = limit < 1 || scanMax < 1 || (!up && request.from < 1);
  if (empty || budget.isSpent) return { entries: [], scannedTo: 0 };
  const from = Math.max(1, request.from);
  const spanTo = (end: Seq) =>
    up ? { first: from, last: end, edge: end } : { first: end, last: Math.max(1, end - scanMax + 1), edge: end };
  let end = up ? from + scanMax - 1 : from;
  for (let attempt = 0; attempt < 2; attempt++) {
    const filling = new Filling(request, budget);
    const scannedTo = await fillKind(source, request, spanTo(end), filling, budget);
    if (scannedTo !== null) {
      budget.spend(filling);
      return filling.range(scannedTo);
    }
    end = await source.highest(conversation, end);
    if (end < (up ? from : 1)) return { entries: [], scannedTo: 0 };
  }
  throw new AppError("store_unavailable", "the end of a log moved back while it was read");
}

/** How far it looked; null where the entry at the edge does not exist. */
async function fillKind(
  source: EntrySource,
  { conversation, kind = 0 }: RangeRequest,
  { first, last, edge }: Pick<KindSpan, "first" | "last" | "edge">,
  filling: Filling,
  budget: Budget,
): Promise<Seq | null> {
  const step = last >= first ? 1 : -1;
  let edgeSeen = false;
  for (let next = first; (last - next) * step >= 0; ) {
    const asked = Math.min(filling.rowsLeft, budget.rowsFor(filling.bytesLeft)) + 1;
    const rows = await source.ofKind({ conversation, kind, first: next, last, edge }, asked);
    for (const row of rows) {
      budget.seen(row.bytes.length);
      edgeSeen ||= row.seq === edge;
      if (!edgeSeen && edge === first) return null;
      if (row.kind !== kind) continue;
      if (!filling.take(row)) return row.seq === first ? 0 : row.seq - step;
      if (filling.rowsLeft < 1) return row.seq;
    }
    if (rows.length < asked) break;
    next = (rows.at(-1)?.seq ?? last) + step;
  }
  return edgeSeen ? last : null;
}
