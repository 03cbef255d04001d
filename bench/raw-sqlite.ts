// The baseline of durability: the same rows into the same table, inserted raw in commits of 64, WAL, synchronous FULL.
import type { Database } from "bun:sqlite";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encode } from "../src/protocol/codec";
import { migrate } from "../src/storage/migrations";
import { openForWriting } from "../src/storage/sqlite-open";
import { sqliteMigrations } from "../src/storage/sqlite-schema";
import { cpuSeconds } from "./process-stats";
import { textBytes } from "./messages";

/** What one run of raw inserts reached. */
export interface RawInserts {
  readonly rowsPerSecond: number;
  readonly cpuUsPerOp: number;
}

const rowsPerCommit = 64;

/** Inserts rows of `conversations` logs in turn for `seconds`, and prints what it reached as a JSON line. */
export function insertRaw(conversations: number, seconds: number): void {
  const folder = mkdtempSync(join(tmpdir(), "parley-raw-"));
  const db = openForWriting(join(folder, "raw.sqlite"));
  migrate(db, sqliteMigrations);
  console.log(JSON.stringify(insertFor(db, conversations, seconds)));
  db.close();
  rmSync(folder, { recursive: true });
}

function insertFor(db: Database, conversations: number, seconds: number): RawInserts {
  const insert = db.prepare("INSERT INTO entries VALUES (?, ?, ?, 1, 1, ?, ?, ?)");
  let row = 0;
  const commit = db.transaction(() => {
    for (let i = 0; i < rowsPerCommit; i++, row++) {
      const conversation = row % conversations;
      const seq = Math.floor(row / conversations) + 1;
      const clientId = row.toString().padStart(16, "0");
      const sender = `bench-${conversation}-0`;
      insert.run(conversation, seq, seq, sender, clientId, bytesOf(seq));
    }
  });
  const until = (ms: number): void => {
    const end = performance.now() + ms;
    while (performance.now() < end) commit.immediate();
  };
  until(500);
  row = Math.ceil(row / conversations) * conversations;
  const before = { row, at: performance.now(), cpu: cpuSeconds(process.pid) };
  until(seconds * 1000);
  const rows = row - before.row;
  return {
    rowsPerSecond: (rows * 1000) / (performance.now() - before.at),
    cpuUsPerOp: ((cpuSeconds(process.pid) - before.cpu) * 1e6) / rows,
  };
}

/** The stored bytes of a message, encoded once and copied: the baseline is not charged for encoding. */
const template = encode([
  0xffffffff,
  0xffffffff,
  1,
  true,
  2 ** 41,
  "bench-0000-0",
  null,
  "x".repeat(16),
  null,
  ["x".repeat(textBytes)],
]);

function bytesOf(seq: number): Uint8Array {
  const bytes = template.slice();
  new DataView(bytes.buffer).setUint32(2, seq);
  return bytes;
}

if (import.meta.main) insertRaw(Number(process.argv[2]), Number(process.argv[3]));
