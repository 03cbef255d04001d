// Every figure that a server gives, with its labels, as Prometheus sees them. Owned by the tests of alerts and dashboard.
import { createMetrics } from "../../src/lib/metrics";

/** Labels by name of series; histograms appear as `_bucket`, `_sum` and `_count`. */
export type Figures = ReadonlyMap<string, ReadonlySet<string>>;

/** What Prometheus itself adds to every series, and the series that it makes. */
const added = ["instance", "job"];
const ofPrometheus: readonly (readonly [string, readonly string[]])[] = [
  ["up", []],
  ["ALERTS", ["alertname", "alertstate", "severity"]],
];

/** The figures of a server that has done a bit of everything, so that each has all its labels. */
export async function listFigures(): Promise<Figures> {
  const figures = new Map(ofPrometheus.map(([name, labels]) => [name, new Set([...labels, ...added])]));
  for (const line of (await exercise()).split("\n")) {
    const [, name, labels = ""] = /^(\w+)(?:\{(.*)\})? /.exec(line) ?? [];
    if (name === undefined) continue;
    const names = [...labels.matchAll(/(\w+)="/g)].map((match) => match[1] as string);
    figures.set(name, new Set([...(figures.get(name) ?? added), ...names]));
  }
  return figures;
}

/** Calls every recording function once: their arguments are texts, which become labels, and numbers. */
async function exercise(): Promise<string> {
  const metrics = createMetrics();
  const figures = { active: 0, waiting: 0, deepest: 0 };
  metrics.observeGauges(() => ({
    sessions: 0,
    connections: 0,
    actors: { user: figures },
    asksWaiting: 0,
    storeWritable: true,
    cacheReady: true,
    ready: true,
    turnsWaiting: 0,
    walBytes: 0,
    cluster: {
      ...{ natsConnected: true, natsConnections: 1, natsBytesWaiting: 0, natsRefused: 0 },
      ...{ members: 1, unowned: 0, phases: { owned: 256 }, featureLevel: 1 },
    },
  }));
  const { contentType: _, expose, observeGauges: __, ...record } = metrics;
  for (const one of Object.values(record)) {
    // Which argument is a text and which a number is not known here: a label takes either, an amount only a number.
    (one as (...values: readonly number[]) => void)(1, 1, 1);
  }
  return expose();
}
