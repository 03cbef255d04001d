// A process that holds the write lock of an SQLite file for a while, as a backup tool or a stopped writer would:
// `bun test/chaos/lock-holder.ts FILE MILLISECONDS`. Says "held" once it has it, and lets go by itself.
import { Database } from "bun:sqlite";

const [file = "", ms = "0"] = process.argv.slice(2);
const waitMsMax = 30_000;

const db = new Database(file, { readwrite: true });
db.run(`PRAGMA busy_timeout = ${waitMsMax}`);
db.run("BEGIN IMMEDIATE");
process.stdout.write("held\n");
await Bun.sleep(Number(ms));
db.run("ROLLBACK");
db.close();
