// `npm test`: makes the clone ready, runs every test, and closes with `N passed, N failed`. Arguments go to `bun test`.
// A file that cannot be loaded, or a runner that ends without a word, counts as a failure.
import { spawn } from "node:child_process";
import { buildPageIfStale, bunOfClone, root } from "./setup.mjs";
import { startServices } from "./test-services.mjs";

/** Longest time of one test, milliseconds; the crash and simulation tests need most of it on a slow machine. */
const testTimeoutMs = 120_000;

/** Two files at once: some tests measure nothing but do start servers, and small machines have two cores. */
const parallel = 2;

const bun = bunOfClone();
const starting = startServices(bun);
buildPageIfStale(bun);
const services = await starting;
const { code, text } = await runTests(process.argv.slice(2), services.environment);
const passed = countOf("pass");
const failed = countOf("fail") + countOf("error");
// The runner's own verdict stands even if its closing lines could not be read.
const unexplained = code !== 0 && failed === 0 ? 1 : 0;
if (unexplained) process.stdout.write(`bun test ended with exit code ${code}\n`);
process.stdout.write(`${passed} passed, ${failed + unexplained} failed\n`);
process.exitCode = failed + unexplained === 0 && passed > 0 ? 0 : 1;
await services.stop(process.exitCode === 0);

function runTests(patterns, environment) {
  const args = ["test", `--parallel=${parallel}`, `--timeout=${testTimeoutMs}`, "--only-failures", ...patterns];
  const env = { ...process.env, ...environment };
  const child = spawn(bun, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
  let text = "";
  for (const [stream, output] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ]) {
    stream.on("data", (chunk) => {
      output.write(chunk);
      // Only the closing lines are read, so only the end is kept.
      text = (text + chunk).slice(-16_384);
    });
  }
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? 1, text }));
  });
}

/** The count of a closing line such as ` 12 pass`; the last one counts, as tests may print anything before it. */
function countOf(word) {
  const lines = [...text.matchAll(new RegExp(`^\\s*(\\d+) ${word}s?$`, "gm"))];
  return Number(lines.at(-1)?.[1] ?? 0);
}
