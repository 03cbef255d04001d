// Finds the servers that come as Debian packages, and installs them where this process may: as root, with apt.
// Nobody is asked for a password, and no daemon that a package would start is left running.
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { say, Unavailable } from "./catalog";
import { cacheFolder } from "./go-program";
import { alone } from "./lock";

/** Debian asks this program whether a package may start its daemon; 101 says no. Absent on most machines. */
const policy = "/usr/sbin/policy-rc.d";

/** Where Debian keeps each major version of PostgreSQL, apart from the search path. */
const postgresVersions = "/usr/lib/postgresql";

/** A server that comes as a package. */
export type DebianProgram = "redis-server" | "postgresql";

const finders: Readonly<Record<DebianProgram, () => string | null>> = {
  "redis-server": () => Bun.which("redis-server"),
  postgresql: findPostgres,
};

/**
 * The path of `redis-server`, or the folder with `postgres` and `initdb`; installs the package of that name first where it
 * is missing. Throws {@link Unavailable} where that cannot be done.
 */
export async function debianProgram(name: DebianProgram): Promise<string> {
  const find = finders[name];
  const found = find();
  if (found !== null) return found;
  const reason = whyNoDebianProgram(name);
  if (reason !== null) throw new Unavailable(reason);
  mkdirSync(cacheFolder(), { recursive: true });
  await alone(cacheFolder(), async () => {
    if (find() === null) await install(name);
  });
  const path = find();
  if (path === null)
    throw new Unavailable(`the package ${name} was installed, but its program is not where it should be`);
  return path;
}

/** Why this program cannot be had, or null where it is installed or can be. */
export function whyNoDebianProgram(name: DebianProgram): string | null {
  if (finders[name]() !== null) return null;
  if (Bun.which("apt-get") === null) return `${name} is not installed, and there is no apt here to install it with`;
  if (process.getuid?.() !== 0) return `${name} is not installed: as root, apt-get install ${name}`;
  return null;
}

function findPostgres(): string | null {
  const newestFirst = existsSync(postgresVersions)
    ? readdirSync(postgresVersions).sort((a, b) => Number(b) - Number(a))
    : [];
  const folders = newestFirst.map((version) => join(postgresVersions, version, "bin"));
  const onPath = Bun.which("initdb");
  if (onPath !== null) folders.push(join(onPath, ".."));
  return folders.find((folder) => ["postgres", "initdb"].every((file) => existsSync(join(folder, file)))) ?? null;
}

async function install(name: DebianProgram): Promise<void> {
  say(`installing the Debian package ${name} ...`);
  const hush = !existsSync(policy);
  if (hush) writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    const options = "-qq -o DPkg::Lock::Timeout=300";
    const command = `apt-get ${options} update && apt-get ${options} install -y --no-install-recommends ${name}`;
    const run = Bun.spawn(["sh", "-c", command], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    });
    const [out, err, code] = await Promise.all([
      new Response(run.stdout).text(),
      new Response(run.stderr).text(),
      run.exited,
    ]);
    if (code !== 0) throw new Unavailable(`${name} could not be installed:\n${`${out}${err}`.trim().slice(-2_000)}`);
  } finally {
    if (hush) rmSync(policy, { force: true });
  }
}
