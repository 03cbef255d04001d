// Runs one program in the foreground: passes signals on to it and ends as it ended. Runs under plain Node.
import { spawn } from "node:child_process";
import { constants } from "node:os";

const passedOn = ["SIGINT", "SIGTERM", "SIGHUP"];

/** Runs `command` with this terminal; resolves with its exit code, 128 + the signal's number where one ended it. */
export function runForeground(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: "inherit", ...options });
    const listeners = passedOn.map((signal) => [signal, () => child.kill(signal)]);
    for (const [signal, listener] of listeners) process.on(signal, listener);
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      for (const [name, listener] of listeners) process.off(name, listener);
      resolve(code ?? 128 + (constants.signals[signal] ?? 0));
    });
  });
}
