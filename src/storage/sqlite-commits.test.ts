// How commits are grouped where other processes commit to the same file.
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { CommitQueue } from "./sqlite-commits";
import type { WorkerLink } from "./sqlite-link";
import { beginImmediate } from "./sqlite-lock";
import { packBatch } from "./sqlite-packing";
import type { PackedWrite } from "./sqlite-packing";

/** A queue whose writer says of every commit that it had to wait, or had not, and the sizes of what it was handed. */
function queueOf(hadToWait: boolean) {
  const clock = new VirtualClock();
  const commits: number[] = [];
  const never = new Promise<void>(() => undefined);
  let rest: PromiseWithResolvers<Uint8Array> | null = null;
  const link = {
    alive: true,
    ended: never,
    ask: () => {
      rest = Promise.withResolvers<Uint8Array>();
      return rest.promise;
    },
  };
  const file = { file: "none", sharing: null };
  const queue = new CommitQueue(link as unknown as WorkerLink, file, clock, {
    commit: (_, writes) => commits.push(writes),
  });
  const add = (rows = 1): void => void queue.add([1, "ada", 1, 0] as unknown as PackedWrite, rows, 10);
  const finish = (): void => {
    rest?.resolve(packBatch({ outcomes: [], failure: null, hadToWait }));
    clock.settle();
  };
  return { clock, commits, add, finish };
}

test("behind a commit that had to wait for another process, what comes in a while shares the next one", () => {
  const { clock, commits, add, finish } = queueOf(true);
  add();
  clock.advance(0);
  add();
  finish();
  expect(commits).toEqual([1]);
  clock.advance(3);
  add();
  finish();
  expect(commits).toEqual([1]);
  clock.advance(8);
  finish();
  expect(commits).toEqual([1, 2]);
});

test("so many rows that they are worth a commit do not wait, nor does anything where nobody else writes", () => {
  for (const [hadToWait, rows] of [
    [true, 64],
    [false, 1],
  ] as const) {
    const { clock, commits, add, finish } = queueOf(hadToWait);
    add(rows);
    clock.advance(0);
    add();
    finish();
    finish();
    expect([commits, clock.pending]).toEqual([[1, 1], hadToWait ? 1 : 0]);
  }
});

test("whoever takes the file's lock knows whether another one was writing", async () => {
  const folder = await mkdtemp(join(tmpdir(), "parley-lock-"));
  using holder = new Database(join(folder, "file.sqlite"), { create: true });
  holder.run("PRAGMA journal_mode = WAL");
  using db = new Database(join(folder, "file.sqlite"));
  db.run("PRAGMA busy_timeout = 0");
  /** The other one is done as soon as it was met. */
  const meeting = {
    run(sql: string): void {
      try {
        db.run(sql);
      } finally {
        if (holder.inTransaction) holder.run("COMMIT");
      }
    },
  } as unknown as Database;
  expect(beginImmediate(meeting, 1_000)).toBe(false);
  db.run("COMMIT");
  holder.run("BEGIN IMMEDIATE");
  expect(beginImmediate(meeting, 1_000)).toBe(true);
  db.run("COMMIT");
  await rm(folder, { recursive: true, force: true });
});
