// Bun's sockets, and nothing else touches them: who may connect, how bytes come in, when a connection is looked after.
// Owned by server.ts, which mounts `fetchUpgrade` and `websocket`. Keeps G11: every connection is counted and bounded.
import type { Server, ServerWebSocket, WebSocketHandler } from "bun";
import type { Router } from "../actors/actor";
import { Entrance } from "../actors/entrance";
import type { InterestView } from "../actors/interest";
import { RowSource } from "../actors/rows";
import { Session } from "../actors/session";
import type { SessionMeter, SessionWorld } from "../actors/session-world";
import type { Cancel, Clock } from "../lib/clock";
import type { Log } from "../lib/log";
import type { Config } from "../lib/settings";
import { limits } from "../protocol/limits";
import { subprotocol } from "../protocol/frames";
import type { Store } from "../storage/store";
import type { Hub } from "./hub";
import { dropLimit, Line, Outbox, publishedBytesMax } from "./outbox";
import type { OutboxMeter } from "./outbox";
import { Admission } from "./websocket-admission";

/** What sockets record, beside their sessions. */
export type SocketMeter = OutboxMeter & SessionMeter & { connectionOpened(): void };

/** What {@link createSocketServer} is made of. */
export interface SocketServerDeps {
  readonly config: Pick<Config, "connections" | "rates" | "counters" | "origins" | "http" | "actors">;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: SocketMeter;
  readonly hub: Hub;
  readonly router: Router;
  readonly store: Store;
  readonly verifyToken: SessionWorld["verifyToken"];
  /** Interest in what lives on other nodes; absent or null where there are none. */
  readonly interest?: InterestView | null;
  /** Name and version, for hello. */
  readonly server: string;
  /** Collects garbage now; called in a quiet moment after many came or went. Absent: the runtime's own. */
  readonly collect?: () => void;
}

/** Every socket is looked after this often, milliseconds: one sweep for all, no timer a socket. */
const sweepMs = 1_000;
/** Unsent bytes of all connections together; past it each slow one may keep only its share. */
const bufferedBytesMax = 512 * 1024 * 1024;
/** Unsent bytes that a connection may always have. */
const bufferedShareMin = 64 * 1024;

/**
 * When those who are sent away by a stop come back: spread over `eachMs` for each of them; to this server, which starts anew perhaps,
 * not before `leastMs` and over no less than `spreadMs`.
 */
const comeBack = { leastMs: 100, spreadMs: 1_000, eachMs: 0.5 } as const;

/** Connections that come or go before their garbage is worth a collection. */
const churnMax = 2_000;
/** A good moment for it: so many sweeps without anybody coming or going, and in the last one little more than heartbeats. */
const quiet = { sweeps: 3, messagesMax: 50, messagesPerConnection: 0.1 } as const;
/** Sweeps that idle actors may take to go, beyond their idle time. */
const idleSweeps = 4;

/** Bun's native topics. */
interface ServerTopics {
  publish(topic: string, frame: Uint8Array): number;
  subscriberCount(topic: string): number;
}

/** One socket with its session. */
export class Connection {
  readonly address: string;
  line: Line | null = null;
  session: Session | null = null;
  /** Number of the sweep before which something was heard last. */
  heardAt: number;

  constructor(address: string, sweep: number) {
    this.address = address;
    this.heardAt = sweep;
  }
}

/** All sockets of one server. */
export class SocketServer {
  /** Hand it to `Bun.serve` as it is. */
  readonly websocket: WebSocketHandler<Connection>;
  readonly #deps: SocketServerDeps;
  readonly #world: SessionWorld;
  readonly #outbox: Outbox;
  readonly #admission: Admission;
  readonly #open = new Set<Connection>();
  #cancelSweep: Cancel | null = null;
  #sweep = 0;
  /** Who came or went since they were last collected, in which sweep the last of them did, and messages of this sweep. */
  #churn = 0;
  #churnedAt = 0;
  /** In which sweep the actors that served them are gone and worth a collection too; 0 for none. */
  #actorsGoneAt = 0;
  #messages = 0;
  #topics: ServerTopics | null = null;
  #publishedBytes = 0;
  #whenEmpty: (() => void) | null = null;
  #stopping = false;

  constructor(deps: SocketServerDeps) {
    const { config, clock, log, meter, hub, router, store, verifyToken, server } = deps;
    this.#deps = deps;
    this.#outbox = new Outbox(clock, meter, config.connections.slowConsumerBytes);
    this.#admission = new Admission(config);
    const rows = new RowSource(router, store, deps.interest ?? null);
    const entrance = new Entrance({ clock, settings: config, meter });
    const common = { clock, log, meter, settings: config, router, store, rows, verifyToken, server };
    this.#world = { ...common, directory: hub, entrance };
    const subscribers = (topic: string): number => this.#topics?.subscriberCount(topic) ?? 0;
    hub.start({ publish: (topic, frame) => this.#publish(topic, frame), subscribers }, rows);
    this.websocket = this.#handler();
    this.#sweepLater();
  }

  /** Sockets now, signed in or not. */
  get connections(): number {
    return this.#open.size;
  }

  /** Sign-ins and syncs that wait for their turn. */
  get waiting(): number {
    return this.#world.entrance.waiting;
  }

  /** Answers a request to the socket's path: undefined once upgraded, else the refusal. */
  fetchUpgrade(request: Request, server: Server<Connection>): Response | undefined {
    this.#topics ??= server as unknown as ServerTopics;
    if (this.#stopping) return refusal(503, "the server is stopping", 1);
    const refused = this.#admission.check(request);
    if (refused !== null) return refused;
    const address = this.#admission.addressOf(request, server.requestIP(request)?.address ?? "unknown");
    const full = this.#admission.enter(address);
    if (full !== null) {
      this.#deps.meter.dropped("connection");
      return full;
    }
    const headers = { "Sec-WebSocket-Protocol": subprotocol };
    if (server.upgrade(request, { data: new Connection(address, this.#sweep), headers })) return undefined;
    this.#admission.leave(address);
    return refusal(400, "the upgrade to a WebSocket failed");
  }

  /**
   * Says goodbye to everybody and takes nobody in any more. Resolves once all are gone, or after `deadlineMs`, when the
   * rest is cut off. @param elsewhere whether there are other servers for them
   */
  async drain(deadlineMs: number, elsewhere: boolean): Promise<void> {
    this.#stopping = true;
    const gone = new Promise<void>((resolve) => {
      this.#whenEmpty = resolve;
    });
    // Spread, so that nobody is met by all of them at once.
    const manyMs = this.#open.size * comeBack.eachMs;
    const { leastMs, spreadMs } = elsewhere
      ? { leastMs: 0, spreadMs: manyMs }
      : { ...comeBack, spreadMs: Math.max(comeBack.spreadMs, manyMs) };
    const comeBackMs = (): number => leastMs + Math.floor(Math.random() * spreadMs);
    for (const { session } of [...this.#open]) session?.end("goingAway", comeBackMs());
    if (this.#open.size === 0) return this.stop();
    const cancel = this.#deps.clock.after(deadlineMs, () => this.#whenEmpty?.());
    await gone;
    cancel();
    this.stop();
  }

  /** Ends the sweep. Idempotent. */
  stop(): void {
    this.#stopping = true;
    this.#cancelSweep?.();
  }

  #handler(): WebSocketHandler<Connection> {
    const { connections } = this.#deps.config;
    return {
      // Twice the limit, so that what is a little too large is told so; what is larger Bun closes with 1009.
      maxPayloadLength: 2 * limits.frameBytesMax,
      backpressureLimit: dropLimit(connections.slowConsumerBytes),
      closeOnBackpressureLimit: false,
      // The sweep is quicker; this one ends what is left of connections that were cut off.
      idleTimeout: Math.min(960, Math.max(8, Math.ceil((3 * connections.heartbeatMs) / 1000))),
      sendPings: false,
      perMessageDeflate: false,
      publishToSelf: false,
      open: (ws) => this.#opened(ws),
      message: (ws, message) => this.#received(ws, message),
      drain: (ws) => ws.data.line?.drained(),
      ping: (ws) => this.#heard(ws.data),
      pong: (ws, payload) => {
        this.#heard(ws.data);
        ws.data.session?.ponged(payload.toString("latin1"));
      },
      close: (ws, code) => this.#closed(ws.data, code),
    };
  }

  #opened(ws: ServerWebSocket<Connection>): void {
    const connection = ws.data;
    connection.line = new Line(this.#outbox, ws);
    connection.session = new Session(this.#world, connection.line);
    this.#open.add(connection);
    this.#churned();
    this.#deps.meter.connectionOpened();
  }

  #heard(connection: Connection): void {
    connection.heardAt = this.#sweep;
  }

  #received({ data }: ServerWebSocket<Connection>, message: string | Uint8Array): void {
    const { session } = data;
    if (session === null) return;
    this.#heard(data);
    this.#messages++;
    try {
      if (typeof message === "string") session.end("malformedFrame");
      else if (message.length > limits.frameBytesMax) session.end("frameTooLarge");
      else session.receive(message);
    } catch (error) {
      this.#deps.log.error({ err: error, user: session.user }, "a session failed");
      session.end("internalError");
    }
  }

  #closed(connection: Connection, code: number): void {
    this.#open.delete(connection);
    this.#churned();
    this.#admission.leave(connection.address);
    const reason = connection.line?.gone() ?? (code === 1006 ? "lost" : code === 1009 ? "frameTooLarge" : "client");
    connection.session?.closed();
    this.#deps.meter.connectionClosed(reason);
    if (this.#open.size === 0) this.#whenEmpty?.();
  }

  #publish(topic: string, frame: Uint8Array): number {
    if (this.#topics === null) return 0;
    const status = this.#topics.publish(topic, frame);
    this.#publishedBytes += frame.length;
    // Looked at before any buffer can have grown to where the socket drops.
    if (this.#publishedBytes >= publishedBytesMax) this.#look();
    return status;
  }

  /** Closes whoever reads too slowly, to resume later: nothing was dropped of what they were sent until then. */
  #look(): void {
    this.#publishedBytes = 0;
    const now = this.#deps.clock.monotonic();
    const behind: Connection[] = [];
    for (const connection of this.#open)
      if ((connection.line?.look(now) ?? 0) > bufferedShareMin) behind.push(connection);
    if (behind.length === 0) return;
    const most = Math.min(this.#outbox.slowBytes, Math.max(bufferedShareMin, bufferedBytesMax / behind.length));
    for (const { line, session } of behind) {
      if (line === null || line.closing || line.look(now) <= most) continue;
      this.#deps.meter.slowConsumer();
      session?.end("tooSlow", 1_000);
    }
  }

  #sweepLater(): void {
    this.#cancelSweep = this.#deps.clock.after(sweepMs, () => {
      this.#sweep++;
      for (const connection of this.#open) this.#attend(connection);
      this.#look();
      this.#collectWhenQuiet();
      if (!this.#stopping || this.#open.size > 0) this.#sweepLater();
    });
  }

  #churned(): void {
    this.#churn++;
    this.#churnedAt = this.#sweep;
  }

  /** Without work there is no collection either, and what signing in left behind would stay for as long. */
  #collectWhenQuiet(): void {
    const messagesMax = Math.max(quiet.messagesMax, quiet.messagesPerConnection * this.#open.size);
    const calm = this.#sweep - this.#churnedAt >= quiet.sweeps && this.#messages <= messagesMax;
    this.#messages = 0;
    const actorsGone = this.#actorsGoneAt > 0 && this.#sweep >= this.#actorsGoneAt;
    if (!calm || (this.#churn < churnMax && !actorsGone)) return;
    if (actorsGone) this.#actorsGoneAt = 0;
    else this.#actorsGoneAt = this.#sweep + Math.ceil(this.#deps.config.actors.idleMs / sweepMs) + idleSweeps;
    this.#churn = 0;
    if (this.#deps.collect) this.#deps.collect();
    else Bun.gc(true);
  }

  /** Asks a silent client whether it is there, once, before it is given up. */
  #attend({ session, line, heardAt }: Connection): void {
    session?.tick(line?.look(this.#deps.clock.monotonic()) ?? 0);
    const silentMs = (this.#sweep - heardAt) * sweepMs;
    const { heartbeatMs } = this.#deps.config.connections;
    if (silentMs >= 2 * heartbeatMs + sweepMs) session?.end("heartbeatMissed", 0);
    else if (silentMs >= 1.5 * heartbeatMs && silentMs - sweepMs < 1.5 * heartbeatMs) line?.ping();
  }
}

/** Sockets for `Bun.serve`; connects the hub to them. */
export function createSocketServer(deps: SocketServerDeps): SocketServer {
  return new SocketServer(deps);
}

function refusal(status: number, says: string, retryAfterSeconds?: number): Response {
  const headers = retryAfterSeconds === undefined ? {} : { "Retry-After": String(retryAfterSeconds) };
  return new Response(`${says}\n`, { status, headers });
}
