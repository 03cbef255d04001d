// Runs one program in the foreground: passes signals on to it and ends as it ended. Runs under plain Node.
import { spawn } from "node:child_process";
import { constants } from "node:os";

const passedOn = ["SIGINT", "SIGTERM", "SIGHUP"];

/** How often it is looked whether the parent is still there, milliseconds. */
const parentLookMs = 250;

/**
 * Runs `command` with this terminal; resolves with its exit code, 128 + the signal's number where one ended it. When the
 * parent goes away without a word, as npm does on SIGTERM, the program is asked to stop.
 */
export function runForeground(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: "inherit", ...options });
    const pass = (signal) => child.kill(signal);
    for (const signal of passedOn) process.on(signal, pass);
    const watch = watchParent(() => pass("SIGTERM"));
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      clearInterval(watch);
      for (const name of passedOn) process.off(name, pass);
      resolve(code ?? 128 + (constants.signals[signal] ?? 0));
    });
  });
}

function watchParent(gone) {
  // Only npm leaves its children behind; a shell that ends is no reason to stop what was put in the background.
  if (process.env.npm_execpath === undefined) return undefined;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    gone();
  }, parentLookMs);
  return watch;
}
