import { expect, test } from "bun:test";
import { createMetrics, watchEventLoop } from "./metrics";

const figures = { active: 2, waiting: 5, deepest: 4 };

test("what is recorded is exposed, in seconds", async () => {
  const metrics = createMetrics();
  metrics.ackLatency(30);
  metrics.committed(12, 2);
  metrics.requestFailed("send", "forbidden");
  metrics.dropped("conversation_full", 3);
  const text = await metrics.expose();
  expect(text).toContain("parley_ack_seconds_sum 0.03");
  expect(text).toContain(`parley_ack_seconds_bucket{le="0.05"} 1`);
  expect(text).toContain(`parley_ack_seconds_bucket{le="0.02"} 0`);
  expect(text).toContain("parley_commit_rows_sum 12");
  expect(text).toContain(`parley_errors_total{operation="send",code="forbidden"} 1`);
  expect(text).toContain(`parley_dropped_total{what="conversation_full"} 3`);
});

const cluster = {
  ...{ natsConnected: true, natsConnections: 3, natsBytesWaiting: 4, natsRefused: 0 },
  ...{ members: 5, unowned: 0, phases: { owned: 200, away: 56 }, featureLevel: 1 },
};
const alone = {
  ...{ sessions: 0, connections: 0, actors: {}, asksWaiting: 0, storeWritable: true, cacheReady: true },
  ...{ ready: true, turnsWaiting: 0, walBytes: null, cluster: null },
};

test("a node of a cluster shows its part in it; a server that is alone shows none of that", async () => {
  const metrics = createMetrics();
  let now: typeof cluster | null = cluster;
  metrics.observeGauges(() => ({ ...alone, turnsWaiting: 7, walBytes: now && 4096, cluster: now }));
  metrics.handedOff(30);
  metrics.attempted("silent");
  metrics.fannedOut("all", 12, 3000);
  const together = await metrics.expose();
  for (const line of [
    ...["parley_ready 1", "parley_turns_waiting 7", "parley_wal_bytes 4096", "parley_nats_connected 1"],
    ...["parley_cluster_members 5", "parley_partitions_unowned 0", `parley_partitions{phase="owned"} 200`],
    ...[`parley_node_requests_total{outcome="silent"} 1`, `parley_fanout_bytes_total{target="all"} 3000`],
    `parley_handoff_seconds_sum 0.03`,
  ]) {
    expect(together.split("\n")).toContain(line);
  }
  now = null;
  const lonely = await metrics.expose();
  for (const name of ["nats_connected", "cluster_members", "partitions_unowned", "wal_bytes"]) {
    expect(lonely).not.toMatch(new RegExp(`^parley_${name} `, "m"));
  }
});

test("gauges are read when they are asked for", async () => {
  const metrics = createMetrics();
  let sessions = 1;
  metrics.observeGauges(() => ({
    ...alone,
    sessions,
    connections: 3,
    actors: { conversation: figures, user: undefined },
    asksWaiting: 6,
    storeWritable: false,
    cacheReady: false,
  }));
  sessions = 2;
  const text = await metrics.expose();
  expect(text).toContain("parley_sessions 2");
  expect(text).toContain("parley_store_writable 0");
  expect(text).toContain(`parley_mailbox_deepest{kind="conversation"} 4`);
  expect(text).toContain(`parley_mailbox_deepest{kind="user"} 0`);
});

test("two servers in one process do not count for each other", async () => {
  const [one, other] = [createMetrics(), createMetrics()];
  one.signedIn();
  expect(await other.expose()).toContain("parley_sign_ins_total 0");
});

test("a blocked event loop shows as lag", async () => {
  const { promise, resolve } = Promise.withResolvers<number>();
  const stop = watchEventLoop((ms) => ms > 20 && resolve(ms), 1);
  // The timer is set before, so it fires late by as long as this takes.
  Bun.sleepSync(50);
  expect(await promise).toBeGreaterThan(20);
  stop();
});
