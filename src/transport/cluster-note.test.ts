import { describe, expect, test } from "bun:test";
import { judgeNote, parseNote } from "./cluster-note";
import type { ClusterNote } from "./cluster-note";

const sqlite: ClusterNote = { partitions: 256, storeKind: "sqlite", generation: "g1", host: "box/aa" };
const mongodb: ClusterNote = { partitions: 256, storeKind: "mongodb", generation: "g1", host: null };

function refusalOf(mine: ClusterNote, theirs: ClusterNote | null, others = true): string {
  const verdict = judgeNote(mine, theirs, others);
  return verdict.outcome === "refused" ? verdict.says : `not refused: ${verdict.outcome}`;
}

describe("who may join a cluster", () => {
  test("a node with the same in common joins, whether others are alive or not", () => {
    for (const others of [true, false]) {
      expect(judgeNote(sqlite, { ...sqlite }, others)).toEqual({ outcome: "same" });
      expect(judgeNote(mongodb, { ...mongodb }, others)).toEqual({ outcome: "same" });
    }
  });

  test("another number of partitions is refused, also where nobody is alive", () => {
    for (const others of [true, false]) {
      expect(refusalOf({ ...sqlite, partitions: 512 }, sqlite, others)).toBe(
        "this cluster spreads its actors over 256 partitions and this release over 512; run the release that the other nodes run",
      );
    }
  });

  test("another kind of store, other data and another host are refused while others are alive, each with its reason", () => {
    expect(refusalOf(sqlite, mongodb)).toContain("keep their data in MongoDB and this one in an SQLite file");
    expect(refusalOf(mongodb, { ...mongodb, generation: "g2" })).toContain("have other data than this one");
    expect(refusalOf({ ...sqlite, host: "other/bb" }, sqlite)).toBe(
      "the SQLite file of this cluster is used on the host box, and this is other; " +
        "nodes that share an SQLite file run on one host: stop the others first, or use MongoDB",
    );
    expect(refusalOf({ ...sqlite, host: "box/cc" }, sqlite)).toContain("is used on the host box, and this is box");
    expect(refusalOf(sqlite, null)).toContain("cannot be read");
  });

  test("what nobody alive holds to is replaced", () => {
    for (const theirs of [mongodb, { ...sqlite, generation: "g2" }, { ...sqlite, host: "other/bb" }, null])
      expect(judgeNote(sqlite, theirs, false)).toEqual({ outcome: "replace" });
  });

  test("a note is read as it was written, with what a later release adds; what is none is none", () => {
    for (const note of [sqlite, mongodb]) expect(parseNote(JSON.stringify(note))).toEqual(note);
    expect(parseNote(JSON.stringify({ ...sqlite, more: [1] }))).toEqual(sqlite);
    for (const text of [
      "",
      "null",
      "7",
      "[]",
      "{}",
      '{"partitions":"256"}',
      '{"partitions":256,"generation":"g","storeKind":"x"}',
    ])
      expect(parseNote(text)).toBeNull();
  });
});
