// Starts the servers that one run of `npm test` shares, beside the rest of its set-up, and stops them after it.
// Servers that a person points at are left alone; the logs of the others are kept when a test failed.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./setup.mjs";

/**
 * Starts what is not set in the environment, building or installing it first. Resolves once all of it answers, with the
 * variables for `bun test`, and `stop(passed)`, which ends the servers and says where the logs are unless all passed.
 */
export async function startServices(bun) {
  const logs = mkdtempSync(join(tmpdir(), "parley-test-logs-"));
  const child = run(bun, logs);
  const { environment, missing } = await firstLine(child);
  const stop = async (passed) => {
    await ended(child);
    if (passed) rmSync(logs, { recursive: true, force: true });
    else process.stderr.write(`parley: the servers' logs are in ${logs}\n`);
  };
  const ours = { PARLEY_TEST_LOGS: logs, PARLEY_TEST_MISSING: JSON.stringify(missing) };
  return { environment: { ...environment, ...ours }, stop };
}

function run(bun, logs) {
  // Its standard input ends when we do, however that comes, and with it the servers.
  return spawn(bun, [join(root, "scripts/services.ts"), "--for-tests"], {
    cwd: root,
    env: { ...process.env, PARLEY_TEST_LOGS: logs },
    stdio: ["pipe", "pipe", "inherit"],
    detached: true,
  });
}

/** The line with addresses and reasons. Where it never comes, no server is there, and the suites say so by name. */
function firstLine(child) {
  return new Promise((resolve) => {
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
      if (text.includes("\n")) resolve(JSON.parse(text.slice(0, text.indexOf("\n"))));
    });
    const missing = { "*": "the services of this run ended before they were ready" };
    const gone = () => resolve({ environment: {}, missing });
    child.on("error", gone).on("exit", gone);
  });
}

function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.on("exit", resolve);
    child.stdin.end();
  });
}
