// The figures that the benches answer: what was required, what was aimed at, and how they are shown.

/** One line of a bench's outcome. `baseline` and `ratio` are null where the requirement is absolute. */
export interface Figure {
  readonly bench: string;
  readonly ours: number;
  readonly baseline: number | null;
  readonly unit: string;
  /** ours / baseline. */
  readonly ratio: number | null;
  readonly p99Ms: number | null;
  /** Microseconds of the server's CPU per operation: a delivery, a send, a sign-in, a read. */
  readonly cpuUsPerOp: number | null;
  /** Null where nothing is required: the figure says that it works, and what it costs. */
  readonly required: number | null;
  readonly aim: number | null;
  /** Whether `required` and `aim` are least or most ratios, or most of the unit. */
  readonly measuredAs: "ratio at least" | "ratio at most" | "at most" | "as it is";
  readonly reached: "aim" | "required" | "missed" | "measured";
  /** The load that gave the figure, where there were several. */
  readonly load: string | null;
}

/** The parts of a figure that its bench decides. */
export interface Found {
  readonly ours: number;
  readonly baseline?: number;
  readonly p99Ms?: number;
  readonly cpuUsPerOp?: number;
  readonly load?: string;
}

const ratio = "ratio at least";
const ratioMost = "ratio at most";
const most = "at most";
const asItIs = { required: null, aim: null, measuredAs: "as it is" } as const;

/** What each figure must reach; the table of docs/benchmarks.md. */
export const targets = {
  "fanout-1x1000": { unit: "deliveries/s", required: 1.5, aim: 4, measuredAs: ratio },
  "fanout-100x10": { unit: "deliveries/s", required: 0.5, aim: 0.8, measuredAs: ratio },
  "durable-room": { unit: "sends/s", required: 0.6, aim: 1.2, measuredAs: ratio },
  "durable-1000": { unit: "sends/s", required: 0.3, aim: 0.5, measuredAs: ratio },
  "latency-half-load": { unit: "ms p99", required: 20, aim: 10, measuredAs: most },
  "latency-lone": { unit: "ms p99", required: 5, aim: 2, measuredAs: most },
  memory: { unit: "KB/session", required: 8, aim: 5.5, measuredAs: most },
  connect: { unit: "sessions/s", required: 0.2, aim: 0.4, measuredAs: ratio },
  "history-page": { unit: "ms p99", required: 10, aim: 3, measuredAs: most },
  "sync-500": { unit: "ms p99", required: 50, aim: 15, measuredAs: most },
  "event-loop-lag": { unit: "ms p99", required: 20, aim: 8, measuredAs: most },
  "large-make": { unit: "s", ...asItIs },
  "large-feeds": { unit: "s", ...asItIs },
  "large-activation": { unit: "ms", ...asItIs },
  "large-ack": { unit: "ms p99", ...asItIs },
  "large-delivery": { unit: "CPU µs", ...asItIs },
  "large-marks": { unit: "marks/s", ...asItIs },
  "large-looked": { unit: "CPU µs a message", ...asItIs },
  failover: { unit: "ms", required: 1500, aim: 1000, measuredAs: most },
  "failover-worst": { unit: "ms", required: 2500, aim: 2000, measuredAs: most },
  handoff: { unit: "ms", required: 400, aim: 150, measuredAs: most },
  "cluster-cost": { unit: "CPU µs/send", required: 1.8, aim: 1.4, measuredAs: ratioMost },
  "cluster-fanout": { unit: "deliveries/CPU s", required: 0.6, aim: 0.8, measuredAs: ratio },
  storm: { unit: "s", required: 20, aim: 10, measuredAs: most },
  "storm-memory": { unit: "MB", required: 2, aim: 1.5, measuredAs: ratioMost },
  "placement-skew": { unit: "partitions", ...asItIs },
  "placement-writes": { unit: "writes/s", ...asItIs },
  "placement-moved": { unit: "partitions", ...asItIs },
  "placement-unowned": { unit: "ms", ...asItIs },
} as const satisfies Record<string, Pick<Figure, "unit" | "required" | "aim" | "measuredAs">>;

export type FigureName = keyof typeof targets;

/** A figure from what its bench found. */
export function figure(bench: FigureName, found: Found): Figure {
  const target = targets[bench];
  const baseline = found.baseline ?? null;
  const ratioOf = baseline === null ? null : found.ours / baseline;
  return {
    bench,
    ours: round(found.ours),
    baseline: baseline === null ? null : round(baseline),
    ratio: ratioOf === null ? null : round(ratioOf),
    p99Ms: found.p99Ms === undefined ? null : round(found.p99Ms),
    cpuUsPerOp: found.cpuUsPerOp === undefined ? null : round(found.cpuUsPerOp),
    ...target,
    reached: reachedBy(target, target.measuredAs.startsWith("ratio") ? (ratioOf ?? 0) : found.ours),
    load: found.load ?? null,
  };
}

function reachedBy({ required, aim, measuredAs }: (typeof targets)[FigureName], value: number): Figure["reached"] {
  if (measuredAs === "as it is") return "measured";
  const meets = (bound: number): boolean => (measuredAs === ratio ? value >= bound : value <= bound);
  if (meets(aim)) return "aim";
  return meets(required) ? "required" : "missed";
}

/** Figures as a table of Markdown. */
export function tableOf(figures: readonly Figure[]): string {
  const head = "| bench | load | ours | baseline | ratio | p99 ms | CPU µs/op | required | aim | reached |";
  const cell = (value: number | null): string => (value === null ? "" : value.toLocaleString("en"));
  const rows = figures.map((one) => {
    const values = [one.baseline, one.ratio, one.p99Ms, one.cpuUsPerOp, one.required, one.aim].map(cell).join(" | ");
    return `| \`${one.bench}\` | ${one.load ?? ""} | ${cell(one.ours)} ${one.unit} | ${values} | ${one.reached} |`;
  });
  return [head, "|---|---|---|---|---|---|---|---|---|---|", ...rows].join("\n");
}

function round(value: number): number {
  if (value >= 1000) return Math.round(value);
  return Math.round(value * 100) / 100;
}
