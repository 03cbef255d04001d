// Applies one conversation's write inside the writer's transaction: all of it, or nothing with a reason (G2, G3, G5).
import type { Database, SQLQueryBindings, Statement } from "bun:sqlite";
import { isControlOn } from "../lib/failpoints";
import { partitionOf } from "../lib/hash";
import type { ClientId, UserId } from "../protocol/ids";
import { entryColumns, equalBytes } from "./sqlite-packing";
import type { FlatEntries, FlatHead, PackedConversation, PackedOutcome } from "./sqlite-packing";
import { upsertOf } from "./sqlite-schema";
import type { CursorRow, FoundEntry } from "./store";

interface StoredHead {
  readonly cid: number;
  readonly seq: number;
  readonly open_epoch: number;
}

const headColumns = `type = ?, seq = ?, ordinal = ?, time = ?, name = ?, picture = ?, fields = ?, member_count = ?,
  last_message = ?, last_message_seq = ?, fed_through = ?, totals_through = ?`;

const memberColumns = ["role", "join_seq", "join_ordinal", "join_own", "floor", "changed_seq"];

/** Not thread-safe: one connection's. Every method runs inside that connection's transaction. */
export class ConversationWriter {
  readonly #findHead: Statement;
  readonly #addHead: Statement;
  readonly #setHead: Statement;
  readonly #setHeadAndOpen: Statement;
  readonly #dropHead: Statement;
  readonly #addEntry: Statement;
  readonly #dropEntries: Statement;
  readonly #findClientId: Statement;
  readonly #entryBytes: Statement;
  readonly #setMember: Statement;
  readonly #moveCursor: Statement;
  readonly #setTotal: Statement;
  readonly #readCursor: Statement;

  constructor(db: Database) {
    if (isControlOn("negative.noUniqueIndex")) db.run("DROP INDEX IF EXISTS entries_client_id");
    this.#findHead = db.prepare("SELECT cid, seq, open_epoch FROM heads WHERE conversation = ?");
    this.#addHead = db.prepare(
      `INSERT INTO heads(conversation, partition, type, seq, ordinal, time, member_count, last_message_seq, open_epoch,
        fed_through, totals_through) VALUES(?, ?, '', 0, 0, 0, 0, 0, 0, 0, 0)`,
    );
    // open_epoch apart: naming it would rewrite the index of open conversations at every append.
    this.#setHead = db.prepare(`UPDATE heads SET ${headColumns} WHERE cid = ?`);
    this.#setHeadAndOpen = db.prepare(`UPDATE heads SET ${headColumns}, open_epoch = ? WHERE cid = ?`);
    this.#dropHead = db.prepare("DELETE FROM heads WHERE cid = ?");
    this.#addEntry = db.prepare(
      `INSERT INTO entries(cid, seq, ordinal, kind, counts, sender, client_id, bytes) VALUES(?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT DO NOTHING`,
    );
    this.#dropEntries = db.prepare("DELETE FROM entries WHERE cid = ? AND seq > ?");
    this.#findClientId = db.prepare(
      "SELECT seq, kind, bytes FROM entries WHERE cid = ? AND client_id = ? AND sender = ? AND seq <= ?",
    );
    this.#entryBytes = db.prepare("SELECT bytes FROM entries WHERE cid = ? AND seq = ?");
    this.#setMember = db.prepare(upsertOf("members", ["cid", "user"], memberColumns));
    const monotone = isControlOn("negative.cursorWithoutMax") ? "" : "WHERE excluded.seq > cursors.seq";
    this.#moveCursor = db.prepare(
      `INSERT INTO cursors(cid, user, seq, ordinal, own, total) VALUES(?, ?, ?, ?, ?, 0) ON CONFLICT(cid, user)
        DO UPDATE SET seq = excluded.seq, ordinal = excluded.ordinal, own = excluded.own ${monotone}`,
    );
    this.#setTotal = db.prepare(
      `INSERT INTO cursors(cid, user, seq, ordinal, own, total) VALUES(?, ?, 0, 0, 0, ?)
        ON CONFLICT(cid, user) DO UPDATE SET total = excluded.total`,
    );
    this.#readCursor = db.prepare("SELECT user, seq, ordinal, own, total FROM cursors WHERE cid = ? AND user = ?");
  }

  apply([, conversation, , entries, head, members, cursors, totals]: PackedConversation): PackedOutcome {
    const stored = this.#findHead.get(conversation) as StoredHead | null;
    const storedSeq = stored?.seq ?? 0;
    const moved = head !== null && head[1] - entries.length / entryColumns !== storedSeq;
    if (moved || (head === null && !stored)) {
      return { outcome: "conflict", duplicates: stored ? this.#duplicates(stored, entries) : [] };
    }
    const cid = stored?.cid ?? this.#newHead(conversation);
    if (!this.#append(cid, entries)) {
      this.#dropEntries.run(cid, storedSeq);
      if (!stored) this.#dropHead.run(cid);
      return { outcome: "conflict", duplicates: stored ? this.#duplicates(stored, entries) : [] };
    }
    if (head) this.#putHead(cid, stored, head);
    for (const row of members) this.#setMember.run(cid, ...(row as string[]));
    for (const [user, seq, ordinal, own] of cursors) this.#moveCursor.run(cid, user, seq, ordinal, own);
    for (const [user, total] of totals) this.#setTotal.run(cid, user, total);
    if (cursors.length === 0) return 0;
    const rows = cursors.map(([user]) => this.#readCursor.get(cid, user) as CursorRow);
    return { outcome: "stored", cursors: rows };
  }

  #newHead(conversation: string): number {
    return Number(this.#addHead.run(conversation, partitionOf("conversation", conversation)).lastInsertRowid);
  }

  /** False where one of the entries' seqs or client ids is taken; those before it are in by then. */
  #append(cid: number, flat: FlatEntries): boolean {
    const row = flat as SQLQueryBindings[];
    for (let at = 0; at < flat.length; at += entryColumns) {
      const { changes } = this.#addEntry.run(cid, ...row.slice(at, at + entryColumns));
      if (changes === 0) return false;
    }
    return true;
  }

  #putHead(cid: number, stored: StoredHead | null, head: FlatHead): void {
    const [type, seq, ordinal, time, name, picture, fields, members, last, lastSeq, open, fed, totals] = head;
    const lastMessage = this.#storedMessage(cid, last, lastSeq);
    if (stored?.open_epoch === open) {
      this.#setHead.run(
        type,
        seq,
        ordinal,
        time,
        name,
        picture,
        fields,
        members,
        lastMessage,
        lastSeq,
        fed,
        totals,
        cid,
      );
    } else {
      this.#setHeadAndOpen.run(
        type,
        seq,
        ordinal,
        time,
        name,
        picture,
        fields,
        members,
        lastMessage,
        lastSeq,
        fed,
        totals,
        open,
        cid,
      );
    }
  }

  /** NULL stands for the bytes of the entry itself, so that no message is stored twice; no bytes for no message. */
  #storedMessage(cid: number, last: FlatHead[8], lastSeq: number): Uint8Array | null {
    if (last === true) return null;
    if (last === null) return new Uint8Array(0);
    const own = this.#entryBytes.get(cid, lastSeq) as { bytes: Uint8Array } | null;
    return own && equalBytes(own.bytes, last) ? null : last;
  }

  #duplicates({ cid, seq }: StoredHead, flat: FlatEntries): readonly FoundEntry[] {
    const found: FoundEntry[] = [];
    for (let at = 0; at < flat.length; at += entryColumns) {
      const sender = flat[at + 4] as UserId;
      const clientId = flat[at + 5] as ClientId | null;
      if (clientId === null) continue;
      const row = this.#findClientId.get(cid, clientId, sender, seq) as Omit<FoundEntry, "sender" | "clientId"> | null;
      if (row) found.push({ sender, clientId, ...row });
    }
    return found;
  }
}
