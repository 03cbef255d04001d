// The server is ended between every two writes of every operation that needs several; afterwards every row follows from its log.
// The failpoints are read from the code, so that a new one is ended at without a word here.
import { describe, expect, test } from "bun:test";
import { Glob } from "bun";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeWith } from "../services/services";
import { mongodb, sqlite } from "../stores";
import type { StoreUnderTest } from "../stores";
import { endAt } from "./between-writes";
import type { Ending } from "./between-writes";

const storage = join(import.meta.dir, "../../src/storage");

/** Failpoints that stand literally in files of the storage folder. */
function failpointsIn(files: string): readonly string[] {
  const texts = [...new Glob(files).scanSync(storage)].map((file) => readFileSync(join(storage, file), "utf8"));
  const found = texts.flatMap((text) => [...text.matchAll(/\bfailpoint\(\s*"([\w.-]+)"/g)]);
  return [...new Set(found.map(([, name]) => name as string))].sort();
}

/** Passings at which a server is ended, such as `CRASH_HITS=1,2,3,5,8` for a long run; else one for each failpoint. */
const hits = process.env["CRASH_HITS"]?.split(",").map(Number) ?? [1];
const thorough = process.env["CRASH_HITS"] !== undefined;

/** How the first passing is reached where a life from nothing does not get there. */
const reached: Readonly<Record<string, Partial<Ending>>> = {
  // Heads of open conversations are stored every five seconds.
  "mongo.head.flushed": { lingerMs: 12_000 },
  "mongo.migrate.collections": { before: null },
  "mongo.migrate.step": { before: null },
};

function endingOf(point: string, hit: number): Ending {
  // A feed is left open by a write that broke off, a conversation by any life that was killed.
  const opening = point.startsWith("mongo.feed.open.") ? "mongo.feed.changes=exit@7" : "killed";
  const before = thorough || /\.open\./.test(point) ? opening : null;
  return { point, hit, before, ...reached[point] };
}

function endings(store: StoreUnderTest, points: readonly string[]): void {
  for (const point of points) {
    test(`ended at ${point}, it starts again, finishes what was left, and every row follows from its log`, async () => {
      for (const hit of hits) {
        const data = await store.fresh();
        const ended = await endAt(data, endingOf(point, hit));
        await data.dispose();
        expect({ hit, ...ended }).toEqual({ hit, during: ended.during, faults: [] });
        // A failpoint that is never passed would end nothing.
        if (hit === hits[0]) expect(ended.during).not.toBeNull();
      }
    }, 120_000);
  }
}

describe("over SQLite", () => endings(sqlite, ["ack.before-fanout", "commit.after", "commit.before"]));

const points = failpointsIn("mongo-*.ts");

test("the driver of MongoDB has failpoints between its writes, and none that this test cannot read", () => {
  const places = ["commit", "open", "feed", "feed.open", "head", "migrate"];
  const without = places.filter((place) => !points.some((name) => name.startsWith(`mongo.${place}.`)));
  expect(without).toEqual([]);
});

describeWith("mongodb", "over MongoDB", () => endings(mongodb, ["ack.before-fanout", ...points]));
