// The tables of the SQLite store, as migrations. A migration that was released is never edited; the next one mends it.
// Texts compare as bytes. Conversations have a local integer `cid`, so that the large tables do not repeat their names.
import type { Migration } from "./migrations";

/**
 * Entries lie in the order they were committed, so that a commit of many conversations fills few pages; two slim indexes
 * find them by position and by client id (G2, G3). Measured against one table clustered by (cid, seq): 1.5 times the rows
 * per second where a thousand conversations write, and as fast where one does.
 */
const first = `
CREATE TABLE heads(
  cid INTEGER PRIMARY KEY, conversation TEXT NOT NULL UNIQUE, partition INTEGER NOT NULL, type TEXT NOT NULL,
  seq INTEGER NOT NULL, ordinal INTEGER NOT NULL, time INTEGER NOT NULL, name TEXT, picture TEXT, fields BLOB,
  member_count INTEGER NOT NULL, last_message BLOB, last_message_seq INTEGER NOT NULL, open_epoch INTEGER NOT NULL,
  fed_through INTEGER NOT NULL, totals_through INTEGER NOT NULL);
CREATE INDEX heads_open ON heads(conversation, partition) WHERE open_epoch <> 0;
CREATE TABLE entries(
  cid INTEGER NOT NULL, seq INTEGER NOT NULL, ordinal INTEGER NOT NULL, kind INTEGER NOT NULL, counts INTEGER NOT NULL,
  sender TEXT NOT NULL, client_id TEXT, bytes BLOB NOT NULL);
CREATE UNIQUE INDEX entries_seq ON entries(cid, seq);
CREATE UNIQUE INDEX entries_client_id ON entries(client_id, cid, sender) WHERE client_id IS NOT NULL;
CREATE TABLE members(
  cid INTEGER NOT NULL, user TEXT NOT NULL, role TEXT, join_seq INTEGER NOT NULL, join_ordinal INTEGER NOT NULL,
  join_own INTEGER NOT NULL, floor INTEGER NOT NULL, changed_seq INTEGER NOT NULL, PRIMARY KEY(cid, user)) WITHOUT ROWID;
CREATE TABLE cursors(
  cid INTEGER NOT NULL, user TEXT NOT NULL, seq INTEGER NOT NULL, ordinal INTEGER NOT NULL, own INTEGER NOT NULL,
  total INTEGER NOT NULL, PRIMARY KEY(cid, user)) WITHOUT ROWID;
CREATE TABLE users(
  user TEXT PRIMARY KEY, user_seq INTEGER NOT NULL, created_at INTEGER NOT NULL, tokens_valid_from INTEGER NOT NULL,
  deleted_at INTEGER) WITHOUT ROWID;
CREATE TABLE memberships(
  user TEXT NOT NULL, conversation TEXT NOT NULL, type TEXT NOT NULL, peer TEXT, seq INTEGER NOT NULL, role TEXT,
  join_seq INTEGER NOT NULL, join_ordinal INTEGER NOT NULL, join_own INTEGER NOT NULL, floor INTEGER NOT NULL,
  muted INTEGER NOT NULL, marked_unread INTEGER NOT NULL, PRIMARY KEY(user, conversation)) WITHOUT ROWID;
CREATE TABLE devices(
  user TEXT NOT NULL, device TEXT NOT NULL, platform TEXT, last_sign_in_at INTEGER NOT NULL, signed_out_at INTEGER,
  PRIMARY KEY(user, device)) WITHOUT ROWID;
CREATE TABLE feed(
  user TEXT NOT NULL, user_seq INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY(user, user_seq)) WITHOUT ROWID;
CREATE TABLE partitions(partition INTEGER PRIMARY KEY, epoch INTEGER NOT NULL);
`;

/**
 * The statement that writes a row whole, as far as this program knows it, in the order of `keys` and `columns`. A newer program may
 * have added columns while this one goes on: they are never overwritten, which `INSERT OR REPLACE` would do.
 */
export function upsertOf(table: string, keys: readonly string[], columns: readonly string[]): string {
  const all = [...keys, ...columns];
  const sets = columns.map((name) => `${name} = excluded.${name}`);
  return `INSERT INTO ${table}(${all.join(", ")}) VALUES(${all.map(() => "?").join(", ")})
    ON CONFLICT(${keys.join(", ")}) DO UPDATE SET ${sets.join(", ")}`;
}

/** Every migration, ascending. */
export const sqliteMigrations: readonly Migration[] = [
  {
    schema: 1,
    minCompatible: 1,
    up(db) {
      db.run(first);
      const set = db.prepare("INSERT INTO meta(key, value) VALUES(?, ?)");
      set.run("generation", crypto.randomUUID());
      set.run("epochCounter", 0);
      set.run("probe", 0);
    },
  },
];
