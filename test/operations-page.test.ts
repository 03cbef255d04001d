// Holds docs/OPERATIONS.md to the schema of settings and to the table of exit codes.
import { expect, test } from "bun:test";
import { operationsPage, withTable } from "../scripts/settings-table";
import { exitCodes } from "../src/cli/context";
import { createMetrics } from "../src/lib/metrics";

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
  const metrics = createMetrics();
  const none = { active: 0, waiting: 0, deepest: 0 };
  metrics.observeGauges(() => ({
    sessions: 0,
    connections: 0,
    actors: { user: none },
    asksWaiting: 0,
    storeWritable: true,
    cacheReady: true,
  }));
  const known = new Set([...(await metrics.expose()).matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name));
  const named = [...page.matchAll(/`(parley_\w+)`/g)].map(([, name]) => name);
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter((name) => !known.has(name))).toEqual([]);
});
