// Starts the actors of one server: alone, with all partitions its own, or as a node of a cluster.
// Owned by server.ts; what both have in common is which kinds there are, and what becomes of their failures.
import type { ActorKind, KindName, Router } from "./actors/actor";
import { ClusterNode } from "./actors/cluster-node";
import { conversationKind } from "./actors/conversation";
import type { KindLimits } from "./actors/conversation";
import { builtInTypes } from "./actors/conversation-types";
import type { ConversationType, ConversationTypes } from "./actors/conversation-types";
import type { Gateway } from "./actors/gateway";
import { KnownPeople } from "./actors/known-people";
import { allPartitions } from "./actors/local-placement";
import { startLocalRouter } from "./actors/local-router";
import { reopenAll } from "./actors/reopen";
import type { DrainReport, SystemStats } from "./actors/system";
import { userKind } from "./actors/user";
import type { UserDeps } from "./actors/user";
import { systemClock } from "./lib/clock";
import { AppError } from "./lib/errors";
import type { Log } from "./lib/log";
import type { Metrics } from "./lib/metrics";
import type { Config } from "./lib/settings";
import { memoryCache } from "./server-drivers";
import type { ClusterParts } from "./server-cluster";
import type { Cache } from "./storage/cache";
import type { Store } from "./storage/store";

/** What actors are started with. */
export interface ActorsParts {
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly store: Store;
  readonly cache: Cache;
  /** Where actors hand what must reach sockets. */
  readonly gateway: Gateway;
  /** The way to actors that actors themselves are given. */
  readonly router: Router;
  /** What makes this server a node of a cluster; null: it is alone. */
  readonly cluster: ClusterParts | null;
  /** Another server took over the data of one that is alone. */
  readonly onSteppedDown: () => void;
}

/** Actors that run. */
export interface RunningActors {
  readonly router: Router;
  /** This server's part in a cluster; null: it is alone. */
  readonly node: ClusterNode | null;
  stats(): SystemStats;
  /** Ends well what is active; in a cluster that is what the node could not give away before. Called once, before `stop`. */
  drain(deadlineMs: number): Promise<DrainReport>;
  /** Ends everything. Idempotent. */
  stop(): void;
}

/** How often at most it is told that the store did not answer, milliseconds. */
const outageEveryMs = 10_000;

/** Starts them. Rejects where the store cannot say who owns the data. */
export async function startActors(parts: ActorsParts): Promise<RunningActors> {
  const { store, log, metrics, cluster, onSteppedDown } = parts;
  const failed = reportFailures(parts);
  const events = {
    failed,
    dropped: (kind: KindName, _key: string, reason: string, count: number) =>
      metrics.dropped(`${kind}_${reason}`, count),
  };
  const system = { clock: systemClock, kinds: kindsOf(parts, failed), events };
  const onReopenDelay = (failures: number, retryMs: number, err: unknown): void =>
    log.warn({ failed: failures, retryMs, err }, "reopening waits");
  if (cluster !== null) return nodeOf(new ClusterNode({ ...system, ...cluster, store, onReopenDelay }));
  const local = await startLocalRouter({ ...system, store, onSteppedDown });
  const stopReopening = reopenAlone(parts, local, onReopenDelay);
  return {
    router: local,
    node: null,
    stats: () => local.stats(),
    drain(deadlineMs) {
      stopReopening();
      return local.drain(deadlineMs);
    },
    stop() {
      stopReopening();
      local.stop();
    },
  };
}

function nodeOf(node: ClusterNode): RunningActors {
  return {
    router: node,
    node,
    stats: () => node.stats(),
    drain: (deadlineMs) => node.drain(deadlineMs),
    stop: () => node.stop(),
  };
}

/** Finishes in the background what the last server left open; the answered function ends it early. */
function reopenAlone(
  { log, store }: ActorsParts,
  router: Router,
  onDelay: (failed: number, retryMs: number, error: unknown) => void,
): () => void {
  const stop = new AbortController();
  const { signal } = stop;
  const partitions = (): readonly number[] => allPartitions;
  void reopenAll({ router, store, clock: systemClock, partitions, signal, onDelay }).then((count) => {
    if (count > 0) log.info({ count }, "reopened what was left open");
  });
  return () => stop.abort();
}

function kindsOf(parts: ActorsParts, failed: ReturnType<typeof reportFailures>): readonly ActorKind[] {
  const { config, metrics, store, cache, gateway, router } = parts;
  const { conversationsActive, usersActive, idleMs, mailboxMax } = config.actors;
  const kind = (name: KindName, activeMax: number): readonly [UserDeps, KindLimits] => [
    {
      ...{ store, gateway, clock: systemClock },
      reopen: (key) => router.tellHere(name, key, { op: "reopen" }),
      onFenced: () => metrics.fenced(name),
    },
    { mailboxMax, idleMs, activeMax },
  ];
  const [conversationDeps, conversationLimits] = kind("conversation", conversationsActive);
  const near = cache.shared ? memoryCache(config) : cache;
  const people = new KnownPeople({ near, far: cache.shared ? cache : null, store, meter: metrics });
  const onFault = (key: string, err: unknown): void => failed("conversation", key, "commit", err);
  return [
    conversationKind({ ...conversationDeps, people, types: typesOf(config), onFault }, conversationLimits),
    userKind(...kind("user", usersActive)),
  ];
}

/** What becomes of an actor's failure: a fault of the program is counted and told, a store that is away is told now and then. */
function reportFailures({ log, metrics, store }: ActorsParts) {
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
