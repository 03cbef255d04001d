// `parley nodes` and `parley drain` as processes, against a server that answers as a node would.
import { afterAll, expect, test } from "bun:test";
import { Command } from "./command";

const secret = "the operator's secret, of more than thirty-two bytes".replaceAll(" ", "-");
const report = {
  ...{ name: "node-1", host: "here", version: "1.2.3", uptimeSeconds: 7300, state: "ready", ready: true, reason: null },
  ...{ adminUrl: "http://127.0.0.1:7701", featureLevel: 2, natsConnected: true, sessions: 40, connections: 41 },
  ...{ actors: 12, asksWaiting: 0, lagMs: 3 },
  owned: [
    [0, 7],
    [5, 9],
  ],
};
const away = { ...report, name: "node-2", ready: false, natsConnected: false, reason: "254 partitions have no owner" };

/** Looks of a drain before the node owns nothing any more. */
const looks = { left: 2 };

function nodes(): readonly object[] {
  const drained = { ...report, name: "node-3", state: "drained", ready: false, reason: "drained", owned: [] };
  const draining = { ...drained, state: "draining", reason: "draining", owned: [[1, 1]] };
  return [
    { id: "one", claims: 2, report },
    { id: "two", claims: 0, report: { ...away, owned: [] } },
    looks.left > 0 ? { id: "three", claims: 1, report: draining } : { id: "three", claims: 0, report: drained },
    { id: "lost", claims: 4, report: null },
  ];
}

function answer(request: Request): Response {
  const { pathname } = new URL(request.url);
  const error = (code: string, message: string, outcome: string, status: number): Response =>
    Response.json({ error: { code, message, outcome, retryAfterMs: null, details: null } }, { status });
  if (request.headers.get("authorization") !== `Bearer ${secret}`) return error("bad_token", "no", "final", 401);
  if (pathname === "/v1/nodes") {
    looks.left -= 1;
    return Response.json({ self: "one", unclaimed: 249, nodes: nodes() });
  }
  if (pathname === "/v1/nodes/here%2Fnode-3/drain") return Response.json({ id: "three" }, { status: 202 });
  if (pathname === "/v1/nodes/hung/drain") return error("outcome_unknown", "the node did not answer", "unknown", 504);
  return error("unknown_operation", "there is no node", "final", 404);
}

const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answer });
afterAll(() => server.stop(true));

async function run(...args: readonly string[]) {
  await using command = new Command(args, { PARLEY_URL: server.url.origin, PARLEY_ADMIN_SECRET: secret });
  return await command.finished();
}

test("nodes are listed a line each, also those that do not answer", async () => {
  looks.left = 2;
  const { code, out } = await run("nodes");
  expect(code).toBe(0);
  expect(out.split("\n").map((line) => line.replaceAll(/ {2,}/g, "|"))).toEqual([
    "NODE|ID|STATE|OWNS|CLAIMS|EPOCH|SESSIONS|ACTORS|WAITING|LAG|LEVEL|VERSION|UP|HOST|OWN ADDRESS",
    "node-1|one|ready|2|2|9|40|12|0|3 ms|2|1.2.3|2 h|here|http://127.0.0.1:7701",
    "node-2|two|ready, 254 partitions have no owner, no NATS|0|0|-|40|12|0|3 ms|2|1.2.3|2 h|here|http://127.0.0.1:7701",
    "node-3|three|draining|1|1|1|40|12|0|3 ms|2|1.2.3|2 h|here|http://127.0.0.1:7701",
    "?|lost|silent|?|4",
    "7 partitions claimed, 249 by nobody; 1 did not answer",
    "",
  ]);
  const json = await run("nodes", "--json");
  const { self, nodes: listed } = JSON.parse(json.out);
  expect([self, listed[0]]).toEqual(["one", { id: "one", claims: 2, report }]);
});

test("a drain ends when it has begun, or with --wait when the node owns nothing any more", async () => {
  looks.left = 2;
  expect(await run("drain", "here/node-3")).toEqual({ code: 0, out: "three: draining\n", err: "" });
  expect(looks.left).toBe(2);
  const { out } = await run("drain", "here/node-3", "--wait", "--json");
  expect([JSON.parse(out), looks.left]).toEqual([{ id: "three", state: "drained" }, 0]);
});

test("what is refused says why: for good with code 1, to be repeated with code 4", async () => {
  expect(await run("drain", "nobody")).toEqual({
    ...{ code: 1, out: "" },
    err: "parley: unknown_operation: there is no node\n",
  });
  expect((await run("drain", "hung")).code).toBe(4);
  expect((await run("nodes", "--token", "wrong")).code).toBe(1);
  const nowhere = await run("nodes", "--url", "http://127.0.0.1:1");
  expect([nowhere.code, nowhere.err]).toEqual([4, expect.stringContaining("is the server running?")]);
});
