// A whole node for socket tests: real sockets, real actors, any store, tokens that anybody can make.
import type { KindName } from "../../src/actors/actor";
import { conversationKind } from "../../src/actors/conversation";
import { builtInTypes } from "../../src/actors/conversation-types";
import type { ConversationType } from "../../src/actors/conversation-types";
import { startLocalRouter } from "../../src/actors/local-router";
import type { LocalRouter } from "../../src/actors/local-router";
import { userKind } from "../../src/actors/user";
import { systemClock } from "../../src/lib/clock";
import { silentLog } from "../../src/lib/log";
import { createMetrics } from "../../src/lib/metrics";
import { settings } from "../../src/lib/settings";
import { socketPath } from "../../src/protocol/frames";
import { isUserId } from "../../src/protocol/ids";
import type { UserId } from "../../src/protocol/ids";
import type { Results } from "../../src/protocol/operations";
import { Hub } from "../../src/transport/hub";
import { createSocketServer } from "../../src/transport/websocket";
import type { Connection, SocketServer, SocketServerDeps } from "../../src/transport/websocket";
import type { Store } from "../../src/storage/store";
import { MemoryStore } from "../sim/memory-store";
import { RawClient } from "./raw-client";
import { SteeredClock } from "./steered-clock";

export interface WorldOptions {
  readonly connections?: Partial<SocketServerDeps["config"]["connections"]>;
  readonly rates?: Partial<SocketServerDeps["config"]["rates"]>;
  readonly counters?: Partial<SocketServerDeps["config"]["counters"]>;
  readonly origins?: readonly string[];
  /** Closed with the world; absent: a store in memory. */
  readonly store?: Store;
  /** Called last, once the store is closed. */
  readonly dispose?: () => Promise<void>;
  /** Called where the server would collect garbage. */
  readonly collect?: () => void;
  /** Types beside the built-in ones; what is left open is as in `group`. */
  readonly types?: Readonly<Record<string, Partial<ConversationType>>>;
}

/** Starts a world over the store under test. */
export type StartWorld = (options?: WorldOptions) => Promise<SocketWorld>;

/** A token that the world's verifier takes: who, issued when and until when, in seconds; the words `bad`, `expired`, `later` are refused. */
export function tokenFor(user: string, issuedAt = nowSeconds(), expiresAt: number | null = null): string {
  return `${user}|${issuedAt}|${expiresAt ?? ""}`;
}

export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

const verifyToken: SocketServerDeps["verifyToken"] = async (token) => {
  const [user, issuedAt, expiresAt] = token.split("|");
  if (token === "expired") return { ok: false, code: "token_expired" };
  if (token === "later") return { ok: false, code: "auth_unavailable" };
  if (!isUserId(user) || issuedAt === undefined) return { ok: false, code: "bad_token" };
  return { ok: true, user, issuedAt: Number(issuedAt), expiresAt: expiresAt ? Number(expiresAt) : null };
};

export class SocketWorld implements AsyncDisposable {
  readonly clock: SteeredClock;
  readonly hub: Hub;
  readonly sockets: SocketServer;
  readonly router: LocalRouter;
  readonly store: Store;
  readonly port: number;
  readonly url: string;
  readonly #server: ReturnType<typeof listen>;
  readonly #clients: RawClient[] = [];
  readonly #dispose: () => Promise<void>;

  private constructor(
    parts: Pick<SocketWorld, "clock" | "hub" | "sockets" | "router" | "store">,
    dispose: () => Promise<void>,
  ) {
    this.#dispose = dispose;
    this.clock = parts.clock;
    this.hub = parts.hub;
    this.sockets = parts.sockets;
    this.router = parts.router;
    this.store = parts.store;
    this.#server = listen(this.sockets);
    this.port = this.#server.port as number;
    this.url = `ws://127.0.0.1:${this.port}${socketPath}`;
  }

  static async start(options: WorldOptions = {}): Promise<SocketWorld> {
    const clock = new SteeredClock();
    const log = silentLog();
    const meter = createMetrics();
    const base = settings.parse({});
    const connections = { ...base.connections, ...options.connections };
    const rates = { ...base.rates, ...options.rates };
    const counters = { ...base.counters, ...options.counters };
    const config = { ...base, connections, rates, counters, origins: [...(options.origins ?? [])] };
    const store = options.store ?? new MemoryStore();
    const hub = new Hub({ clock, log, meter, settings: config });
    const kindLimits = { mailboxMax: 4096, idleMs: 60_000, activeMax: 10_000 };
    let told: LocalRouter | null = null;
    const reopen = (kind: KindName) => (key: string) => told?.tellHere(kind, key, { op: "reopen" }) ?? true;
    const types = new Map(Object.entries(builtInTypes));
    const group = types.get("group") as ConversationType;
    for (const [name, type] of Object.entries(options.types ?? {})) types.set(name, { ...group, ...type });
    // No bug goes unseen.
    const onFault = (_: string, error: unknown): void =>
      queueMicrotask(() => {
        throw error;
      });
    const kinds = [
      conversationKind(
        { store, gateway: hub, types, clock: systemClock, onFault, reopen: reopen("conversation") },
        kindLimits,
      ),
      userKind({ store, gateway: hub, clock: systemClock, reopen: reopen("user") }, kindLimits),
    ];
    const events = { failed: () => undefined, dropped: () => undefined };
    const router = await startLocalRouter({ store, clock: systemClock, kinds, events, onSteppedDown: () => undefined });
    told = router;
    const sockets = createSocketServer({
      config,
      clock,
      log,
      meter,
      hub,
      router,
      store,
      verifyToken,
      server: "parley/test",
      collect: options.collect ?? (() => undefined),
    });
    return new SocketWorld({ clock, hub, sockets, router, store }, options.dispose ?? (async () => undefined));
  }

  /** A connection that has said nothing. */
  async connect(headers: Record<string, string> = {}): Promise<RawClient> {
    const client = await RawClient.connect(this.url, headers);
    this.#clients.push(client);
    return client;
  }

  /** A signed-in connection. */
  async signIn(
    user: string,
    device = "device-1",
    token = tokenFor(user),
    capabilities: readonly string[] = [],
  ): Promise<RawClient> {
    const client = await this.connect();
    await client.request("hello", 1, token, device, null, capabilities);
    return client;
  }

  /** A signed-in connection that has synced. */
  async online(user: string, device = "device-1"): Promise<RawClient> {
    const client = await this.signIn(user, device);
    await client.request("sync", null, []);
    return client;
  }

  /** Makes people exist. */
  async people(...users: string[]): Promise<void> {
    await Promise.all(users.map((user) => this.router.ask("user", user as UserId, { op: "ensure" })));
  }

  /** A group of its creator and others, who exist from here on. */
  async group(creator: RawClient, ...others: string[]): Promise<Results["create"][0]> {
    await this.people(...others);
    const [id] = await creator.request("create", "group", crypto.randomUUID(), { name: "Crew" }, others);
    return id;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    this.sockets.stop();
    await this.#server.stop(true);
    this.router.stop();
    await this.store.close();
    await this.#dispose();
  }
}

function listen(sockets: SocketServer) {
  return Bun.serve<Connection>({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, server) => sockets.fetchUpgrade(request, server),
    websocket: sockets.websocket,
  });
}
