// One connection to NATS through all its lives: whether it stands, which one it is, and how much waits for the network (G11).
// Owned by openNats. What is published while it does not stand would vanish without a word, so nothing is taken then.
import { headers } from "@nats-io/transport-node";
import type { ConnectionOptions, Msg, MsgHdrs, NatsConnection, ServerInfo, Status } from "@nats-io/transport-node";
import type { Clock } from "../lib/clock";
import type { Log } from "../lib/log";
import { addressOptions, serversOf } from "./nats-address";
import type { NatsSettings } from "./nats-address";
import { ClusterRefusal } from "./cluster-refusal";
import { connect } from "./nats-turns";

/** What a connection keeps to. */
export const natsLimits = {
  /** Bytes handed to the client and not yet known to be with the server; past them nothing is taken. */
  bytesWaitingMax: 64 * 1024 * 1024,
  /** After this many bytes the server is asked whether it has them. */
  bytesUnconfirmed: 256 * 1024,
  /** The smallest largest message of a server that a cluster works with: what one turn sends to one node is cut to it. */
  payloadMin: 1024 * 1024,
  /** How long one try to connect may take, milliseconds. */
  connectMs: 700,
  /** Between tries, and up to this much more, milliseconds. */
  retryMs: 50,
  retryJitterMs: 50,
  /** A server that leaves two pings in a row unanswered is left, milliseconds between them. */
  pingMs: 1000,
  pingsOut: 2,
  /** How long a flush is waited for, milliseconds. */
  flushMs: 1000,
  /** How long starting waits for a server, milliseconds. */
  startMs: 30_000,
  /** Between two lines of the log about what the server refuses, milliseconds. */
  complaintMs: 1000,
} as const;

/** What a connection is made of. */
export interface NatsConnectionOptions {
  readonly settings: NatsSettings;
  readonly clock: Clock;
  readonly log: Log;
  /** How long to wait for the first connection, milliseconds. */
  readonly startMs: number;
}

/** Counted since the start. */
export interface NatsStats {
  /** Connections so far. */
  readonly connections: number;
  /** Bytes that wait for the network, or may. */
  readonly bytesWaiting: number;
  /** Messages not taken: too many bytes waited, or they were too large. */
  readonly refused: number;
}

/** A subscription of the client, which it renews by itself with every connection. */
export interface NatsSubscription {
  /** Takes no more; resolves once what the server had was handed out, or after a second. */
  drain(): Promise<void>;
  /** Hands out nothing more. Idempotent. */
  unsubscribe(): void;
}

/** Tells whether the connection stands. */
export type ConnectionListener = (stands: boolean) => void;

/** Where the client keeps its socket. Not of its public face: a socket that takes no more can be ended nowhere else. */
interface Inside {
  readonly protocol?: { readonly transport?: { readonly socket?: { destroy(): void } } };
}

/** See the head of this file. Nothing throws or rejects but {@link NatsLink.open}. */
export class NatsLink {
  readonly clock: Clock;
  readonly log: Log;
  readonly #nats: NatsConnection;
  readonly #listeners: ConnectionListener[] = [];
  readonly #lateListeners: ConnectionListener[] = [];
  readonly #complaints: ((text: string) => void)[] = [];
  #info: ServerInfo;
  #connected = true;
  #connection = 1;
  #closed = false;
  #sent = 0;
  #confirmed = 0;
  #following = false;
  #refused = 0;
  #quietUntil = Number.NEGATIVE_INFINITY;

  private constructor({ clock, log }: NatsConnectionOptions, nats: NatsConnection, info: ServerInfo) {
    this.clock = clock;
    this.log = log;
    this.#nats = nats;
    this.#info = info;
    void this.#listen();
  }

  /** Connects, trying for `startMs` while no server answers. Rejects with a {@link ClusterRefusal}. */
  static async open(options: NatsConnectionOptions): Promise<NatsLink> {
    const nats = await firstConnection(options);
    if (nats.info) return new NatsLink(options, nats, nats.info);
    await nats.close();
    throw new ClusterRefusal("the NATS server went away while this node connected; start again");
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Counts the connections of this process, from 1. */
  get connection(): number {
    return this.#connection;
  }

  /** What the server says of itself; of the last one while there is none. */
  get info(): ServerInfo {
    return this.#info;
  }

  /** `host:port` of the server in use, or of the last one. */
  get server(): string {
    return this.#nats.getServer();
  }

  stats(): NatsStats {
    return { connections: this.#connection, bytesWaiting: this.#sent - this.#confirmed, refused: this.#refused };
  }

  /** Called at once with the present state, then at every change, before anything of the new connection is handed out. */
  onConnection(listener: ConnectionListener): void {
    this.#listeners.push(listener);
    this.#tell(listener, this.#connected);
  }

  /** As {@link NatsLink.onConnection}, at changes only, after all of those. */
  afterConnection(listener: ConnectionListener): void {
    this.#lateListeners.push(listener);
  }

  /** What the server has refused us since, in its words. */
  onComplaint(listener: (text: string) => void): void {
    this.#complaints.push(listener);
  }

  /**
   * False: not taken, as nothing stands, too much waits, or the server takes no message as large. What is taken is read until the
   * end of this turn: nobody may change it. @param marks headers of a request
   */
  publish(subject: string, bytes: Uint8Array, reply?: string, marks?: Readonly<Record<string, string>>): boolean {
    if (!this.#connected) return false;
    const waiting = this.#sent - this.#confirmed;
    if (bytes.length > this.#info.max_payload)
      this.#refusedBy(`${bytes.length} bytes to ${subject} are too many for one message`);
    if (waiting + bytes.length > natsLimits.bytesWaitingMax || bytes.length > this.#info.max_payload) {
      this.#refused += 1;
      return false;
    }
    try {
      if (reply === undefined) this.#nats.publish(subject, bytes);
      else this.#nats.publish(subject, bytes, marks ? { reply, headers: headersOf(marks) } : { reply });
    } catch {
      // Closed, or larger with its headers than the server takes.
      this.#refused += 1;
      return false;
    }
    this.#sent += bytes.length;
    if (waiting > natsLimits.bytesUnconfirmed && !this.#following) void this.#follow();
    return true;
  }

  subscribe(subject: string, handle: (message: Msg) => void): NatsSubscription {
    let over = false;
    const callback = (error: Error | null, message: Msg): void => {
      if (over || error !== null) return;
      // A throw would end the client's reading of this connection, for everybody.
      try {
        handle(message);
      } catch (err) {
        this.log.error({ subject, err }, "a message from another node could not be handled");
      }
    };
    if (this.#closed) return { unsubscribe: () => undefined, drain: () => Promise.resolve() };
    const subscription = this.#nats.subscribe(subject, { callback });
    const unsubscribe = (): void => {
      over = true;
      if (!subscription.isClosed()) subscription.unsubscribe();
    };
    const drain = async (): Promise<void> => {
      if (this.#connected && !subscription.isClosed()) await this.#within(subscription.drain());
      unsubscribe();
    };
    return { unsubscribe, drain };
  }

  /** True once the server has everything that was sent before. */
  async flush(): Promise<boolean> {
    if (!this.#connected) return false;
    return this.#within(this.#confirm());
  }

  /** Sends what waits and ends the connection. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.flush();
    this.#lost();
    const closed = this.#nats.close();
    if (!(await this.#within(closed))) this.#cut();
  }

  /** Ends a socket into which nothing more goes: the client would wait for it before it connects anew. */
  #cut(): void {
    (this.#nats as unknown as Inside).protocol?.transport?.socket?.destroy();
  }

  async #listen(): Promise<void> {
    try {
      for await (const status of this.#nats.status()) this.#heard(status);
    } catch (err) {
      this.log.error({ err }, "NATS's client failed");
    }
    this.#lost();
    if (!this.#closed)
      this.log.fatal("NATS's client has given up; this node reaches no other until it is started anew");
  }

  #heard(status: Status): void {
    switch (status.type) {
      case "disconnect":
      case "forceReconnect":
        this.#lost();
        return;
      case "staleConnection":
        this.#lost();
        this.#cut();
        return;
      case "reconnect":
        this.#back();
        return;
      // Once a second.
      case "ping":
        if (this.#sent > this.#confirmed && !this.#following) void this.#follow();
        return;
      case "error":
        this.#refusedBy(status.error.message);
        return;
      default:
    }
  }

  /** What it refuses it may refuse a thousand times a second. */
  #refusedBy(reason: string): void {
    for (const complain of this.#complaints) complain(reason);
    const now = this.clock.monotonic();
    if (now < this.#quietUntil) return;
    this.#quietUntil = now + natsLimits.complaintMs;
    this.log.error({ reason }, "NATS refused something");
  }

  #lost(): void {
    if (!this.#connected) return;
    this.#connected = false;
    this.#change(false);
  }

  #back(): void {
    if (this.#connected || this.#closed) return;
    this.#info = this.#nats.info ?? this.#info;
    this.#connected = true;
    this.#connection += 1;
    this.#confirmed = this.#sent;
    this.#change(true);
  }

  #change(stands: boolean): void {
    const server = this.#nats.getServer();
    if (stands) this.log.info({ server }, "connected to NATS again");
    else if (!this.#closed) this.log.warn({ server }, "the connection to NATS was lost");
    for (const listener of [...this.#listeners, ...this.#lateListeners]) this.#tell(listener, stands);
  }

  #tell(listener: ConnectionListener, stands: boolean): void {
    try {
      listener(stands);
    } catch (err) {
      this.log.error({ err }, "a change of the connection to NATS could not be handled");
    }
  }

  /** Learns that the server has what was sent so far. Rejects where the connection is lost. */
  async #confirm(): Promise<void> {
    const connection = this.#connection;
    const upTo = this.#sent;
    await this.#nats.flush();
    if (connection !== this.#connection) throw new Error("another connection stands by now");
    this.#confirmed = Math.max(this.#confirmed, upTo);
  }

  /** Learns how much the server has, as long as that is worth knowing. */
  async #follow(): Promise<void> {
    this.#following = true;
    try {
      do await this.#confirm();
      while (this.#sent - this.#confirmed > natsLimits.bytesUnconfirmed);
    } catch {
      // The connection was lost, and what waited with it.
    }
    this.#following = false;
  }

  /** True where it resolved in time. */
  #within(work: Promise<unknown>): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = this.clock.after(natsLimits.flushMs, () => resolve(false));
      const end = (done: boolean) => () => {
        cancel();
        resolve(done);
      };
      work.then(end(true), end(false));
    });
  }
}

function headersOf(marks: Readonly<Record<string, string>>): MsgHdrs {
  const all = headers();
  for (const [name, value] of Object.entries(marks)) all.set(name, value);
  return all;
}

async function firstConnection({ settings, clock, log, startMs }: NatsConnectionOptions): Promise<NatsConnection> {
  const options: ConnectionOptions = {
    ...(await addressOptions(settings)),
    name: "parley",
    timeout: natsLimits.connectMs,
    reconnectTimeWait: natsLimits.retryMs,
    reconnectJitter: natsLimits.retryJitterMs,
    reconnectJitterTLS: natsLimits.retryJitterMs,
    maxReconnectAttempts: -1,
    pingInterval: natsLimits.pingMs,
    maxPingOut: natsLimits.pingsOut,
    // Only servers that the operator named: what they tell of each other may not be reachable from here.
    ignoreClusterUpdates: true,
    // A password that is being changed: we try on.
    ignoreAuthErrorAbort: true,
    noAsyncTraces: true,
  };
  const servers = serversOf(settings.nats ?? "").join(", ");
  const begun = clock.monotonic();
  for (let tries = 0; ; tries++) {
    try {
      return await connect({ ...options });
    } catch (error) {
      const says = `cannot use the NATS at ${servers}: ${reasonOf(error)}`;
      const fix = fixOf(error);
      if (fix !== null) throw new ClusterRefusal(`${says}; ${fix}`);
      if (clock.monotonic() - begun >= startMs)
        throw new ClusterRefusal(`${says}; ${remedyOf(options, error)}`, { cause: error });
      if (tries === 0) log.warn(`${says}; trying again for up to ${startMs / 1000} s`);
      await new Promise<void>((resolve) => clock.after(natsLimits.retryMs * 2, resolve));
    }
  }
}

function reasonOf(error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error);
  return reason.replace(/\s+/g, " ").toLowerCase();
}

function remedyOf(options: ConnectionOptions, error: unknown): string {
  const remedy = "start it, or correct PARLEY_NATS";
  const withoutCertificate = options.tls && options.tls.cert === undefined && reasonOf(error).includes("timeout");
  return withoutCertificate
    ? `${remedy}; a server that asks for this node's certificate may also say nothing: see natsTlsCert`
    : remedy;
}

/** What to do where trying again does not help; null where it may. */
function fixOf(error: unknown): string | null {
  const reason = reasonOf(error);
  if (/authorization violation|authentication/.test(reason))
    return "check the user, password, token or credentials file";
  if (/server does not support 'tls'/.test(reason))
    return "this node asks for TLS and the server has none: configure it there, or use nats:// addresses";
  if (/certificate|self.signed|cert_/.test(reason))
    return "the certificate is not one this node trusts for that address: check natsTlsCa and the name in the address";
  return null;
}
