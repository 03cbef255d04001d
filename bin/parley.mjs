#!/usr/bin/env node
// The command `parley`: runs src/main.ts with the Bun of node_modules, with this terminal, and ends as it ends.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findBun } from "../scripts/find-bun.mjs";
import { runForeground } from "../scripts/run.mjs";

const bun = findBun();
if (bun === null) {
  process.stderr.write("parley: Bun is not installed; in a clone run `npm start` first.\n");
  process.exitCode = 1;
} else {
  const main = join(dirname(dirname(fileURLToPath(import.meta.url))), "src/main.ts");
  process.exitCode = await runForeground(bun, [main, ...process.argv.slice(2)]);
}
