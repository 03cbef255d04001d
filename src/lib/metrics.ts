// What the server counts and measures, on a registry of its own. server.ts hands the recording functions to those who
// record, as their observers; nothing else imports prom-client.
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { clusterMetrics, registerClusterGauges } from "./cluster-metrics";
import type { ClusterFigures, ClusterMetrics, MakeCounter, MakeHistogram } from "./cluster-metrics";

/** Recording functions: cheap, never throwing; names follow the metric. */
export interface Metrics extends ClusterMetrics {
  /** Text of the exposition format, and its content type. */
  readonly contentType: string;
  expose(): Promise<string>;

  /** Values read at exposition time only; set once, by the composition. */
  observeGauges(read: () => GaugeValues): void;

  connectionOpened(): void;
  /** @param reason name of the close code, or `client` */
  connectionClosed(reason: string): void;
  signedIn(): void;
  signInFailed(code: string): void;
  requestDone(operation: string, ms: number): void;
  requestFailed(operation: string, code: string): void;
  sendsAcknowledged(count: number): void;
  /** From a send's arrival at its session to its acknowledgement, milliseconds. */
  ackLatency(ms: number): void;
  /** One commit of the store: rows (entries, cursors, feed rows) and milliseconds. */
  committed(rows: number, ms: number): void;
  actorFailed(kind: string): void;
  /** Something was refused or let go because a named limit was reached. */
  dropped(what: string, count?: number): void;
  slowConsumer(): void;
  danglingRecord(what: string): void;
  framesPublished(frames: number, bytes: number): void;
  eventLoopLag(ms: number): void;
  httpDone(route: string, status: number, ms: number): void;

  /** Answers taken from the cache, and those it did not have. */
  cacheRead(use: string, hits: number, misses: number): void;
  cacheFailed(reason: string, count: number): void;
  /** One round trip that was answered, milliseconds. */
  cacheAnswered(ms: number): void;
}

/** Figures of one kind of actor. */
export interface ActorFigures {
  readonly active: number;
  /** Messages waiting in all mailboxes, and in the fullest one. */
  readonly waiting: number;
  readonly deepest: number;
}

/** What is asked for at exposition. */
export interface GaugeValues {
  readonly sessions: number;
  readonly connections: number;
  /** By kind of actor; undefined where none was ever active. */
  readonly actors: Readonly<Record<string, ActorFigures | undefined>>;
  /** Requests that wait for an actor's answer. */
  readonly asksWaiting: number;
  readonly storeWritable: boolean;
  /** Whether calls to the cache go through. */
  readonly cacheReady: boolean;
  /** Whether new connections are welcome. */
  readonly ready: boolean;
  /** Sign-ins and syncs that wait for their turn. */
  readonly turnsWaiting: number;
  /** Bytes of the SQLite file's log; null where there is none. */
  readonly walBytes: number | null;
  /** Null: this server is alone. */
  readonly cluster: ClusterFigures | null;
}

const latencySeconds = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];
const commitSeconds = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1];
const rowBuckets = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

/** Metrics of one server; two servers in one process do not share them. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const counter = (name: string, help: string, ...labelNames: string[]) =>
    new Counter({ name: `parley_${name}`, help, labelNames, registers: [registry] });
  const histogram = (name: string, help: string, buckets: number[], ...labelNames: string[]) =>
    new Histogram({ name: `parley_${name}`, help, buckets, labelNames, registers: [registry] });
  // What all gauges of one exposition are read from is counted once for them.
  let now: GaugeValues | null = null;
  return {
    contentType: registry.contentType,
    expose() {
      now = null;
      return registry.metrics();
    },
    observeGauges: (read) => registerGauges(registry, () => (now ??= read())),
    ...sessionMetrics(counter, histogram),
    ...storeMetrics(counter, histogram),
    ...processMetrics(counter, histogram),
    ...cacheMetrics(counter, histogram),
    ...clusterMetrics(counter, histogram),
  };
}

function sessionMetrics(counter: MakeCounter, histogram: MakeHistogram) {
  const opened = counter("connections_opened_total", "WebSocket connections opened");
  const closed = counter("connections_closed_total", "WebSocket connections closed, by reason", "reason");
  const signIns = counter("sign_ins_total", "Sign-ins that succeeded");
  const signInFailures = counter("sign_in_failures_total", "Sign-ins refused, by error code", "code");
  const requests = histogram("request_seconds", "Time from a request to its reply", latencySeconds, "operation");
  const errors = counter("errors_total", "Requests answered with an error", "operation", "code");
  const sends = counter("sends_total", "Messages acknowledged");
  const acks = histogram("ack_seconds", "Time from a send's arrival to its acknowledgement", latencySeconds);
  const slow = counter("slow_consumers_total", "Connections closed because they read too slowly");
  const frames = counter("frames_published_total", "Frames handed to fan-out");
  const bytes = counter("frame_bytes_published_total", "Bytes of frames handed to fan-out, once per frame");
  return {
    connectionOpened: () => opened.inc(),
    connectionClosed: (reason: string) => closed.inc({ reason }),
    signedIn: () => signIns.inc(),
    signInFailed: (code: string) => signInFailures.inc({ code }),
    requestDone: (operation: string, ms: number) => requests.observe({ operation }, ms / 1000),
    requestFailed: (operation: string, code: string) => errors.inc({ operation, code }),
    sendsAcknowledged: (count: number) => sends.inc(count),
    ackLatency: (ms: number) => acks.observe(ms / 1000),
    slowConsumer: () => slow.inc(),
    framesPublished: (count: number, size: number) => {
      frames.inc(count);
      bytes.inc(size);
    },
  };
}

function storeMetrics(counter: MakeCounter, histogram: MakeHistogram) {
  const rows = histogram("commit_rows", "Rows in one commit", rowBuckets);
  const time = histogram("commit_seconds", "Time of one commit", commitSeconds);
  const dangling = counter("dangling_records_total", "Records skipped because their other end is gone", "what");
  return {
    committed: (count: number, ms: number) => {
      rows.observe(count);
      time.observe(ms / 1000);
    },
    danglingRecord: (what: string) => dangling.inc({ what }),
  };
}

function processMetrics(counter: MakeCounter, histogram: MakeHistogram) {
  const failed = counter("actors_failed_total", "Activations ended by a throw", "kind");
  const dropped = counter("dropped_total", "What was refused or let go at a limit", "what");
  const lag = histogram("event_loop_lag_seconds", "How late a timer of the event loop fired", latencySeconds);
  const http = histogram("http_request_seconds", "Time of HTTP requests", latencySeconds, "route", "status");
  return {
    actorFailed: (kind: string) => failed.inc({ kind }),
    dropped: (what: string, count = 1) => dropped.inc({ what }, count),
    eventLoopLag: (ms: number) => lag.observe(ms / 1000),
    httpDone: (route: string, status: number, ms: number) => http.observe({ route, status }, ms / 1000),
  };
}

function cacheMetrics(counter: MakeCounter, histogram: MakeHistogram) {
  const reads = counter("cache_reads_total", "Answers asked of the cache: hit or miss, by use", "use", "result");
  const failures = counter("cache_failures_total", "What the cache could not do, by reason", "reason");
  const time = histogram("cache_seconds", "Time of one round trip to the cache that was answered", commitSeconds);
  return {
    cacheRead: (use: string, hits: number, misses: number) => {
      reads.inc({ use, result: "hit" }, hits);
      reads.inc({ use, result: "miss" }, misses);
    },
    cacheFailed: (reason: string, count: number) => failures.inc({ reason }, count),
    cacheAnswered: (ms: number) => time.observe(ms / 1000),
  };
}

function registerGauges(registry: Registry, read: () => GaugeValues): void {
  const gauge = (name: string, help: string, value: (values: GaugeValues) => number | null) =>
    new Gauge({
      name: `parley_${name}`,
      help,
      registers: [registry],
      collect() {
        const now = value(read());
        if (now === null) this.remove();
        else this.set(now);
      },
    });
  const actorGauge = (name: string, help: string, value: (figures: ActorFigures) => number) =>
    new Gauge({
      name: `parley_${name}`,
      help,
      labelNames: ["kind"],
      registers: [registry],
      collect() {
        for (const [kind, figures] of Object.entries(read().actors)) this.set({ kind }, figures ? value(figures) : 0);
      },
    });
  gauge("sessions", "People's sessions signed in now", (values) => values.sessions);
  gauge("connections", "WebSocket connections now", (values) => values.connections);
  gauge("asks_waiting", "Requests that wait for an actor's answer", (values) => values.asksWaiting);
  gauge("store_writable", "1 while the store takes writes", (values) => (values.storeWritable ? 1 : 0));
  gauge("cache_ready", "1 while calls to the cache go through, 0 while its breaker is open", (values) =>
    values.cacheReady ? 1 : 0,
  );
  gauge("ready", "1 while new connections are welcome, as /readyz says", (values) => (values.ready ? 1 : 0));
  gauge("turns_waiting", "Sign-ins and syncs that wait for their turn", (values) => values.turnsWaiting);
  gauge("wal_bytes", "Bytes of the log of the SQLite file", (values) => values.walBytes);
  registerClusterGauges(registry, () => read().cluster);
  gauge("resident_bytes", "Resident memory of the process", () => process.memoryUsage.rss());
  actorGauge("actors_active", "Actors held in memory", (figures) => figures.active);
  actorGauge("mailbox_waiting", "Messages waiting in all mailboxes", (figures) => figures.waiting);
  actorGauge("mailbox_deepest", "Messages waiting in the fullest mailbox", (figures) => figures.deepest);
}

/** Measures event-loop lag until the answered function is called: how much later than asked a timer fires. */
export function watchEventLoop(record: (ms: number) => void, everyMs = 100): () => void {
  let due = performance.now() + everyMs;
  const timer = setInterval(() => {
    const now = performance.now();
    record(Math.max(0, now - due));
    due = now + everyMs;
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
