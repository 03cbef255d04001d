import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { invariants } from "./history/checker";

const root = join(import.meta.dir, "..");
const page = readFileSync(join(root, "docs/GUARANTEES.md"), "utf8");
const promises = [...page.matchAll(/^## (G\d+): (?:.|\n)*?(?=^## )/gm)].map(([text, name]) => ({ name, text }));

test("every promise of one node has its section", () => {
  expect(promises.map(({ name }) => name)).toEqual(["G1", "G2", "G3", "G4", "G5", "G6", "G10", "G11", "G12"]);
});

test("every promise names at least one test", () => {
  const without = promises.filter(({ text }) => !/^- `[\w./-]+\.(test|case)\.ts`: "/m.test(text));
  expect(without.map(({ name }) => name)).toEqual([]);
});

test("every file that the page names exists", () => {
  const files = [...page.matchAll(/`((?:src|test)\/[\w./-]+)`/g)].map(([, file]) => file!);
  expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
});

test("every quoted test is in its file", () => {
  const quoted = [...page.matchAll(/^- `([\w./-]+)`: "([^"]+)"/gm)];
  const missing = quoted.filter(([, file, name]) => !readFileSync(join(root, file!), "utf8").includes(name!));
  expect(missing.map(([line]) => line)).toEqual([]);
});

test("every invariant of the checker is explained", () => {
  const named = Object.keys(invariants).filter((name) => name.startsWith("I"));
  expect(named.filter((name) => !page.includes(`| ${name} |`))).toEqual([]);
});
