// The composition: one running server from a configuration. It alone names concrete drivers; everything else sees ports.
// Order matters both ways: the port is bound before the data is claimed, and nothing closes before its commits are done.
import { mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { KindName } from "./actors/actor";
import { conversationKind } from "./actors/conversation";
import type { KindLimits } from "./actors/conversation";
import { builtInTypes } from "./actors/conversation-types";
import type { ConversationType, ConversationTypes } from "./actors/conversation-types";
import { LateRouter } from "./actors/late-router";
import { allPartitions } from "./actors/local-placement";
import { startLocalRouter } from "./actors/local-router";
import type { LocalRouter } from "./actors/local-router";
import { KnownPeople } from "./actors/known-people";
import { OtherNodes } from "./actors/other-nodes";
import { reopenAll } from "./actors/reopen";
import { userKind } from "./actors/user";
import type { UserDeps } from "./actors/user";
import { systemClock } from "./lib/clock";
import { AppError } from "./lib/errors";
import { maskPassword } from "./lib/config";
import { createLog } from "./lib/log";
import type { Log } from "./lib/log";
import { createMetrics, watchEventLoop } from "./lib/metrics";
import type { Metrics } from "./lib/metrics";
import type { Config } from "./lib/settings";
import type { Cache, CacheObserver } from "./storage/cache";
import { MemoryCache } from "./storage/memory-cache";
import { RedisCache } from "./storage/redis-cache";
import { openMongoStore } from "./storage/mongo-store";
import { openSqliteStore } from "./storage/sqlite-store";
import type { Store } from "./storage/store";
import { createHttp } from "./transport/http";
import type { HandleHttp, Readiness } from "./transport/http";
import { errorResponse } from "./transport/http-errors";
import { Hub } from "./transport/hub";
import { listen } from "./transport/listen";
import type { Listening, SharedPort } from "./transport/listen";
import { createOperatorCheck } from "./transport/operators";
import { openSignIn } from "./transport/sign-in";
import type { SignIn } from "./transport/sign-in";
import { openPage } from "./transport/static";
import { createSocketServer } from "./transport/websocket";
import type { SocketServer } from "./transport/websocket";

/** What a test or an embedding program may put in the place of the usual parts. */
export interface ServerOverrides {
  readonly log?: Log;
  readonly version?: string;
  /** Folder of the built page. */
  readonly pageFolder?: string;
  /** Opens the store, instead of the configured driver. */
  readonly openStore?: (config: Config) => Promise<Store>;
  /** One of several nodes behind one port: `parley serve --nodes`. */
  readonly node?: SharedPort & { readonly name: string };
  /** Opens the cache, instead of the configured driver. */
  readonly openCache?: (config: Config, generation: string) => Cache;
}

/** A server that listens. Ends with `stop()` or `await using`. */
export interface RunningServer extends AsyncDisposable {
  /** `http://host:port`, with the port that was really taken. */
  readonly url: string;
  readonly port: number;
  /** Where this node alone is reached, its figures too; null where the port is its own. */
  readonly adminUrl: string | null;
  readonly store: Store;
  /** Whether new connections are welcome, and if not, why: as `/readyz` says. */
  readiness(): Readiness;
  /** Whether demo sign-in is offered. */
  readonly demo: boolean;
  /** Settles only when the server cannot go on: another one has claimed the data. `stop()` comes after it. */
  readonly ended: Promise<"fenced">;
  /**
   * Stops listening, lets what is under way be stored and answered, says goodbye to every client, makes everything exact and
   * closes the store. Takes `drainMs` at most. Idempotent.
   */
  stop(): Promise<void>;
}

/** Where the page is, seen from this file, in a clone and in the container alike. */
const defaultPageFolder = join(import.meta.dir, "..", "dist", "web");
/** How the time of stopping is shared: what is under way, goodbyes, and last the store; the rest is for the actors. */
const drainShares = { answers: 0.3, goodbyes: 0.3, store: 0.2 } as const;
/** How often it is looked whether everything under way was answered, milliseconds. */
const answersLookMs = 5;
/** How often at most it is told that the store did not answer, milliseconds. */
const outageEveryMs = 10_000;

/** The parts of one server. */
interface Parts {
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly store: Store;
  readonly cache: Cache;
  readonly signIn: SignIn;
  readonly hub: Hub;
  readonly router: LateRouter;
  readonly sockets: SocketServer;
  readonly http: HandleHttp;
  readonly stage: Stage;
}

/** How far a server is: shown by `/readyz`, and obeyed by whoever lets clients in. */
class Stage {
  now: "starting" | "ready" | "draining" | "fenced" = "starting";
}

/**
 * Starts a server. Rejects, with everything closed again and a sentence that tells the operator the fix, when the port is
 * taken, the data cannot be opened, the keys cannot be read, or the host is not loopback and no signing key is configured.
 */
export async function startServer(config: Config, overrides: ServerOverrides = {}): Promise<RunningServer> {
  await using opening = new AsyncDisposableStack();
  const parts = await compose(config, overrides, opening);
  const { log, sockets, stage, store, signIn } = parts;
  const server = open(parts, overrides.node ?? null);
  opening.defer(() => server.close());
  const { promise: ended, resolve: end } = Promise.withResolvers<"fenced">();
  const router = await startRouter(parts, () => {
    stage.now = "fenced";
    end("fenced");
  });
  opening.defer(() => router.stop());
  opening.defer(observe(parts, router));
  const stopReopening = reopen(parts);
  const running = opening.move();
  stage.now = "ready";
  const { port, url, adminUrl } = server;
  log.info(
    { url, dataDir: resolve(config.dataDir), store: maskPassword(config.store), demo: signIn.demoSecret !== null },
    "ready",
  );
  const drain = async (): Promise<void> => {
    if (stage.now === "ready") stage.now = "draining";
    stopReopening();
    server.refuseMore();
    await drainParts(config.drainMs, router, sockets, log);
    await within(config.drainMs * drainShares.store, running.disposeAsync());
    log.info("stopped");
  };
  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> => (stopping ??= drain());
  const readiness = (): Readiness => readinessOf(stage, store);
  const shown = { url, port, adminUrl, store, demo: signIn.demoSecret !== null };
  return { ...shown, readiness, ended, stop, [Symbol.asyncDispose]: stop };
}

async function compose(config: Config, overrides: ServerOverrides, opening: AsyncDisposableStack): Promise<Parts> {
  const log = overrides.log ?? createLog(config);
  const metrics = createMetrics();
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const signIn = await openSignIn(config, log);
  const page = await openPage(overrides.pageFolder ?? defaultPageFolder);
  const store = await (overrides.openStore?.(config) ?? openStore(config, log, metrics));
  opening.defer(() => store.close());
  const version = overrides.version ?? "unknown";
  const router = new LateRouter();
  const stage = new Stage();
  const cache = overrides.openCache?.(config, store.generation) ?? openCache(config, store.generation, log, metrics);
  opening.defer(() => cache.close());
  const others = cache.shared ? new OtherNodes({ cache, clock: systemClock, meter: metrics }) : null;
  if (others !== null) opening.defer(() => others.stop());
  const hub = new Hub({ clock: systemClock, log, meter: metrics, settings: config, others });
  const sockets = createSocketServer({
    config,
    clock: systemClock,
    log,
    meter: metrics,
    hub,
    router,
    store,
    verifyToken: signIn.verify,
    server: `parley ${version}`,
  });
  opening.defer(() => sockets.stop());
  const http = createHttp({
    router,
    checkOperator: createOperatorCheck(config.adminSecret, signIn.verify),
    demoSecret: signIn.demoSecret,
    version,
    bodyBytesMax: config.http.bodyBytesMax,
    readiness: () => readinessOf(stage, store),
    page,
    metrics,
    log,
  });
  return { config, log, metrics, store, cache, signIn, hub, router, sockets, http, stage };
}

function memoryCache({ cacheEntriesMax: entriesMax }: Config): Cache {
  return new MemoryCache({ clock: systemClock, entriesMax });
}

/** Answers at once, whatever Redis does: what cannot be asked is a miss, and readiness never depends on it (G10). */
function openCache(config: Config, generation: string, log: Log, metrics: Metrics): Cache {
  if (config.cache === "memory") return memoryCache(config);
  let told: string | null = null;
  const observer: CacheObserver = {
    failed: metrics.cacheFailed,
    answered: metrics.cacheAnswered,
    changed: (state, reason) => {
      // Told again where it is away for another reason: lost at first, then a password that is refused.
      const news = `${state} ${reason}`;
      if (state === "probing" || news === told) return;
      told = news;
      if (state === "ready") log.info("the cache is ready");
      else log.warn({ reason }, "the cache is down; everything goes on without it");
    },
  };
  const namespace = `${config.cachePrefix}:${generation}`;
  return new RedisCache({
    url: config.cache,
    timeoutMs: config.cacheTimeoutMs,
    clock: systemClock,
    observer,
    namespace,
  });
}

async function openStore(config: Config, log: Log, metrics: Metrics): Promise<Store> {
  const clock = systemClock;
  const onHealth = (writable: boolean, reason: string | null): void => {
    if (writable) log.info("the store takes writes again");
    else log.error({ reason }, "the store takes no writes; sends are refused with a retryable code");
  };
  if (config.store.startsWith("mongodb")) {
    const onWarning = (text: string): void => log.warn(text);
    const observe = { commit: (rows: number, ms: number) => metrics.committed(rows, ms) };
    const { selectionTimeoutMs, operationTimeoutMs, ...others } = config.mongodb;
    const limits = { serverSelectionMs: selectionTimeoutMs, operationMs: operationTimeoutMs, ...others };
    return openMongoStore({ uri: config.store, clock, limits, onHealth, onWarning, observe });
  }
  const file = sqliteFile(config);
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const observe = {
    commit: (rows: number, _writes: number, _bytes: number, ms: number) => metrics.committed(rows, ms),
  };
  return openSqliteStore({ file, clock, onHealth, observe });
}

/** The file of the SQLite store: the named one, or `parley.sqlite` in the data folder. */
export function sqliteFile(config: Pick<Config, "store" | "dataDir">): string {
  const named = config.store.slice("sqlite:".length);
  return resolve(named === "" ? join(config.dataDir, "parley.sqlite") : named);
}

function readinessOf(stage: Stage, store: Store): Readiness {
  if (stage.now !== "ready") return { ready: false, reason: stage.now };
  const { writable, reason } = store.health();
  return { ready: writable, reason };
}

/** Binds the port. Before the data is claimed, so that a second start by mistake fails here and harms nobody. */
function open({ config, sockets, http, stage, log }: Parts, shared: SharedPort | null): Listening {
  const starting = new AppError("overloaded", "the server is starting", { retryAfterMs: 1000 });
  return listen({
    host: config.host,
    port: config.port,
    bodyBytesMax: config.http.bodyBytesMax,
    sockets,
    http: (request) => (stage.now === "starting" ? errorResponse(starting) : http(request)),
    isOpen: () => stage.now !== "starting",
    shared,
    log,
  });
}

async function startRouter(parts: Parts, onSteppedDown: () => void): Promise<LocalRouter> {
  const { config, metrics, store, cache, hub: gateway, router } = parts;
  const { conversationsActive, usersActive, idleMs, mailboxMax } = config.actors;
  const kind = (name: KindName, activeMax: number): readonly [UserDeps, KindLimits] => [
    { store, gateway, clock: systemClock, reopen: (key) => router.tellHere(name, key, { op: "reopen" }) },
    { mailboxMax, idleMs, activeMax },
  ];
  const [conversationDeps, conversationLimits] = kind("conversation", conversationsActive);
  const failed = reportFailures(parts);
  const near = cache.shared ? memoryCache(config) : cache;
  const people = new KnownPeople({ near, far: cache.shared ? cache : null, store, meter: metrics });
  const onFault = (key: string, err: unknown): void => failed("conversation", key, "commit", err);
  const started = await startLocalRouter({
    store,
    clock: systemClock,
    kinds: [
      conversationKind({ ...conversationDeps, people, types: typesOf(config), onFault }, conversationLimits),
      userKind(...kind("user", usersActive)),
    ],
    events: {
      failed,
      dropped: (kind, _key, reason, count) => metrics.dropped(`${kind}_${reason}`, count),
    },
    onSteppedDown,
  });
  router.bind(started);
  return started;
}

/** What becomes of an actor's failure: a fault of the program is counted and told, a store that is away is told now and then. */
function reportFailures({ log, metrics, store }: Parts) {
  let quietUntil = Number.NEGATIVE_INFINITY;
  return (kind: KindName, key: string, phase: string, err: unknown): void => {
    if (!isOutage(err)) {
      metrics.actorFailed(kind);
      return log.error({ kind, key, phase, err }, "an actor failed; its next message starts it afresh");
    }
    // Its health has said so where it takes no writes, and every request says it to its client.
    const now = systemClock.monotonic();
    if (!store.health().writable || now < quietUntil) return;
    quietUntil = now + outageEveryMs;
    const reason = err.cause instanceof Error ? err.cause.message : err.message;
    log.warn({ kind, key, reason }, "the store did not answer in time; clients repeat what they asked");
  };
}

/** Whether the store said that it cannot now: no fault of the actor that asked. */
function isOutage(error: unknown): error is AppError {
  return error instanceof AppError && (error.code === "store_unavailable" || error.code === "outcome_unknown");
}

/** The built-in types, changed and completed by the configured ones; what those leave open is as in `group`. */
function typesOf(config: Config): ConversationTypes {
  const types = new Map<string, ConversationType>(Object.entries(builtInTypes));
  const group = builtInTypes["group"] as ConversationType;
  for (const [name, changes] of Object.entries(config.types)) {
    types.set(name, { ...(types.get(name) ?? group), ...(changes as Partial<ConversationType>) });
  }
  return types;
}

/** Begins to measure; the answered function ends it. */
function observe({ metrics, hub, sockets, store, cache }: Parts, router: LocalRouter): () => void {
  metrics.observeGauges(() => {
    const { kinds, asksWaiting } = router.stats();
    return {
      sessions: hub.sessions,
      connections: sockets.connections,
      actors: { conversation: kinds.conversation, user: kinds.user },
      asksWaiting,
      storeWritable: store.health().writable,
      cacheReady: cache.state() === "ready",
    };
  });
  return watchEventLoop(metrics.eventLoopLag);
}

/** Finishes in the background what the last server left open; the answered function ends it early. */
function reopen({ log, store, router }: Parts): () => void {
  const stop = new AbortController();
  const { signal } = stop;
  const onDelay = (failed: number, retryMs: number, err: unknown): void =>
    log.warn({ failed, retryMs, err }, "reopening waits");
  void reopenAll({ router, store, clock: systemClock, partitions: allPartitions, signal, onDelay }).then((count) => {
    if (count > 0) log.info({ count }, "reopened what was left open");
  });
  return () => stop.abort();
}

/** What is under way is answered, then everybody is sent away, then every actor makes its rows exact. */
async function drainParts(totalMs: number, router: LocalRouter, sockets: SocketServer, log: Log): Promise<void> {
  const actors = router.drain(totalMs * (1 - drainShares.store));
  await within(totalMs * drainShares.answers, untilAnswered(router));
  await within(totalMs * drainShares.goodbyes, sockets.drain(totalMs * drainShares.goodbyes));
  const { left, names } = await actors;
  if (left > 0) log.warn({ left, names }, "some actors were not done in time; the next start finishes for them");
}

async function untilAnswered(router: LocalRouter): Promise<void> {
  while (router.stats().asksWaiting > 0) await Bun.sleep(answersLookMs);
}

/** Resolves with `work`, or without it after `ms`. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const over = Promise.withResolvers<void>();
  // Holds the process until then: what is waited for may have nothing left that does.
  const timer = setTimeout(over.resolve, ms);
  await Promise.race([work, over.promise]).finally(() => clearTimeout(timer));
}
