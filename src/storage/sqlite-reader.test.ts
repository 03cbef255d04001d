import { Database } from "bun:sqlite";
import { expect, spyOn, test } from "bun:test";
import { Reader } from "./sqlite-reader";

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
