// The composition: one running server from a configuration. It alone names concrete drivers; everything else sees ports.
// Order matters both ways: the port is bound before the data is claimed, and nothing closes before its commits are done.
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Bus } from "./actors/bus";
import type { ClusterNode } from "./actors/cluster-node";
import { FeatureLevel, releaseLevel } from "./actors/feature-level";
import type { Gateway } from "./actors/gateway";
import { LateRouter } from "./actors/late-router";
import { OtherNodes } from "./actors/other-nodes";
import { systemClock } from "./lib/clock";
import { AppError } from "./lib/errors";
import { maskPassword } from "./lib/config";
import { createLog } from "./lib/log";
import type { Log } from "./lib/log";
import { createMetrics, watchEventLoop } from "./lib/metrics";
import type { Metrics } from "./lib/metrics";
import type { RecentMax } from "./lib/recent-max";
import type { Config } from "./lib/settings";
import { startActors } from "./server-actors";
import type { RunningActors } from "./server-actors";
import { clusterFigures, joinAsNode } from "./server-cluster";
import type { ClusterParts, JoinOptions } from "./server-cluster";
import { drainParts, drainShares, giveUpParts, within } from "./server-drain";
import { openCache, openStore } from "./server-drivers";
import { openFanOut } from "./server-fan-out";
import { openDirectory, recentLag } from "./server-nodes";
import type { DirectoryParts } from "./server-nodes";
import type { Cache } from "./storage/cache";
import type { Store } from "./storage/store";
import type { NatsNode } from "./transport/nats";
import type { ClusterNodes } from "./transport/cluster-nodes";
import { createHttp } from "./transport/http";
import type { HandleHttp, Readiness } from "./transport/http";
import { errorResponse } from "./transport/http-errors";
import type { Hub } from "./transport/hub";
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
  /** Opens the connection to the cluster, instead of the driver. */
  readonly openNats?: (config: Config) => Promise<NatsNode>;
}

/**
 * Why a server cannot go on: another one has claimed the data, the data relies on a newer release by now, or its cluster is
 * another deployment's.
 */
export type EndReason = "fenced" | "outdated" | "foreign";

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
  /** Settles only when the server cannot go on. `stop()` comes after it. */
  readonly ended: Promise<EndReason>;
  /**
   * Stops listening, lets what is under way be stored and answered, says goodbye to every client, makes everything exact and
   * closes the store. Takes `drainMs` at most. Idempotent.
   */
  stop(): Promise<void>;
}

/** Where the page is, seen from this file, in a clone and in the container alike. */
const defaultPageFolder = join(import.meta.dir, "..", "dist", "web");
const unknownVersion = "unknown";
/** How long a start waits for every partition to have an owner, milliseconds; after it the server takes clients all the same. */
const placedMs = 10_000;

/** The parts of one server. */
interface Parts {
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly store: Store;
  readonly cache: Cache;
  readonly signIn: SignIn;
  readonly hub: Hub;
  readonly gateway: Gateway;
  readonly cluster: ClusterParts | null;
  readonly router: LateRouter;
  readonly sockets: SocketServer;
  readonly http: HandleHttp;
  readonly stage: Stage;
  readonly lag: RecentMax;
}

/** How far a server is: shown by `/readyz`, and obeyed by whoever lets clients in. */
class Stage {
  now: "starting" | "ready" | "draining" | "drained" | EndReason = "starting";
  /** Settles when it cannot go on. */
  readonly ended: Promise<EndReason>;
  readonly #end: (reason: EndReason) => void;
  /** Its part in a cluster, once it runs; null: it is alone. */
  node: ClusterNode | null = null;
  /** Its connection to the cluster; null: it is alone. */
  bus: Pick<Bus, "connected"> | null = null;
  /** All nodes of its cluster, for operators. */
  nodes: ClusterNodes | null = null;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<EndReason>();
    this.ended = promise;
    this.#end = resolve;
  }

  end(reason: EndReason): void {
    this.now = reason;
    this.#end(reason);
  }
}

/**
 * Starts a server. Rejects, with everything closed again and a sentence that tells the operator the fix, when the port is
 * taken, the data cannot be opened, the keys cannot be read, or the host is not loopback and no signing key is configured.
 */
export async function startServer(config: Config, overrides: ServerOverrides = {}): Promise<RunningServer> {
  await using opening = new AsyncDisposableStack();
  const parts = await compose(config, overrides, opening);
  const { log, stage, store, signIn } = parts;
  const server = open(parts, overrides.node ?? null);
  opening.defer(() => server.close());
  const actors = await startActors({ ...parts, onSteppedDown: () => stage.end("fenced") });
  opening.defer(() => actors.stop());
  parts.router.bind(actors.router);
  stage.node = actors.node;
  parts.cluster?.levels.begin(() => actors.node?.knowsMembers() ?? false);
  opening.defer(observe(parts, actors));
  await waitForPlaces(actors, log);
  const running = opening.move();
  stage.now = "ready";
  const { port, url, adminUrl } = server;
  log.info(
    { url, dataDir: resolve(config.dataDir), store: maskPassword(config.store), demo: signIn.demoSecret !== null },
    "ready",
  );
  const { giveUp, stop } = endingOf(parts, server, actors, running);
  const readiness = (): Readiness => readinessOf(stage, store);
  stage.nodes = directoryOf(parts, overrides, { adminUrl, giveUp, actors });
  const shown = { url, port, adminUrl, store, demo: signIn.demoSecret !== null };
  return { ...shown, readiness, ended: stage.ended, stop, [Symbol.asyncDispose]: stop };
}

/** The two ways to end: clients and partitions alone, as an operator says, or all of it. Each is done once. */
function endingOf(
  { config, sockets, stage, log }: Parts,
  server: Listening,
  actors: RunningActors,
  all: AsyncDisposableStack,
) {
  const ending = { actors, sockets, log, drainMs: config.drainMs };
  const leave = async (): Promise<void> => {
    if (stage.now !== "ready") return;
    log.info("draining, as an operator said");
    stage.now = "draining";
    // Behind a shared port the system would still send it its part of those who come.
    if (server.adminUrl !== null) server.refuseMore();
    const empty = await giveUpParts(ending);
    if (stage.now === "draining") stage.now = "drained";
    log.info({ empty }, "drained: this node owns nothing and serves nobody until it is restarted");
  };
  const drain = async (): Promise<void> => {
    if (stage.now === "ready" || stage.now === "drained") stage.now = "draining";
    server.refuseMore();
    await drainParts(ending);
    await within(config.drainMs * drainShares.store, all.disposeAsync());
    log.info("stopped");
  };
  let leaving: Promise<void> | null = null;
  let stopping: Promise<void> | null = null;
  return {
    giveUp: (): Promise<void> => (leaving ??= leave()),
    stop: (): Promise<void> => (stopping ??= drain()),
  };
}

/** The nodes of the cluster, for operators; null: this server is alone. */
function directoryOf(
  { cluster, hub, sockets, stage, store, lag }: Parts,
  { node, version = unknownVersion }: ServerOverrides,
  rest: Pick<DirectoryParts, "adminUrl" | "giveUp" | "actors">,
): ClusterNodes | null {
  if (!cluster?.links) return null;
  return openDirectory({
    ...rest,
    cluster,
    calls: cluster.links,
    name: node?.name ?? null,
    version,
    state: () => stage.now,
    readiness: () => readinessOf(stage, store),
    sessions: () => hub.sessions,
    connections: () => sockets.connections,
    lag,
  });
}

async function compose(config: Config, overrides: ServerOverrides, opening: AsyncDisposableStack): Promise<Parts> {
  const log = overrides.log ?? createLog(config);
  const metrics = createMetrics();
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const signIn = await openSignIn(config, log);
  const page = await openPage(overrides.pageFolder ?? defaultPageFolder);
  const store = await (overrides.openStore?.(config) ?? openStore(config, log, metrics));
  opening.defer(() => store.close());
  const version = overrides.version ?? unknownVersion;
  const router = new LateRouter();
  const stage = new Stage();
  const cache = overrides.openCache?.(config, store.generation) ?? openCache(config, store.generation, log, metrics);
  opening.defer(() => cache.close());
  const others = cache.shared ? new OtherNodes({ cache, clock: systemClock, meter: metrics }) : null;
  if (others !== null) opening.defer(() => others.stop());
  const joined = await joinCluster({ config, log, metrics, store, openNats: overrides.openNats }, stage, opening);
  stage.bus = joined?.bus ?? null;
  const fanOut = openFanOut(
    { config, log, metrics, store, router, others, cluster: joined, node: () => stage.node },
    opening,
  );
  const { hub, gateway, interest, cluster } = fanOut;
  const sockets = createSocketServer({
    config,
    clock: systemClock,
    log,
    meter: metrics,
    hub,
    router,
    store,
    interest,
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
    nodes: () => stage.nodes,
    page,
    metrics,
    log,
  });
  const lag = recentLag();
  return { config, log, metrics, store, cache, signIn, hub, gateway, cluster, router, sockets, http, stage, lag };
}

function readinessOf(stage: Stage, store: Store): Readiness {
  if (stage.now !== "ready") return { ready: false, reason: stage.now };
  const { writable, reason } = store.health();
  if (!writable) return { ready: false, reason };
  // The others are not reached, and do not count it as one of them for long.
  if (stage.bus?.connected === false) return { ready: false, reason: "not connected to NATS" };
  const placement = stage.node?.stats().placement;
  if (placement && placement.state !== "serving") return { ready: false, reason: placement.state };
  if (placement && placement.unowned > 0)
    return { ready: false, reason: `${placement.unowned} partitions have no owner` };
  return { ready: true, reason: null };
}

/** Connects to the cluster, where one is configured; alone, what this release can do holds at once. */
async function joinCluster(
  options: Omit<JoinOptions, "onOutdated" | "onForeign">,
  stage: Stage,
  opening: AsyncDisposableStack,
): Promise<ClusterParts | null> {
  const { config, store, log } = options;
  const onOutdated = (inForce: number): void => {
    log.fatal(
      { level: inForce, supported: releaseLevel },
      "the others use features of a newer release; this node leaves",
    );
    stage.end("outdated");
  };
  const onForeign = (says: string): void => {
    log.fatal({ reason: says }, "another deployment took this cluster's place; this node leaves");
    stage.end("foreign");
  };
  if (config.nats !== null) return joinAsNode({ ...options, onOutdated, onForeign }, opening);
  const levels = await FeatureLevel.open({ store, clock: systemClock, level: releaseLevel, onOutdated });
  await levels.raiseAlone();
  return null;
}

/** Alone everything is this server's at once; in a cluster the others give it its share first. */
async function waitForPlaces({ node }: RunningActors, log: Log): Promise<void> {
  if (node !== null && !(await node.placed(placedMs))) log.warn("some partitions have no owner yet");
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

/** Begins to measure; the answered function ends it. */
function observe(parts: Parts, actors: RunningActors): () => void {
  const { metrics, hub, sockets, store, cache, stage, cluster, lag } = parts;
  metrics.observeGauges(() => {
    const { kinds, asksWaiting } = actors.stats();
    return {
      sessions: hub.sessions,
      connections: sockets.connections,
      actors: { conversation: kinds.conversation, user: kinds.user },
      asksWaiting,
      storeWritable: store.health().writable,
      cacheReady: cache.state() === "ready",
      ready: readinessOf(stage, store).ready,
      turnsWaiting: sockets.waiting,
      walBytes: store.walBytes?.() ?? null,
      cluster: cluster && actors.node && clusterFigures(cluster, actors.node),
    };
  });
  return watchEventLoop((ms) => {
    metrics.eventLoopLag(ms);
    lag.add(ms);
  });
}
