// Finds the Bun that package.json pins, inside node_modules. Runs under plain Node, before anything else is known to work.
import { execFileSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);

/** Below this a file is the placeholder that the package ships until its install script has run. */
const binaryBytesMin = 1024 * 1024;

/**
 * The path of the Bun binary, or null where its package is not installed. npm may hold back the install script that puts
 * the binary in its place; then the platform's own package has it, or the script is run here.
 */
export function findBun() {
  const folder = folderOf("bun");
  if (folder === null) return null;
  return inPackage(folder) ?? inPlatformPackage() ?? runInstallScript(folder);
}

function folderOf(name) {
  try {
    return dirname(require.resolve(`${name}/package.json`));
  } catch {
    return null;
  }
}

function isBinary(path) {
  return existsSync(path) && statSync(path).size > binaryBytesMin;
}

function inPackage(folder) {
  const path = join(folder, "bin", "bun.exe");
  return isBinary(path) ? path : null;
}

function inPlatformPackage() {
  const arch = process.arch === "arm64" ? "aarch64" : process.arch;
  const system = process.platform === "win32" ? "windows" : process.platform;
  const musl = system === "linux" && !process.report.getReport().header.glibcVersionRuntime;
  const folder = folderOf(`@oven/bun-${system}-${arch}${musl ? "-musl" : ""}`);
  const path = folder && join(folder, "bin", system === "windows" ? "bun.exe" : "bun");
  return path && isBinary(path) ? path : null;
}

function runInstallScript(folder) {
  try {
    execFileSync(process.execPath, ["install.js"], { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
  } catch (error) {
    process.stderr.write(`parley: the install script of bun failed: ${error.message}\n`);
  }
  return inPackage(folder);
}
