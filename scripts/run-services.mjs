// `npm run services -- [names]`: makes the clone ready, then runs the servers of scripts/services.ts in the foreground.
import { join } from "node:path";
import { runForeground } from "./run.mjs";
import { bunOfClone, root } from "./setup.mjs";

process.exitCode = await runForeground(bunOfClone(), [join(root, "scripts/services.ts"), ...process.argv.slice(2)]);
