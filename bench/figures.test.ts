import { expect, test } from "bun:test";
import { figure, tableOf } from "./figures";

test("a figure is judged by its ratio, from below or from above, or by what it is", () => {
  const reached = (bench: Parameters<typeof figure>[0], ours: number, baseline?: number) =>
    figure(bench, baseline === undefined ? { ours } : { ours, baseline }).reached;

  expect([6, 7, 8].map((ours) => reached("cluster-fanout", ours, 10))).toEqual(["required", "required", "aim"]);
  expect(reached("cluster-fanout", 5, 10)).toBe("missed");
  expect([13, 16, 19].map((ours) => reached("cluster-cost", ours, 10))).toEqual(["aim", "required", "missed"]);
  expect([900, 1200, 1600].map((ours) => reached("failover", ours))).toEqual(["aim", "required", "missed"]);
  expect(reached("large-make", 1e9)).toBe("measured");
});

test("the table tells figures of one name apart by their load", () => {
  const rows = tableOf(["3 nodes", "20 nodes"].map((load) => figure("placement-skew", { ours: 1, load }))).split("\n");

  expect(rows.slice(2).map((row) => row.split(" | ").slice(0, 2))).toEqual([
    ["| `placement-skew`", "3 nodes"],
    ["| `placement-skew`", "20 nodes"],
  ]);
});
