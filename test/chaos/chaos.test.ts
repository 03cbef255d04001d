// A short chaos run over SQLite: three nodes on one NATS server, one fault of each kind of thing that can be harmed. Longer ones
// are `npm run chaos`; what such runs found is in docs/chaos.md. That the checker can tell is shown by controls.test.ts.
import { expect, test } from "bun:test";
import { describeViolation } from "../history/checker";
import { describeWith } from "../services/services";
import { runChaos } from "./run";
import { allFaults } from "./schedule";

const seed = Number(process.env["CHAOS_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

/** Of everything that can be harmed, what takes the least time. */
const quick = [
  "kill between commit and ack",
  "kill between ack and fan-out",
  "drain and rejoin",
  "stop amid a commit, supervised",
  "clock an hour ahead",
  "another process holds the store",
  "kill a NATS server",
  "connections to NATS cut",
  "half of the clients reconnect",
];

describeWith("own nats", "three nodes over SQLite", () => {
  test(`keep every promise while everything around them is harmed (CHAOS_SEED=${seed})`, async () => {
    const { violations, surprises, outcome } = await runChaos({
      store: "sqlite",
      nodes: 3,
      nats: 1,
      minutes: 0,
      seed,
      faults: allFaults.filter(({ name }) => quick.includes(name)),
      historyFile: process.env["CHAOS_HISTORY"] ?? null,
      supervised: true,
      rate: 300,
      faultsMin: 0,
      ackedMin: 0,
      perChapter: 12,
      together: true,
      say: () => undefined,
    });

    expect(violations.map(describeViolation)).toEqual([]);
    expect(surprises).toEqual([]);
    expect(Object.keys(outcome.faults).sort()).toEqual([...quick].sort());
    expect(outcome.acked).toBeGreaterThan(1_000);
  }, 180_000);
});
