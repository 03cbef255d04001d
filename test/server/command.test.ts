// The command `parley`, as a process: what it prints, what it ends with, and that data goes out and comes back whole.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, nodeProgram } from "./command";
import type { Finished } from "./command";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "parley-command-"));
});
afterAll(() => rm(folder, { recursive: true }));

const secret = "the secret of these tests, of thirty-two bytes and more";

function settingsOf(name: string, more: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  return { PARLEY_DATA_DIR: join(folder, name), PARLEY_PORT: "0", PARLEY_LOG_FORMAT: "json", ...more };
}

async function run(args: readonly string[], environment: Readonly<Record<string, string>>): Promise<Finished> {
  await using command = new Command(args, environment);
  return await command.finished();
}

/** A server as a process; answers its address. */
async function serve(environment: Readonly<Record<string, string>>): Promise<readonly [Command, string]> {
  const server = new Command(["serve"], environment);
  const line = await server.line(/is ready at/);
  return [server, /http:\S+/.exec(line)?.[0] ?? ""];
}

describe("configuration", () => {
  test("is shown with its secrets masked, with the variable of each setting", async () => {
    const environment = settingsOf("config", { PARLEY_AUTH_SECRET: secret, PARLEY_ACTORS_IDLE_MS: "1234" });
    const { code, out } = await run(["config"], environment);
    expect(code).toBe(0);
    expect(out).toMatch(/^PARLEY_AUTH_SECRET +auth\.secret = "\*\*\*"$/m);
    expect(out).toMatch(/^PARLEY_ACTORS_IDLE_MS +actors\.idleMs = 1234$/m);
    expect(out).not.toContain(secret);
  });

  test("as JSON is a configuration file", async () => {
    const { out } = await run(["config", "--json"], settingsOf("config"));
    const file = join(folder, "parley.json");
    await writeFile(file, out);
    const again = await run(["config", "--json", "--config", file], {});
    expect(JSON.parse(again.out)).toEqual(JSON.parse(out));
  });

  test("that is wrong stops every command with one line and code 2", async () => {
    const said = 'parley: PARLEY_PORT: given "no"; allowed: a whole number from 0 to 65535\n';
    for (const args of [["serve"], ["config"], ["token", "alice"], ["backup", "x"]]) {
      expect(await run(args, settingsOf("wrong", { PARLEY_PORT: "no" }))).toEqual({ code: 2, out: "", err: said });
    }
  });

  test("that opens the door to everybody stops the start with the fix", async () => {
    const { code, err } = await run(["serve"], settingsOf("open", { PARLEY_HOST: "0.0.0.0" }));
    expect([code, err.trim().split("\n").length]).toEqual([1, 1]);
    expect(err).toContain("set PARLEY_AUTH_SECRET");
  });

  test("a file that is not there is named", async () => {
    const { code, err } = await run(["config", "--config", "/nowhere/parley.json"], {});
    expect([code, err.startsWith("parley: /nowhere/parley.json: cannot be read")]).toEqual([2, true]);
  });
});

describe("arguments", () => {
  test("that are unknown or missing end with code 2, help with 0", async () => {
    expect((await run(["serve", "--prot", "1"], {})).code).toBe(2);
    expect((await run(["send", "@bob"], {})).code).toBe(2);
    expect((await run(["dance"], {})).code).toBe(2);
    const port = await run(["serve", "--port", "no"], {});
    expect(port).toEqual({
      code: 2,
      out: "",
      err: `parley: --port: given "no"; allowed: a whole number from 0 to 65535\n`,
    });
    expect((await run(["token", "two words"], settingsOf("arguments"))).code).toBe(2);
    expect((await run(["token", "alice", "--ttl", "soon"], settingsOf("arguments"))).code).toBe(2);
    expect((await run(["history", "@bob", "--limit", "0"], settingsOf("arguments"))).code).toBe(2);
    const help = await run(["--help"], {});
    expect([help.code, help.out.includes("Exit codes")]).toEqual([0, true]);
  });

  test("a command that finds no server ends with code 4", async () => {
    const { code, err } = await run(
      ["send", "@bob", "x", "--url", "http://127.0.0.1:1", "--wait", "1s"],
      settingsOf("unreachable"),
    );
    expect([code, err.includes("is the server running?")]).toEqual([4, true]);
  });
});

test("a token says whose it is and until when, and a key that lives elsewhere makes none", async () => {
  const { code, out } = await run(
    ["token", "alice", "--ttl", "2h", "--json"],
    settingsOf("token", { PARLEY_AUTH_SECRET: secret }),
  );
  const { token, user, expiresAt } = JSON.parse(out) as { token: string; user: string; expiresAt: number };
  const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
  expect([code, user, claims.sub, claims.exp - claims.iat, claims.exp <= expiresAt]).toEqual([
    0,
    "alice",
    "alice",
    7200,
    true,
  ]);
  const jwks = { PARLEY_AUTH_JWKS_URL: "https://id.example/keys", PARLEY_AUTH_ALGORITHM: "ES256" };
  const refused = await run(["token", "alice"], settingsOf("token", jwks));
  expect([refused.code, refused.err.includes("identity provider")]).toEqual([1, true]);
});

describe("a server", () => {
  test("stops on SIGTERM, and on Ctrl-C however often it is pressed, with code 0", async () => {
    for (const signals of [["SIGTERM"], ["SIGINT", "SIGINT", "SIGTERM"]] as const) {
      const [server] = await serve(settingsOf("signals"));
      for (const signal of signals) server.signal(signal);
      const { code, out } = await server.finished();
      expect([code, out.includes(`"msg":"stopped"`)]).toEqual([0, true]);
    }
  });

  test("that still waits for its database stops on request, with code 0", async () => {
    const away = { PARLEY_STORE: "mongodb://127.0.0.1:1/parley", PARLEY_MONGODB_START_MS: "600000" };
    await using server = new Command(["serve"], settingsOf("waiting", away));
    await server.line(/trying again for up to 600 s/);
    server.signal("SIGTERM");
    const { code, out } = await server.finished();
    expect([code, out]).toEqual([0, expect.stringContaining("stopped before it was ready")]);
  });

  test("that is started by the package's bin under Node passes on signals and its code", async () => {
    await using server = new Command(["serve"], settingsOf("bin"), nodeProgram);
    await server.line(/is ready at/);
    server.signal("SIGTERM");
    expect((await server.finished()).code).toBe(0);
  });

  test("whose data another one takes over ends with code 3 and says so", async () => {
    const [first] = await serve(settingsOf("fenced"));
    const [second] = await serve(settingsOf("fenced"));
    const { code, err } = await first.finished();
    expect([code, err.includes("another server opened the same data and took over")]).toEqual([3, true]);
    second.signal("SIGTERM");
    expect((await second.finished()).code).toBe(0);
  });
});

test("messages go in, are followed, and come back from a backup that was made while the server ran", async () => {
  const environment = settingsOf("messages");
  const [server, url] = await serve(environment);
  await using _server = server;
  const as = (user: string, ...args: readonly string[]) => [...args, "--as", user, "--url", url];
  await using tail = new Command(as("bob", "tail", "--json"), environment);
  await tail.line(/following/);

  const sent = await run(as("alice", "send", "@bob", "first \u001b[31mred", "--json"), environment);
  expect(sent.code).toBe(0);
  const { conversation, seq } = JSON.parse(sent.out) as { conversation: string; seq: number };
  const followed = JSON.parse(await tail.line(/"kind":"message"/));
  expect(followed).toMatchObject({ conversation, seq, sender: "alice" });
  tail.signal("SIGINT");
  expect((await tail.finished()).code).toBe(0);

  const history = await run(as("bob", "history", conversation), environment);
  expect(history.out).toMatch(/ alice: first .\[31mred\n$/);
  expect(history.out).not.toContain("\u001b");
  const stranger = await run(as("carol", "history", conversation), environment);
  expect([stranger.code, stranger.out, stranger.err.includes("no_access")]).toEqual([1, "", true]);

  const untrusted = await run(["history", conversation, "--token", "no.such.token", "--url", url], environment);
  expect([untrusted.code, untrusted.err]).toEqual([1, `parley: ${url} refused the token: badToken\n`]);

  const file = join(folder, "copy.sqlite");
  expect((await run(["backup", file, "--json"], environment)).code).toBe(0);
  expect((await run(["backup", file], environment)).code).toBe(1);
  server.signal("SIGTERM");
  await server.finished();

  const elsewhere = settingsOf("restored");
  const restored = await run(["restore", file, "--json"], elsewhere);
  expect([restored.code, JSON.parse(restored.out).conversations]).toEqual([0, 1]);
  const refused = await run(["restore", file], elsewhere);
  expect([refused.code, refused.err.includes("--force")]).toEqual([1, true]);
  const [next, address] = await serve(elsewhere);
  await using _next = next;
  const again = await run(["history", conversation, "--as", "alice", "--url", address, "--json"], elsewhere);
  expect(JSON.parse(again.out)).toMatchObject({ seq, sender: "alice", text: "first \u001b[31mred" });
});
