// Makes a fresh clone ready: installs packages, finds Bun, builds the page. Does nothing, quickly, where all is in place.
// Runs under plain Node 20 or later with npm, and needs nothing else.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findBun } from "./find-bun.mjs";

/** The top of the checkout. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const nodeMajorMin = 20;

/** Sources of the page: when one of them is newer than the build, it is built again. */
const pageSources = ["web", "src/client", "src/protocol", "scripts/build-web.ts", "package-lock.json"];

/** Makes everything ready and answers the path of Bun. Ends the process with a sentence where that is impossible. */
export function setUp() {
  const bun = bunOfClone();
  buildPageIfStale(bun);
  return bun;
}

/** Installs the packages where they are missing and answers the path of Bun. Ends the process where that is impossible. */
export function bunOfClone() {
  if (Number(process.versions.node.split(".")[0]) < nodeMajorMin) {
    fail(`Node ${process.versions.node} is too old: install Node ${nodeMajorMin} or later.`);
  }
  if (!packagesAreInstalled()) installPackages();
  const bun = findBun();
  if (bun === null) fail("Bun is not in node_modules: remove node_modules, then start again.");
  return bun;
}

/** Builds the page where a source of it is newer. */
export function buildPageIfStale(bun) {
  if (pageIsStale()) buildPage(bun);
}

/** Whether node_modules holds the locked version of every package; npm notes what it installed in a lock file of its own. */
function packagesAreInstalled() {
  const wanted = readLock("package-lock.json");
  const installed = readLock("node_modules/.package-lock.json");
  if (wanted === null || installed === null) return false;
  return Object.entries(wanted).every(([path, { version, optional }]) => {
    if (path === "" || (optional && !(path in installed))) return true;
    return installed[path]?.version === version && existsSync(join(root, path));
  });
}

function readLock(path) {
  const file = join(root, path);
  if (!existsSync(file)) return null;
  return JSON.parse(readFileSync(file, "utf8")).packages ?? null;
}

function installPackages() {
  say("Installing packages ...");
  // Not `npm ci`: it refuses a lock that lacks other systems' optional packages, which some registries do not carry.
  const args = ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"];
  // Under `npm start` the npm that runs us is named; a shell finds it otherwise, also where it is a .cmd file.
  const npm = process.env.npm_execpath;
  try {
    if (npm) execFileSync(process.execPath, [npm, ...args], { cwd: root, stdio: ["ignore", 2, 2] });
    else execFileSync(`npm ${args.join(" ")}`, { cwd: root, stdio: ["ignore", 2, 2], shell: true });
  } catch {
    fail("npm install failed; what it said stands above.");
  }
}

function pageIsStale() {
  if (!existsSync(join(root, "scripts/build-web.ts"))) return false;
  const built = newestChange(join(root, "dist/web"));
  return built === 0 || pageSources.some((path) => newestChange(join(root, path)) > built);
}

/** Milliseconds of the latest change of a file or of any file in a folder; 0 where there is none. */
function newestChange(path) {
  if (!existsSync(path)) return 0;
  const found = statSync(path);
  if (!found.isDirectory()) return found.mtimeMs;
  return Math.max(0, ...readdirSync(path).map((name) => newestChange(join(path, name))));
}

function buildPage(bun) {
  say("Building the web page ...");
  try {
    execFileSync(bun, ["scripts/build-web.ts"], { cwd: root, stdio: ["ignore", "ignore", 2] });
  } catch {
    fail("The web page could not be built; what was said stands above.");
  }
}

function say(text) {
  process.stderr.write(`parley: ${text}\n`);
}

function fail(text) {
  say(text);
  process.exit(1);
}
