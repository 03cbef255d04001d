// The standby of docker-compose.yml: it waits while the other server answers, takes over when that one is gone, and gives
// way when it is back.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { ServerProcess } from "../crash/server-process";
import { benchSecret } from "../../bench/tokens";
import { Command } from "./command";

const script = join(import.meta.dir, "../../scripts/standby.ts");
const main = join(import.meta.dir, "../../src/main.ts");
const everyMs = 20;

/** What the container runs: wait, then serve. */
function standBy(url: string, environment: Readonly<Record<string, string>>): Command {
  const command = `"$BUN" "${script}" ${url} ${everyMs} && exec "$BUN" "${main}" serve`;
  return new Command(["-c", command], { BUN: process.execPath, PARLEY_PORT: "0", ...environment }, ["sh"]);
}

test("a standby takes over when the other server is gone, and gives way when it is back", async () => {
  await using first = new ServerProcess({ PARLEY_AUTH_SECRET: benchSecret });
  await first.start();
  await using standby = standBy(`http://127.0.0.1:${first.port}`, {
    PARLEY_AUTH_SECRET: benchSecret,
    PARLEY_DATA_DIR: first.dataDir,
    PARLEY_LOG_FORMAT: "json",
  });
  const waiting = /http:\S+/.exec(await standby.line(/standing by/))?.[0];
  const states = ["/healthz", "/readyz", "/metrics", "/"].map(async (path) => (await fetch(waiting + path)).status);
  expect(await Promise.all(states)).toEqual([200, 503, 200, 503]);

  await standby.line(/ answers$/);
  await first.kill();
  await standby.line(/did not answer 5 times in a row/);
  const url = /http:\S+/.exec(await standby.line(/is ready at/))?.[0];
  expect((await fetch(`${url}/readyz`)).status).toBe(200);

  await first.start();
  expect((await standby.finished()).code).toBe(3);
});

test("a standby that never saw the other server waits longer before it takes over", async () => {
  const gone = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  const url = gone.url.origin;
  await gone.stop(true);
  await using command = new Command([script, url, "5"], { PARLEY_PORT: "0" }, [process.execPath]);
  const { code, out } = await command.finished();
  expect([code, out.trim().split("\n").at(-1)]).toEqual([0, `${url} did not answer 20 times in a row: taking over`]);
});

test("a standby without an address to watch says how it is used", async () => {
  for (const args of [[], ["nonsense"], ["http://127.0.0.1:1", "soon"]]) {
    await using command = new Command([script, ...args], {}, [process.execPath]);
    const { code, err } = await command.finished();
    expect([code, err.startsWith("usage:")]).toEqual([2, true]);
  }
});
