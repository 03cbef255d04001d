// The port for moving whole data sets between stores: rows of seven kinds in one canonical order, page by page.
// `copy`, `backup` and `restore` speak it with either store; what is exact, and what a position means, is said here.

/** One column: integers are safe ones, flags are 0 and 1. */
export type Cell = string | number | null | Uint8Array;

/** A row as {@link transferColumns} lists it, key columns first. */
export type TransferRow = readonly Cell[];

/**
 * The kinds, in the order they are moved, and their columns. The order lets a source be read while a server runs on it: users
 * before what their feeds made of them, feeds before logs, people of a conversation before its head, the head before its log.
 * In `participants` the member's half (role to changedSeq) or the cursor's (seq to total) may be missing: all of it is null.
 */
export const transferColumns = {
  users: ["user", "userSeq", "createdAt", "tokensValidFrom", "deletedAt"],
  memberships: [
    ...["user", "conversation", "type", "peer", "seq", "role", "joinSeq", "joinOrdinal", "joinOwn", "floor"],
    ...["muted", "markedUnread"],
  ],
  devices: ["user", "device", "platform", "lastSignInAt", "signedOutAt"],
  feed: ["user", "userSeq", "kind", "subject", "data"],
  participants: [
    ...["conversation", "user", "role", "joinSeq", "joinOrdinal", "joinOwn", "floor", "changedSeq"],
    ...["seq", "ordinal", "own", "total"],
  ],
  heads: [
    ...["conversation", "type", "seq", "ordinal", "time", "name", "picture", "fields", "memberCount", "lastMessage"],
    ...["lastMessageSeq", "openEpoch", "fedThrough", "totalsThrough"],
  ],
  entries: ["conversation", "seq", "ordinal", "kind", "counts", "sender", "clientId", "bytes"],
} as const satisfies Record<string, readonly string[]>;

/** What is moved. */
export type TransferKind = keyof typeof transferColumns;
/** Every kind, in the order they are moved. */
export const transferKinds = Object.keys(transferColumns) as readonly TransferKind[];

/** How many columns are the key that a kind is ordered by, compared as bytes and as numbers. */
export const keyColumns: Readonly<Record<TransferKind, 1 | 2>> = {
  users: 1,
  memberships: 2,
  devices: 2,
  feed: 2,
  participants: 2,
  heads: 1,
  entries: 2,
};

/** Most rows of one page, and bytes past which it takes no further row. */
export const pageBounds = { rows: 1000, bytes: 1024 * 1024 } as const;

/** Rows that are to make up one page within {@link pageBounds}. */
export class PageInMaking {
  rows: TransferRow[] = [];
  #bytes = 0;

  /** Whether it should be taken now. */
  get isFull(): boolean {
    return this.rows.length >= pageBounds.rows || this.#bytes >= pageBounds.bytes;
  }

  add(row: TransferRow): void {
    this.rows.push(row);
    for (const cell of row) if (cell instanceof Uint8Array) this.#bytes += cell.length;
  }

  /** The rows so far; it begins anew. */
  take(): readonly TransferRow[] {
    const { rows } = this;
    this.rows = [];
    this.#bytes = 0;
    return rows;
  }
}

/**
 * Rows that a feed row's commit produces and that its store may not have written yet (MongoDB writes the feed first): what
 * {@link SettlingTarget.settleAndFinish} applies where the person's row is behind them.
 */
export interface CarriedRows {
  readonly user: TransferRow;
  readonly memberships: readonly TransferRow[];
  readonly devices: readonly TransferRow[];
  /** Ids of devices whose rows go. */
  readonly devicesDropped: readonly string[];
}

/** Rows of one kind, ascending by key. */
export interface TransferPage {
  readonly rows: readonly TransferRow[];
  /** Of `feed` alone, where its store carries them. */
  readonly carried?: readonly CarriedRows[];
}

/** Which data set it is, and how far it was used: two readings differ when a server was started on it in between. */
export interface TransferState {
  readonly store: "sqlite" | "mongodb";
  readonly generation: string;
  /** The epoch counter: it rises whenever a server starts or takes over. */
  readonly epoch: number;
  /** See `Store.featureLevel`: rows may be of a form that no older program reads. */
  readonly featureLevel: number;
}

/** A data set that is read. Its methods reject with a {@link CopyError} or the store's own error. */
export interface TransferSource {
  /** Its address, without secrets. */
  readonly name: string;
  /** Whether every row is exact in every commit. Else heads may lag behind their logs, and rows of people behind their feeds. */
  readonly exact: boolean;
  state(): Promise<TransferState>;
  /** Rows of a kind, for progress: an estimate will do. */
  count(kind: TransferKind): Promise<number>;
  /** All rows of a kind from beyond the key of `after`, in pages within {@link pageBounds}. */
  pages(kind: TransferKind, after: TransferRow | null): AsyncIterable<TransferPage>;
  close(): Promise<void>;
}

/** How far a copy has come: every row up to `after`, and all of the kinds before, are durable in the target. */
export interface CopyPosition {
  readonly kind: TransferKind;
  readonly after: TransferRow | null;
}

/** What a target held when a copy began: nothing, this copy as far as it came, or the same copy complete and unused since. */
export type Begun =
  | { readonly state: "empty" }
  | { readonly state: "resumed"; readonly position: CopyPosition }
  | { readonly state: "done" };

/** What a target is given when all is there. */
export interface CopyEnd {
  readonly generation: string;
  /** The counter goes on from here, or from the target's own where that is higher. */
  readonly epoch: number;
  readonly featureLevel: number;
}

/**
 * A data set that is written: empty, or the unfinished copy of the same source. Until {@link TransferTarget.finish} no server
 * starts on it. Every method may be repeated after a crash.
 */
export interface TransferTarget extends Omit<TransferSource, "state" | "exact"> {
  /** Rejects with a {@link CopyError} where it holds anything else. */
  begin(from: TransferState): Promise<Begun>;
  /** Makes a page, and then the position behind it, durable. */
  write(kind: TransferKind, page: TransferPage): Promise<void>;
  /** All rows of `kind` are there; the next one is begun. */
  finishKind(kind: TransferKind): Promise<void>;
  /** Opens it to servers. Nothing may be written afterwards. */
  finish(end: CopyEnd): Promise<void>;
}

/** What settling changed. */
export interface Settled {
  /** Conversations whose rows were computed from their logs, and that are open in the copy. */
  readonly reopened: number;
  /** People whose memberships and devices were completed from their feeds. */
  readonly people: number;
}

/** A target that can make rows exact that were read while they lagged, or while a server went on writing. */
export interface SettlingTarget extends TransferTarget {
  /** Heads as they were before anything else was read: `fedThrough` of a copy is never above these. */
  noteHeads(rows: readonly TransferRow[]): void;
  /**
   * {@link TransferTarget.finish}, and in the same transaction computes from logs and feeds what may lag.
   * @param online whether the source was written meanwhile; {@link noteHeads} was given all its heads then
   */
  settleAndFinish(end: CopyEnd, online: boolean): Promise<Settled>;
}

/**
 * Why a copy ended, for the operator. `refused`: nothing was begun; `differs`: source and target do not hold the same;
 * `failed`: it cannot go on; `stopped`: asked to stop, the same command goes on where it was.
 */
export class CopyError extends Error {
  override readonly name = "CopyError";
  readonly why: "refused" | "differs" | "failed" | "stopped";

  constructor(why: CopyError["why"], message: string, cause?: unknown) {
    super(message, { cause });
    this.why = why;
  }
}

const singular: Readonly<Record<TransferKind, string>> = {
  users: "user",
  memberships: "membership",
  devices: "device",
  feed: "feed",
  participants: "participant",
  heads: "head",
  entries: "entry",
};

/** A row as its line of an export: a JSON array, the kind first, bytes as Base64. Digests are taken over these lines. */
export function lineOf(kind: TransferKind, row: TransferRow): string {
  return JSON.stringify([singular[kind], ...row.map((cell) => (cell instanceof Uint8Array ? base64(cell) : cell))]);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/** The key of a row, for messages and positions. */
export function keyOf(kind: TransferKind, row: TransferRow): TransferRow {
  return row.slice(0, keyColumns[kind]);
}

/** Order of two rows by their keys: below, at or above 0; texts compare as bytes of UTF-8. */
export function compareKeys(kind: TransferKind, a: TransferRow, b: TransferRow): number {
  for (let at = 0; at < keyColumns[kind]; at++) {
    const [left, right] = [a[at], b[at]];
    if (left === right) continue;
    if (typeof left === "number" && typeof right === "number") return left - right;
    return Buffer.compare(Buffer.from(String(left)), Buffer.from(String(right)));
  }
  return 0;
}
