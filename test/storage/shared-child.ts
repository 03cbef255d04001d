// One of several processes that share a file: writes to conversations and says what was acknowledged, a line each.
// Usage: shared-child.ts own|fight FILE INDEX OF; begins when told a line; failpoints in PARLEY_FAILPOINTS.
import { configureFailpoints } from "../../src/lib/failpoints";
import { partitionOf } from "../../src/lib/hash";
import type { ClientId, ConversationId, Epoch } from "../../src/protocol/ids";
import { openSqliteStore } from "../../src/storage/sqlite-store";
import { allPartitions, append, conversationNamed, entry } from "../../src/storage/store-samples.case";

const [mode, file = "", index = "0", of = "1"] = process.argv.slice(2);
configureFailpoints(process.env["PARLEY_FAILPOINTS"] ?? "");

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const store = await openSqliteStore({ file, shared: true, onHealth: (writable) => say(`writable ${writable}`) });

/** Where the log of a room ends, tried until it can be told; null where this epoch may not write to it any more. */
async function endOf(room: ConversationId, epoch: Epoch): Promise<number> {
  for (;;) {
    try {
      return (await store.openConversation(room, epoch, 0))?.head.seq ?? 0;
    } catch {
      await Bun.sleep(20);
    }
  }
}

/** Appends to a room, one to three entries at a time, until the epoch is old. Client ids tell who wrote, and in which order. */
async function write(room: ConversationId, epoch: Epoch, from: number): Promise<number> {
  let seq = await endOf(room, epoch);
  for (let next = from; ; ) {
    const rows = Array.from({ length: 1 + (next % 3) }, (_, at) =>
      entry(seq + 1 + at, { clientId: `${index}-${next + at}` as ClientId }),
    );
    const answer = await store.commit(append(room, epoch, rows, { openEpoch: epoch }));
    if (answer.outcome === "stored") {
      for (const row of rows) say(`acked ${room} ${row.seq} ${row.clientId}`);
      seq += rows.length;
    } else {
      say(`${answer.outcome} ${"reason" in answer ? answer.reason : ""}`);
      if (answer.outcome === "fenced") return next;
      await Bun.sleep(20);
      seq = await endOf(room, epoch);
    }
    // An id is never used again, also where nobody knows whether it was.
    next += rows.length;
  }
}

async function claimed(partitions: readonly number[]): Promise<Epoch> {
  for (;;) {
    try {
      return await store.claim(partitions);
    } catch (error) {
      say(`refused ${String(error)}`);
      await Bun.sleep(20);
    }
  }
}

/** Conversations in partitions of this process's own. */
async function writeOwn(): Promise<void> {
  const mine = allPartitions.filter((partition) => partition % Number(of) === Number(index));
  const epoch = await claimed(mine);
  const rooms: ConversationId[] = [];
  for (let n = 0; rooms.length < 4; n++) {
    const room = conversationNamed(`${index}x${n}`);
    if (mine.includes(partitionOf("conversation", room))) rooms.push(room);
  }
  await Promise.all(rooms.map((room, at) => write(room, epoch, at * 1_000_000)));
}

/** One conversation that every process claims again as soon as it lost it. */
async function fight(): Promise<void> {
  const room = conversationNamed("fought");
  for (let next = 0; ; ) {
    next = await write(room, await claimed(allPartitions), next);
    // Whoever took it shall come to write something.
    await Bun.sleep(5 + Math.random() * 10);
  }
}

say("ready");
for await (const _ of console) break;
await (mode === "own" ? writeOwn() : fight());
