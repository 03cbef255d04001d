// The reading connection: how long one answer may take, and what it leaves to the next one.
import { Database } from "bun:sqlite";
import { expect, spyOn, test } from "bun:test";
import { migrate } from "./migrations";
import { packConversation } from "./sqlite-packing";
import { Reader } from "./sqlite-reader";
import { sqliteMigrations } from "./sqlite-schema";
import { Writer } from "./sqlite-writer";
import { ada, allPartitions, append, conversationNamed, entries, range } from "./store-samples.case";

test("a hand-over of reads is answered as soon as one of them took long, and says so by answering fewer", () => {
  const db = new Database(":memory:");
  db.run("CREATE TABLE users(user TEXT, deleted_at INTEGER)");
  const reader = new Reader(db);
  const asked = Array.from({ length: 5 }, () => ["unknownUsers", [["ann"]]] as const);
  let now = 0;
  let stepMs = 1;
  const clock = spyOn(performance, "now").mockImplementation(() => (now += stepMs));
  try {
    expect(reader.readAll(asked)).toEqual(Array(5).fill([null, ["ann"]]));
    stepMs = 30; // every read takes that long now
    expect(reader.readAll(asked)).toEqual([[null, ["ann"]]]);
  } finally {
    clock.mockRestore();
    db.close();
  }
});

test("ranges of a shared file are read for so long, then what was read so far is answered: asking on brings the rest", () => {
  using db = new Database(":memory:");
  migrate(db, sqliteMigrations);
  const writer = new Writer(db);
  const epoch = writer.claim(allPartitions);
  const rooms = [1, 2, 3].map(conversationNamed);
  writer.commit(rooms.map((room) => packConversation(append(room, epoch, entries(1, 100)))));
  const reader = new Reader(db, 250);
  let now = 0;
  const clock = spyOn(performance, "now").mockImplementation(() => (now += 100));
  try {
    const read = new Map<string, number>(rooms.map((room) => [room, 0]));
    let asked = 0;
    for (; [...read.values()].some((seq) => seq < 100); asked++) {
      const left = rooms.filter((room) => (read.get(room) ?? 0) < 100);
      const requests = left.map((room) => range(room, { from: (read.get(room) ?? 0) + 1 }));
      const answered = reader.readRanges(requests, 1_000_000);
      for (const [at, [scannedTo, rows]] of answered.entries()) {
        const from = read.get(left[at] ?? "") ?? 0;
        expect(rows.map(([seq]) => seq)).toEqual(rows.map((_, index) => from + 1 + index));
        expect([0, from + rows.length]).toContain(scannedTo);
        if (scannedTo > 0) read.set(left[at] ?? "", scannedTo);
      }
    }
    expect(asked).toBeGreaterThan(2);
    expect(reader.countBySender(rooms[0] ?? conversationNamed(0), 10, 40)).toEqual([[ada, 30]]);
  } finally {
    clock.mockRestore();
  }
});
