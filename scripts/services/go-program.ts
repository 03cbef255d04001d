// Builds the servers that come as Go modules, each from a folder of its own under services/ with its versions and checksums
// pinned, into a cache outside the checkout. A build that did not finish never counts: only a rename makes it visible.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { say, Unavailable } from "./catalog";
import { alone } from "./lock";

const modules = join(import.meta.dir, "../../services");
const progressEveryMs = 5_000;

/** Read-only: a module that go.sum does not know is an error, never an edit. */
const flags = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"];

/** The servers built here: the package that is compiled, and the module that its version is read from. */
const programs = {
  "nats-server": { package: "github.com/nats-io/nats-server/v2", module: "github.com/nats-io/nats-server/v2" },
  ferretdb: { package: ".", module: "github.com/FerretDB/FerretDB" },
} as const;

/** A server built from a Go module. */
export type GoProgram = keyof typeof programs;

/** Where built servers are kept, shared by every checkout of this person. */
export function cacheFolder(): string {
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "parley");
}

/** The path of the built program, building it first where that was not done yet. Throws {@link Unavailable} without Go. */
export async function goProgram(name: GoProgram): Promise<string> {
  const path = builtPath(name);
  if (existsSync(path)) return path;
  if (Bun.which("go") === null) throw new Unavailable(`${name} is built with Go, which is not installed`);
  mkdirSync(cacheFolder(), { recursive: true });
  await alone(cacheFolder(), async () => {
    if (!existsSync(path)) await build(name, path);
  });
  return path;
}

/** Why this program cannot be had, or null where it is built or can be. */
export function whyNoGoProgram(name: GoProgram): string | null {
  if (existsSync(builtPath(name)) || Bun.which("go") !== null) return null;
  return `${name} is built with Go, which is not installed`;
}

/** Named by version for people and by a digest of the sources for us: changed pins or flags are another program. */
function builtPath(name: GoProgram): string {
  const folder = join(modules, name);
  const digest = createHash("sha256");
  const sources = readdirSync(folder).filter((file) => /\.(go|mod|sum)$/.test(file));
  for (const file of sources.sort()) digest.update(file).update(readFileSync(join(folder, file)));
  digest.update(flags.join(" "));
  const version = versionOf(name);
  return join(cacheFolder(), `${name}-${version}`, `${name}-${digest.digest("hex").slice(0, 12)}`);
}

function versionOf(name: GoProgram): string {
  const text = readFileSync(join(modules, name, "go.mod"), "utf8");
  const version = text
    .split(/\s+/)
    .find((_, i, words) => words[i - 1] === programs[name].module && /^v\d/.test(words[i] ?? ""));
  if (version === undefined) throw new Error(`services/${name}/go.mod does not pin ${programs[name].module}`);
  return version.slice(1);
}

async function build(name: GoProgram, path: string): Promise<void> {
  const title = `${name} ${versionOf(name)}`;
  const began = performance.now();
  const seconds = (): string => `${Math.round((performance.now() - began) / 1000)} s`;
  say(`building ${title}, once for this machine; it takes about a minute ...`);
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true });
  // Whoever left something unfinished here is gone: the lock is ours. Finished ones of other checkouts stay.
  for (const file of readdirSync(folder)) if (file.endsWith(".unfinished")) rmSync(join(folder, file));
  const unfinished = `${path}.${process.pid}.unfinished`;
  const child = Bun.spawn(["go", "build", "-v", ...flags, "-o", unfinished, programs[name].package], {
    cwd: join(modules, name),
    // Without cgo no C compiler is needed and the result runs on any Linux. A workspace around the checkout is not ours.
    env: { ...process.env, CGO_ENABLED: "0", GOWORK: "off" },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const said: string[] = [];
  const progress = setInterval(() => say(`building ${title}: ${said.length} packages, ${seconds()}`), progressEveryMs);
  try {
    for await (const line of linesOf(child.stderr)) said.push(line);
    if ((await child.exited) !== 0)
      throw new Unavailable(`${title} could not be built:\n${said.slice(-15).join("\n")}`);
    renameSync(unfinished, path);
    say(`built ${title} in ${seconds()}`);
  } finally {
    clearInterval(progress);
    rmSync(unfinished, { force: true });
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}
