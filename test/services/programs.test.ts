// How servers are had: built once and whole, by one process at a time; left out by name where a machine cannot have them;
// and gone with whoever started them. A small stand-in for Go plays the builds.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { accepts } from "../../scripts/services/daemon";
import { describeWith } from "./services";

const root = join(import.meta.dir, "../..");

/** Writes half a program, waits to be let on where the test asked for that, and ends as the test wants. */
const standIn = `#!/bin/sh
while [ "$1" != -o ]; do shift; done
echo "began" >> "$LOG"
printf '#!/bin/sh\\n' > "$2"
while [ -e "$HOLD" ]; do sleep 0.02; done
echo "ended" >> "$LOG"
echo "what the compiler says" >&2
chmod +x "$2"
exit "$CODE"
`;

/** A cache, a log of builds, and a folder with the stand-in as the only Go on the search path. */
class Machine implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "parley-machine-"));

  constructor(has: "go" | "nothing") {
    mkdirSync(join(this.folder, "bin"));
    if (has === "nothing") return;
    writeFileSync(join(this.folder, "bin/go"), standIn);
    chmodSync(join(this.folder, "bin/go"), 0o755);
  }

  get built(): readonly string[] {
    const cache = join(this.folder, "cache/parley");
    if (!existsSync(cache)) return [];
    return readdirSync(cache, { recursive: true, encoding: "utf8" }).filter((name) => /nats-server-[^/]+\//.test(name));
  }

  get log(): readonly string[] {
    const file = join(this.folder, "log");
    return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
  }

  /** Has nats-server made ready, as another process would. */
  build(code = 0, hold = ""): Bun.Subprocess<"ignore", "pipe", "pipe"> {
    const program = `const { goProgram } = await import(${JSON.stringify(join(root, "scripts/services/go-program.ts"))});
      console.log(await goProgram("nats-server").catch((error) => error.name + ": " + error.message));`;
    return this.run(["-e", program], { CODE: String(code), HOLD: hold });
  }

  run(args: readonly string[], environment: Record<string, string> = {}): Bun.Subprocess<"ignore", "pipe", "pipe"> {
    const { folder } = this;
    const path = [join(folder, "bin"), ...(existsSync(join(folder, "bin/go")) ? ["/usr/bin", "/bin"] : [])].join(":");
    const base = {
      PATH: path,
      HOME: folder,
      TMPDIR: folder,
      XDG_CACHE_HOME: join(folder, "cache"),
      LOG: join(folder, "log"),
    };
    return Bun.spawn([process.execPath, ...args], {
      cwd: root,
      env: { ...base, ...environment },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function said(
  child: Bun.Subprocess<"ignore", "pipe", "pipe">,
): Promise<{ out: string; err: string; code: number }> {
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { out: out.trim(), err, code: await child.exited };
}

test("a program is built once and then found", async () => {
  using machine = new Machine("go");
  const first = await said(machine.build());
  const second = await said(machine.build());
  expect([machine.log, machine.built.length]).toEqual([["began", "ended"], 1]);
  expect(second).toEqual({ out: first.out, err: "", code: 0 });
  expect(first.err).toContain("building nats-server 2.15.2");
});

test("a build that fails leaves nothing that counts, says why, and the next one begins anew", async () => {
  using machine = new Machine("go");
  const failed = await said(machine.build(1));
  expect([failed.out, machine.built]).toEqual([
    "Unavailable: nats-server 2.15.2 could not be built:\nwhat the compiler says",
    [],
  ]);
  await said(machine.build());
  expect(machine.built.length).toBe(1);
});

test("a build whose process is killed does not count, and does not keep the next one waiting", async () => {
  using machine = new Machine("go");
  const hold = join(machine.folder, "hold");
  writeFileSync(hold, "");
  const killed = machine.build(0, hold);
  while (!machine.log.includes("began")) await new Promise((resolve) => setImmediate(resolve));
  expect(machine.built.map((name) => name.endsWith(".unfinished"))).toEqual([true]);
  killed.kill("SIGKILL");
  await killed.exited;
  rmSync(hold);
  const { out } = await said(machine.build());
  expect(machine.built.map((name) => join(machine.folder, "cache/parley", name))).toEqual([out]);
});

test("two processes that want it at once make one build", async () => {
  using machine = new Machine("go");
  const hold = join(machine.folder, "hold");
  writeFileSync(hold, "");
  const first = machine.build(0, hold);
  while (!machine.log.includes("began")) await new Promise((resolve) => setImmediate(resolve));
  const second = machine.build();
  const reader = second.stderr.getReader();
  expect(new TextDecoder().decode((await reader.read()).value)).toContain("another build is under way");
  rmSync(hold);
  expect(await new Response(second.stdout).text()).toBe(await new Response(first.stdout).text());
  expect(machine.log).toEqual(["began", "ended"]);
});

test("without Go and apt every server is left out by name, with what is missing", async () => {
  using machine = new Machine("nothing");
  const { err } = await said(machine.run(["scripts/services.ts", "--ephemeral", "nats", "mongodb"]));
  expect(err).toContain("nats is left out: nats-server is built with Go, which is not installed");
  expect(err).toContain("mongodb is left out: ferretdb is built with Go, which is not installed");
});

test("a test run is told which servers it starts, and why others are missing; those of a person are left alone", async () => {
  using machine = new Machine("nothing");
  const given = { PARLEY_TEST_MONGODB: "mongodb://example.invalid", PARLEY_TEST_REDIS: "redis://example.invalid" };
  const { out } = await said(machine.run(["scripts/services.ts", "--for-tests"], given));
  expect(JSON.parse(out)).toEqual({
    environment: {},
    missing: { nats: "nats-server is built with Go, which is not installed" },
  });
});

test("a name that is no service is refused with those that are", async () => {
  using machine = new Machine("nothing");
  expect(await said(machine.run(["scripts/services.ts", "mysql"]))).toEqual({
    out: "",
    err: "parley: there is no service mysql; there are nats, mongodb, redis\n",
    code: 2,
  });
});

/** Runs a suite that needs NATS in a test process of its own. */
async function runSuite(environment: Record<string, string>): Promise<{ err: string; code: number }> {
  using machine = new Machine("nothing");
  const file = join(machine.folder, "suite.test.ts");
  writeFileSync(
    file,
    `import { expect, test } from "bun:test";
     import { describeWith } from ${JSON.stringify(join(import.meta.dir, "services.ts"))};
     test("needs nothing", () => expect(1).toBe(1));
     describeWith("nats", "a suite that needs NATS", () => test("runs", () => expect(2).toBe(2)));`,
  );
  return await said(machine.run(["test", file], environment));
}

test("a suite whose server cannot be had is skipped by name, with the reason", async () => {
  const { err, code } = await runSuite({ PARLEY_TEST_MISSING: `{"nats":"no compiler here"}` });
  expect(err).toContain("parley: skipped: a suite that needs NATS (no compiler here)");
  expect([err.includes("1 skip"), err.includes("1 pass"), code]).toEqual([true, true, 0]);
});

test("on CI the same suite fails, with the reason", async () => {
  const { err, code } = await runSuite({ CI: "true" });
  expect(err).toContain("this suite cannot run: nats-server is built with Go, which is not installed");
  expect([err.includes("1 fail"), code]).toEqual([true, 1]);
});

describeWith(["own redis", "own nats"], "npm run services", () => {
  test("prints the addresses to paste, and stops what it started on SIGTERM", async () => {
    const args = [process.execPath, "scripts/services.ts", "--ephemeral", "redis", "nats"];
    const services = Bun.spawn(args, { cwd: root, stdout: "pipe", stderr: "pipe" });
    const { value } = await services.stdout.getReader().read();
    const lines = new TextDecoder().decode(value).trim().split("\n");
    expect(lines.map((line) => line.replace(/\d+'$/, "PORT'"))).toEqual([
      "export PARLEY_CACHE='redis://127.0.0.1:PORT'",
      "export PARLEY_TEST_REDIS='redis://127.0.0.1:PORT'",
      "export PARLEY_TEST_NATS='nats://127.0.0.1:PORT'",
    ]);
    const ports = lines.slice(1).map((line) => Number(/:(\d+)'/.exec(line)?.[1]));
    expect(await Promise.all(ports.map(accepts))).toEqual([true, true]);
    services.kill("SIGTERM");
    expect(await services.exited).toBe(0);
    expect(await Promise.all(ports.map(accepts))).toEqual([false, false]);
  });
});

describeWith("own redis", "servers of a process", () => {
  test("die with it, however it dies", async () => {
    const program = `const { startService } = await import("./scripts/services/start.ts");
      const service = await startService("redis", { logs: ${JSON.stringify(tmpdir())} });
      console.log(service.pid + " " + service.folder + " " + service.logs[0]);
      setInterval(() => undefined, 1_000);`;
    const owner = Bun.spawn([process.execPath, "-e", program], { cwd: root, stdout: "pipe", stderr: "inherit" });
    const { value } = await owner.stdout.getReader().read();
    const [pid = "", folder = "", log = ""] = new TextDecoder().decode(value).trim().split(" ");
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    owner.kill("SIGKILL");
    while (existsSync(`/proc/${pid}`)) await new Promise((resolve) => setImmediate(resolve));
    for (const left of [folder, log]) rmSync(left, { recursive: true, force: true });
  });
});
