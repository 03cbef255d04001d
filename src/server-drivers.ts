// Opens what the configuration names: the store, the cache. Drivers are known here and nowhere else above their ports.
// Used by server.ts, and by commands that need the file's place.
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { systemClock } from "./lib/clock";
import type { Log } from "./lib/log";
import type { Metrics } from "./lib/metrics";
import type { Config } from "./lib/settings";
import type { Cache, CacheObserver } from "./storage/cache";
import { MemoryCache } from "./storage/memory-cache";
import { RedisCache } from "./storage/redis-cache";
import { openMongoStore } from "./storage/mongo-store";
import { sqliteFile } from "./storage/sqlite-file";
import { openSqliteStore } from "./storage/sqlite-store";
import type { Store } from "./storage/store";

/** A cache of this process alone. */
export function memoryCache({ cacheEntriesMax: entriesMax }: Config): Cache {
  return new MemoryCache({ clock: systemClock, entriesMax });
}

/** Opens the configured cache. It answers at once, whatever Redis does: what cannot be asked is a miss, and readiness never depends on it (G10). */
export function openCache(config: Config, generation: string, log: Log, metrics: Metrics): Cache {
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

/** Opens the configured store. Rejects with a sentence for the operator where it cannot. */
export async function openStore(config: Config, log: Log, metrics: Metrics): Promise<Store> {
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
  return openSqliteStore({ file, clock, onHealth, observe, shared: config.nats !== null });
}
