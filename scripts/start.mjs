// `npm start`: makes the clone ready, then runs the server in the foreground. Options go to `parley serve`.
import { join } from "node:path";
import { runForeground } from "./run.mjs";
import { root, setUp } from "./setup.mjs";

const bun = setUp();
process.exitCode = await runForeground(bun, [join(root, "src/main.ts"), "serve", ...process.argv.slice(2)]);
