// Starts the servers that one run of `npm test` shares, beside the rest of its set-up, and stops them after it.
// Servers that a person points at are left alone; the logs of the others are kept when a test failed.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./setup.mjs";

/** Mirrors scripts/services/catalog.ts, which plain Node cannot read; a test holds the two equal. */
export const shared = { nats: "PARLEY_TEST_NATS", mongodb: "PARLEY_TEST_MONGODB", redis: "PARLEY_TEST_REDIS" };

/**
 * Starts what is not set in the environment, building or installing it first. Resolves once all of it answers, with the
 * variables for `bun test`, and `stop(passed)`, which ends the servers and says where the logs are unless all passed.
 */
export async function startServices(bun) {
  const names = Object.keys(shared).filter((name) => !process.env[shared[name]]);
  const logs = mkdtempSync(join(tmpdir(), "parley-test-logs-"));
  const base = { PARLEY_TEST_LOGS: logs };
  const child = names.length > 0 ? run(bun, names, logs) : null;
  const { environment, missing } = child === null ? { environment: {}, missing: {} } : await firstLine(child, names);
  const stop = async (passed) => {
    if (child !== null) await ended(child);
    if (passed) rmSync(logs, { recursive: true, force: true });
    else process.stderr.write(`parley: the servers' logs are in ${logs}\n`);
  };
  return { environment: { ...base, ...environment, PARLEY_TEST_MISSING: JSON.stringify(missing) }, stop };
}

function run(bun, names, logs) {
  // Its standard input ends when we do, however that comes, and with it the servers.
  return spawn(bun, [join(root, "scripts/services.ts"), "--for-tests", ...names], {
    cwd: root,
    env: { ...process.env, PARLEY_TEST_LOGS: logs },
    stdio: ["pipe", "pipe", "inherit"],
    detached: true,
  });
}

/** The line with addresses and reasons; where it never comes, every server is missing, and the tests say so by name. */
function firstLine(child, names) {
  return new Promise((resolve) => {
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
      if (text.includes("\n")) resolve(JSON.parse(text.slice(0, text.indexOf("\n"))));
    });
    const gone = () => {
      const missing = Object.fromEntries(
        names.map((name) => [name, "the services of this run ended before they were ready"]),
      );
      resolve({ environment: {}, missing });
    };
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
