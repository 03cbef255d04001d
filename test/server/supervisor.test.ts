// `parley serve --nodes N` with real processes and a real NATS server: one port, restarts, rolling restart, and the end of each.
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWith, startNats } from "../services/services";
import { Command } from "./command";
import { Supervised } from "./supervised";

const names = ["node-1", "node-2", "node-3"];

/** How many of the nodes took some of so many requests to the shared port, each over a connection of its own. */
async function takers(supervised: Supervised, requests: number): Promise<number> {
  const body = JSON.stringify({ user: "alice" });
  const headers = { "content-type": "application/json", connection: "close" };
  for (let asked = 0; asked < requests; asked++) {
    const answer = await fetch(`${supervised.url}/v1/demo/token`, { method: "POST", body, headers, keepalive: false });
    expect(answer.status).toBe(200);
  }
  const figures = await Promise.all(
    names.map(async (node) => (await fetch(`${supervised.adminUrl(node)}/metrics`)).text()),
  );
  return figures.filter((text) => text.includes(`parley_http_request_seconds_count{route="/v1/demo/token"`)).length;
}

describeWith("own nats", "nodes of one machine behind one port", () => {
  test("share connections, come back from a crash and from standing still, are renewed one by one, and end in turn", async () => {
    await using nats = await startNats();
    await using supervised = new Supervised(3, { PARLEY_NATS: nats.uri });
    await supervised.ready(names);
    expect(await takers(supervised, 60)).toBe(3);
    expect((await fetch(`${supervised.url}/metrics`)).status).toBe(404);

    let since = supervised.lines.length;
    process.kill(supervised.pid("node-2"), "SIGKILL");
    const crash = await supervised.line(({ msg }) => msg.startsWith("a node crashed"), since);
    expect([crash.node, crash.signal, crash.inARow]).toEqual(["node-2", "SIGKILL", 1]);
    await supervised.ready(["node-2"], since);

    since = supervised.lines.length;
    process.kill(supervised.pid("node-3"), "SIGSTOP");
    const kill = await supervised.line(({ msg }) => msg === "a node is killed", since);
    expect([kill.node, kill.why]).toEqual(["node-3", "silent for 3000 ms"]);
    await supervised.ready(["node-3"], since);

    since = supervised.lines.length;
    supervised.signal("SIGHUP");
    await supervised.line(({ msg }) => msg === "a rolling restart is done", since);
    const steps = supervised.lines.slice(since).filter(({ msg }) => /^a node (ended|was started|listens)$/.test(msg));
    const order = [...new Set(steps.map(({ node }) => node))];
    expect(order.toSorted()).toEqual(names);
    expect(steps.map(({ node, msg }) => `${node} ${msg}`)).toEqual(
      order.flatMap((node) => ["ended", "was started", "listens"].map((what) => `${node} a node ${what}`)),
    );

    since = supervised.lines.length;
    supervised.signal("SIGTERM");
    expect(await supervised.exited()).toBe(0);
    const ends = supervised.lines.slice(since).filter(({ msg }) => msg === "a node ended");
    expect(ends.map(({ node, code }) => [node, code])).toEqual(names.map((node) => [node, 0]));
  }, 120_000);

  test("say why they cannot start, again and again, and the others go on", async () => {
    await using nats = await startNats();
    const folder = mkdtempSync(join(tmpdir(), "parley-supervisor-"));
    const file = join(folder, "parley.json");
    writeFileSync(file, "{}");
    await using supervised = new Supervised(2, { PARLEY_NATS: nats.uri, PARLEY_CONFIG: file });
    await supervised.ready(["node-1", "node-2"]);
    writeFileSync(file, `{ "drainMs": "soon" }`);
    const since = supervised.lines.length;
    supervised.signal("SIGHUP");
    const again = await supervised.line(({ inARow }) => inARow === 2, since);
    expect([again.node, again.code, again.said]).toEqual(["node-1", 2, expect.stringContaining("drainMs: given")]);
    expect((await fetch(`${supervised.adminUrl("node-2")}/readyz`)).status).toBe(200);
    supervised.signal("SIGINT");
    expect(await supervised.exited()).toBe(0);
    rmSync(folder, { recursive: true });
  }, 120_000);
});

test("without NATS there is one node at most", async () => {
  await using command = new Command(["serve", "--nodes", "2"], { PARLEY_PORT: "0" });
  const { code, err } = await command.finished();
  expect([code, err]).toEqual([
    2,
    expect.stringMatching(/^parley: --nodes: given 2; allowed: 1 without PARLEY_NATS: .+\n$/),
  ]);
});

test("a node whose supervisor is gone drains and ends by itself", async () => {
  await using supervised = new Supervised(1, {});
  await supervised.ready(["node-1"]);
  const since = supervised.lines.length;
  supervised.signal("SIGKILL");
  // Its log goes on in the same stream, which ends when the last one that holds it does.
  await supervised.exited();
  const said = supervised.lines.slice(since).map(({ msg }) => msg);
  expect(said).toEqual(["the supervisor is gone: draining", "stopped"]);
}, 30_000);

test("a node without NATS whose data another server takes over ends all with code 3, as that server's would", async () => {
  await using first = new Supervised(1, {});
  await first.ready(["node-1"]);
  await using second = new Supervised(1, { PARLEY_DATA_DIR: join(first.folder, "data") });
  await second.ready(["node-1"]);
  expect(await first.exited()).toBe(3);
  expect(first.errors).toMatch(/\nparley: another server opened the same data and took over; this one has stopped\n$/);
}, 30_000);

test("a port that others listen on is refused, though a node could share it", async () => {
  await using first = new Supervised(1, {});
  await first.ready(["node-1"]);
  const { port } = new URL(first.url);
  await using second = new Supervised(1, { PARLEY_PORT: port });
  expect(await second.exited()).toBe(1);
  expect(second.errors).toContain(`port ${port} of 127.0.0.1 is in use`);
  first.signal("SIGTERM");
  expect(await first.exited()).toBe(0);
}, 30_000);
