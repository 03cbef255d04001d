// One connection to Redis with a short time-out and a circuit breaker: ready, down, probing. Owned by the Redis cache.
// Keeps its half of G10: whatever Redis does, a call ends within the time-out, and while it is down at once and without a command.
import { Redis } from "ioredis";
import type { Cancel, Clock } from "../lib/clock";
import type { CacheObserver, CacheState } from "./cache";

/** What the link keeps to, beside the configured time-out. */
export const linkLimits = {
  /** Calls in a row that are not answered in time before nothing more is tried. */
  failuresMax: 3,
  /** Calls under way; more are answered as misses. */
  inFlightMax: 100,
  /** Wait before the first try after a failure, doubled with each further one up to the second, milliseconds. */
  backoffMinMs: 250,
  backoffMaxMs: 10_000,
  /** How long a link must have stayed ready for the next failure to begin with the shortest wait again, milliseconds. */
  steadyMs: 10_000,
  /** How long one try may take to connect, milliseconds. Nobody waits for it. */
  connectMs: 2_000,
} as const;

/** One command with its arguments, by the name the client library gives it. */
export type Command = readonly [name: string, ...args: readonly (string | number | Uint8Array)[]];

/** What one command was answered with. */
export type Answer = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: Error };

/** What a link is made of. */
export interface RedisLinkOptions {
  /** `redis://` or `rediss://`, with user, password and database at will. */
  readonly url: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly observer: CacheObserver;
  /** 0 to 1; spreads the tries of many nodes. */
  readonly random?: () => number;
}

const late = Symbol("late");

/** See the head of this file. Connects by itself, from the start and after every loss. */
export class RedisLink {
  readonly #options: RedisLinkOptions;
  #state: CacheState = "down";
  #redis: Redis | null = null;
  #cancelTry: Cancel | null = null;
  /** What the client library said last of this connection: never a password. */
  #complaint: string | null = null;
  #failures = 0;
  #inFlight = 0;
  #backoffMs: number = linkLimits.backoffMinMs;
  #readyAt = 0;
  #closed = false;

  constructor(options: RedisLinkOptions) {
    this.#options = options;
    void this.#probe();
  }

  get state(): CacheState {
    return this.#state;
  }

  /** Runs commands in one round trip, answered in order. Null: not answered in time, or not tried. Never rejects. */
  async run(commands: readonly Command[]): Promise<readonly Answer[] | null> {
    const redis = this.#redis;
    if (this.#state !== "ready" || redis === null || commands.length === 0) return null;
    const { clock, observer } = this.#options;
    if (this.#inFlight >= linkLimits.inFlightMax) {
      observer.failed("busy", 1);
      return null;
    }
    const startedAt = clock.monotonic();
    this.#inFlight++;
    const asked = pipelined(redis, commands).finally(() => this.#inFlight--);
    const answers = await this.#within(this.#options.timeoutMs, asked);
    if (answers === late || answers === null) {
      this.#failed(redis, answers === late ? "timeout" : "lost");
      return null;
    }
    this.#failures = 0;
    observer.answered(clock.monotonic() - startedAt);
    return answers;
  }

  /** Cuts the connection and tries no more. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#cancelTry?.();
    this.#drop();
    this.#state = "down";
  }

  /** Answers `late` after `ms`; what had arrived by then and only waited to be read still counts. */
  #within<T>(ms: number, work: Promise<T>): Promise<T | typeof late> {
    const { clock } = this.#options;
    return new Promise((resolve) => {
      const cancel = clock.after(ms, () => clock.endOfTurn(() => resolve(late)));
      void work.then((value) => {
        cancel();
        resolve(value);
      });
    });
  }

  #failed(redis: Redis, reason: "timeout" | "lost"): void {
    this.#options.observer.failed(reason, 1);
    this.#failures++;
    if (redis === this.#redis && (reason === "lost" || this.#failures >= linkLimits.failuresMax)) this.#trip(reason);
  }

  /** Nothing goes through until a try succeeds. The connection goes too: what it still held would come when nobody waits for it. */
  #trip(reason: string): void {
    if (this.#closed) return;
    const { clock, random = Math.random } = this.#options;
    if (this.#state === "ready" && clock.monotonic() - this.#readyAt >= linkLimits.steadyMs)
      this.#backoffMs = linkLimits.backoffMinMs;
    this.#drop();
    this.#enter("down", reason);
    const waitMs = this.#backoffMs * (0.5 + random() / 2);
    this.#backoffMs = Math.min(linkLimits.backoffMaxMs, this.#backoffMs * 2);
    this.#cancelTry = clock.after(waitMs, () => void this.#probe());
  }

  /** One try: connected within `connectMs`, and a ping answered within the time-out that every call has. */
  async #probe(): Promise<void> {
    const { clock, timeoutMs } = this.#options;
    this.#enter("probing", null);
    this.#complaint = null;
    const redis = this.#connect();
    this.#redis = redis;
    const connected = await this.#within(linkLimits.connectMs, settled(redis.connect()));
    if (this.#redis !== redis) return;
    if (connected !== null) return this.#trip(this.#complaint ?? "no connection in time");
    const answers = await this.#within(timeoutMs, pipelined(redis, [["ping"]]));
    if (this.#redis !== redis) return;
    const [answer] = answers === late || answers === null ? [] : answers;
    if (answer?.ok !== true)
      return this.#trip(answer?.error.message ?? this.#complaint ?? "a ping was not answered in time");
    this.#failures = 0;
    this.#readyAt = clock.monotonic();
    this.#enter("ready", null);
  }

  #connect(): Redis {
    const redis = new Redis({
      ...addressOf(this.#options.url),
      lazyConnect: true,
      // Tries are the breaker's; what was not answered is never sent again.
      retryStrategy: () => null,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      enableReadyCheck: false,
      connectTimeout: linkLimits.connectMs,
      connectionName: "parley",
      disableClientInfo: true,
      protocol: 2,
    });
    // What it does to calls is told by them and by `close`; here is only why.
    redis.on("error", (error: Error) => {
      this.#complaint = error.message;
    });
    redis.on("close", () => {
      if (this.#redis === redis && this.#state === "ready") this.#trip(this.#complaint ?? "the connection was lost");
    });
    return redis;
  }

  #drop(): void {
    const redis = this.#redis;
    this.#redis = null;
    this.#failures = 0;
    redis?.disconnect();
  }

  #enter(state: CacheState, reason: string | null): void {
    this.#state = state;
    this.#options.observer.changed(state, reason);
  }
}

/** Null where the connection was lost on the way. A refusal of one command is its own answer. */
async function pipelined(redis: Redis, commands: readonly Command[]): Promise<readonly Answer[] | null> {
  try {
    const results = (await redis.pipeline(commands.map(toArray)).exec()) ?? [];
    const answers = results.map(([error, value]): Answer => (error ? { ok: false, error } : { ok: true, value }));
    return answers.some((answer) => !answer.ok && answer.error.name !== "ReplyError") ? null : answers;
  } catch {
    return null;
  }
}

function toArray([name, ...args]: Command): unknown[] {
  return [name, ...args.map((arg) => (arg instanceof Uint8Array ? Buffer.from(arg) : arg))];
}

/** Null once it is done, the error otherwise. */
async function settled(work: Promise<unknown>): Promise<Error | null> {
  try {
    await work;
    return null;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function addressOf(url: string) {
  const { protocol, hostname, port, username, password, pathname } = new URL(url);
  return {
    host: hostname.replace(/^\[|\]$/g, ""),
    port: port === "" ? 6379 : Number(port),
    ...(username === "" ? {} : { username: decodeURIComponent(username) }),
    ...(password === "" ? {} : { password: decodeURIComponent(password) }),
    db: pathname.length > 1 ? Number(pathname.slice(1)) : 0,
    ...(protocol === "rediss:" ? { tls: {} } : {}),
  };
}
