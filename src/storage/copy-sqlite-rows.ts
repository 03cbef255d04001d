// The rows of a database file in canonical order, page by page: what both a source and the reading back of a target stand on.
// Owned by copy-sqlite-source.ts and copy-sqlite-target.ts; every page is found by an index, none is sorted.
import type { Database, Statement } from "bun:sqlite";
import { keyColumns, pageBounds, PageInMaking, transferColumns } from "./copy";
import type { Cell, TransferKind, TransferPage, TransferRow, TransferState } from "./copy";
import { headSelect } from "./sqlite-rows";

/** Stands as the partition of a conversation whose people or log were copied while its head was not, or not yet: it is no row. */
export const noHeadYet = -1;

/** A kind's columns as the tables name them. */
export function sqlColumns(kind: TransferKind): readonly string[] {
  return transferColumns[kind].map((name) => name.replace(/[A-Z]/g, "_$&").toLowerCase());
}

const participantSelect = `
  SELECT m.user, m.role, m.join_seq, m.join_ordinal, m.join_own, m.floor, m.changed_seq, c.seq, c.ordinal, c.own, c.total
  FROM members m LEFT JOIN cursors c ON c.cid = m.cid AND c.user = m.user WHERE m.cid = ?1 AND m.user > ?2
  UNION ALL
  SELECT c.user, NULL, NULL, NULL, NULL, NULL, NULL, c.seq, c.ordinal, c.own, c.total
  FROM cursors c WHERE c.cid = ?1 AND c.user > ?2
    AND NOT EXISTS (SELECT 1 FROM members m WHERE m.cid = c.cid AND m.user = c.user)
  ORDER BY 1 LIMIT ?3`;
const entrySelect = `
  SELECT seq, ordinal, kind, counts, sender, client_id, bytes FROM entries WHERE cid = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3`;

/** Most entries fetched at once: with their bodies at the limit they are some 16 MiB. */
const entriesAtOnce = 256;
/** Conversations listed at once. */
const conversationsAtOnce = 1000;

type Conversation = readonly [cid: number, conversation: string];

/** Not thread-safe: one connection's. Reads what the connection sees at the time; a snapshot is the caller's to hold. */
export class SqliteRows {
  readonly #db: Database;
  readonly #conversations: Statement;
  readonly #participants: Statement;
  readonly #entries: Statement;

  constructor(db: Database) {
    this.#db = db;
    this.#conversations = db.prepare(
      `SELECT cid, conversation FROM heads WHERE conversation >= ? ORDER BY conversation LIMIT ${conversationsAtOnce}`,
    );
    this.#participants = db.prepare(participantSelect);
    this.#entries = db.prepare(entrySelect);
  }

  count(kind: TransferKind): number {
    const one = (sql: string): number => (this.#db.query(sql).values()[0]?.[0] ?? 0) as number;
    if (kind !== "participants") return one(`SELECT count(*) FROM ${kind}`);
    return one(
      `SELECT (SELECT count(*) FROM members) + (SELECT count(*) FROM cursors c
        WHERE NOT EXISTS (SELECT 1 FROM members m WHERE m.cid = c.cid AND m.user = c.user))`,
    );
  }

  /** Lets go of the statements: a connection that has one left keeps its locks after it was closed. */
  close(): void {
    for (const statement of [this.#conversations, this.#participants, this.#entries]) statement.finalize();
  }

  state(): TransferState {
    const number = (key: string): number => Number(this.meta(key) ?? 0);
    const [epoch, featureLevel] = [number("epochCounter"), number("featureLevel")];
    return { store: "sqlite", generation: String(this.meta("generation")), epoch, featureLevel };
  }

  /** A value of the table `meta`, or null. */
  meta(key: string): Cell {
    const row = this.#db.query("SELECT value FROM meta WHERE key = ?").get(key) as { value: Cell } | null;
    return row?.value ?? null;
  }

  async *pages(kind: TransferKind, after: TransferRow | null): AsyncGenerator<TransferPage, void> {
    for (const rows of this.#pages(kind, after)) {
      // A turn of the event loop for each page: signals come in, whoever shares the process goes on.
      await new Promise<void>((resolve) => setImmediate(resolve));
      yield { rows };
    }
  }

  #pages(kind: TransferKind, after: TransferRow | null): Iterable<readonly TransferRow[]> {
    switch (kind) {
      case "heads":
        return this.#headPages(after);
      case "participants":
        return this.#byConversation(after, this.#participants, "");
      case "entries":
        return this.#byConversation(after, this.#entries, 0);
      default:
        return this.#flatPages(kind, after);
    }
  }

  /** Kinds that are one table with its key in front. */
  *#flatPages(kind: TransferKind, after: TransferRow | null): Generator<readonly TransferRow[], void> {
    const columns = sqlColumns(kind);
    const keys = columns.slice(0, keyColumns[kind]);
    const beyond = keys.length === 1 ? `${keys[0]} > ?` : `(${keys.join(", ")}) > (?, ?)`;
    using statement = this.#db.prepare(
      `SELECT ${columns.join(", ")} FROM ${kind} WHERE ${beyond} ORDER BY ${keys.join(", ")} LIMIT ${pageBounds.rows}`,
    );
    for (let from = after?.slice(0, keys.length) ?? keys.map(() => ""); ; ) {
      const rows = statement.values(...from) as TransferRow[];
      if (rows.length > 0) yield rows;
      if (rows.length < pageBounds.rows) return;
      from = rows.at(-1)?.slice(0, keys.length) ?? from;
    }
  }

  *#headPages(after: TransferRow | null): Generator<readonly TransferRow[], void> {
    // Fewer: names, pictures and last messages make them larger than others.
    const limit = pageBounds.rows / 4;
    using statement = this.#db.prepare(
      `SELECT ${headSelect} FROM heads h WHERE h.conversation > ? AND h.partition <> ${noHeadYet}
        ORDER BY h.conversation LIMIT ${limit}`,
    );
    for (let from = (after?.[0] ?? "") as string; ; ) {
      const rows = statement.values(from) as Cell[][];
      if (rows.length > 0) yield rows.map(withoutEmptyMessage);
      if (rows.length < limit) return;
      from = rows.at(-1)?.[0] as string;
    }
  }

  /** Rows that lie by `cid`, in the order of the conversations' names. */
  *#byConversation(
    after: TransferRow | null,
    statement: Statement,
    first: string | number,
  ): Generator<readonly TransferRow[], void> {
    const page = new PageInMaking();
    for (const [cid, conversation] of this.#listConversations((after?.[0] ?? "") as string)) {
      for (let from = conversation === after?.[0] ? after[1] : first; ; ) {
        const limit = Math.min(entriesAtOnce, pageBounds.rows - page.rows.length);
        const found = statement.values(cid, from as string | number, limit) as Cell[][];
        for (const row of found) page.add([conversation, ...row]);
        if (page.isFull) yield page.take();
        if (found.length < limit) break;
        from = found.at(-1)?.[0] as string | number;
      }
    }
    if (page.rows.length > 0) yield page.take();
  }

  *#listConversations(from: string): Generator<Conversation, void> {
    let first = from;
    let skip = 0;
    for (;;) {
      const found = this.#conversations.values(first) as unknown as Conversation[];
      yield* found.slice(skip);
      if (found.length < conversationsAtOnce) return;
      first = found.at(-1)?.[1] ?? first;
      skip = 1;
    }
  }
}

/** No bytes stand for no message in the file; see ConversationWriter. */
function withoutEmptyMessage(row: readonly Cell[]): TransferRow {
  const last = row[lastMessageColumn];
  if (!(last instanceof Uint8Array) || last.length > 0) return row;
  return row.map((cell, at) => (at === lastMessageColumn ? null : cell));
}

const lastMessageColumn = 9;
