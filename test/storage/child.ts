// A process of its own for tests that kill it or take its disk away: opens the store and says what happened, a line each.
// Usage: child.ts append|restore FILE [BACKUP]; failpoints in PARLEY_FAILPOINTS.
import { configureFailpoints } from "../../src/lib/failpoints";
import { openSqliteStore } from "../../src/storage/sqlite-store";
import { restoreSqlite } from "../../src/storage/sqlite-restore";
import { allPartitions, append, conversationNamed, entries } from "../../src/storage/store-samples.case";

const [mode, file = "", backup = ""] = process.argv.slice(2);
configureFailpoints(process.env["PARLEY_FAILPOINTS"] ?? "");

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Appends batches of 20 to one conversation for ever, reloading after everything but `stored`. */
async function appendForEver(): Promise<void> {
  const room = conversationNamed("room");
  const store = await openSqliteStore({ file, onHealth: (writable) => say(`writable ${writable}`) });
  const epoch = await store.claim(allPartitions);
  let seq = (await store.openConversation(room, epoch, 0))?.head.seq ?? 0;
  say("started");
  for (;;) {
    const answer = await store.commit(append(room, epoch, entries(seq + 1, 20)));
    say(
      answer.outcome === "stored"
        ? `acked ${seq + 20}`
        : `${answer.outcome} ${"reason" in answer ? answer.reason : ""}`,
    );
    if (answer.outcome !== "stored") await Bun.sleep(20);
    seq = (await store.openConversation(room, epoch, 0))?.head.seq ?? 0;
  }
}

try {
  if (mode === "append") await appendForEver();
  await restoreSqlite({ from: backup, to: file, force: true });
  say("restored");
} catch (error) {
  say(`failed ${error instanceof Error ? error.message : String(error)}`);
} finally {
  process.exit();
}
