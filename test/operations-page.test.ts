// Holds docs/OPERATIONS.md to the schema of settings and to the table of exit codes.
import { expect, test } from "bun:test";
import { operationsPage, withTable } from "../scripts/settings-table";
import { exitCodes } from "../src/cli/context";
import { listFigures } from "./ops/figures";

const page = await Bun.file(operationsPage).text();

test("the operations page lists every setting as the schema has it; if not: npm run docs", () => {
  expect(page).toBe(withTable(page));
});

test("the operations page lists every exit code", () => {
  const section = page.split("## Exit codes")[1]?.split("\n## ")[0] ?? "";
  const listed = [...section.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code));
  expect(listed).toEqual(Object.values(exitCodes));
});

test("the operations page names only metrics that there are", async () => {
  const known = new Set([...(await listFigures()).keys()].map((name) => name.replace(/_(bucket|sum|count)$/, "")));
  const named = [...page.matchAll(/`(parley_\w+)`/g)].map(([, name]) => name as string);
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter((name) => !known.has(name))).toEqual([]);
});
