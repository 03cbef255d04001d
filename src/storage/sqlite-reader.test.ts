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
  using _ = spyOn(performance, "now").mockImplementation(() => (now += 100));
  const read = new Map(rooms.map((room) => [room, 0]));
  let asked = 0;
  for (let left = [...read]; left.length > 0; left = [...read].filter(([, seq]) => seq < 100)) {
    asked++;
    const answered = reader.readRanges(
      left.map(([room, seq]) => range(room, { from: seq + 1 })),
      1_000_000,
    );
    answered.forEach(([scannedTo, rows], at) => {
      const [room, from] = left[at] ?? [conversationNamed(0), 0];
      expect(rows.map(([seq]) => seq)).toEqual(rows.map((_row, index) => from + 1 + index));
      expect(scannedTo).toBe(rows.length > 0 ? from + rows.length : 0);
      read.set(room, from + rows.length);
    });
  }
  expect(asked).toBeGreaterThan(2);
  expect(reader.countBySender(conversationNamed(1), 10, 40)).toEqual([[ada, 30]]);
});
