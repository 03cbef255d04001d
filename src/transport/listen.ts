// The one port of a server: sockets on their path, HTTP on every other. Owned by the composition.
import type { Log } from "../lib/log";
import { AppError } from "../lib/errors";
import { socketPath } from "../protocol/frames";
import type { HandleHttp } from "./http";
import { errorResponse } from "./http-errors";
import type { Connection, SocketServer } from "./websocket";

/** One of several nodes of this machine that listen on the same port. */
export interface SharedPort {
  /** This node's own port on loopback, for its figures and its health; 0 takes a free one. */
  readonly adminPort: number;
}

/** What is listened for. */
export interface ListenOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly bodyBytesMax: number;
  readonly sockets: Pick<SocketServer, "fetchUpgrade" | "websocket">;
  readonly http: HandleHttp;
  /** Whether sockets may be opened already; until then their path is answered by `http`. */
  readonly isOpen: () => boolean;
  /** Null: the port is this process' alone. Otherwise the system spreads connections over all that listen there. */
  readonly shared: SharedPort | null;
  readonly log: Log;
}

/** A bound port. */
export interface Listening {
  readonly port: number;
  readonly url: string;
  /** Where this node alone is reached; null where the port is its own anyway. */
  readonly adminUrl: string | null;
  /** Takes no new connections, but on the port of its own; those that are open stay. */
  refuseMore(): void;
  /** Cuts off what is still open. */
  close(): Promise<void>;
}

/** Seconds of silence after which an HTTP connection is closed. */
const httpIdleSeconds = 30;

/** What binding a port came to, for whoever has to tell the operator. */
interface Place {
  readonly host: string;
  readonly port: number;
  /** What sets it. */
  readonly setBy: string;
}

const loopback = "127.0.0.1";
const setByOption = "--admin-port";

/** Binds the port, and the one of its own. Throws with a sentence for the operator where that is impossible. */
export function listen(options: ListenOptions): Listening {
  const { host, shared, http } = options;
  const server = bind({ host, port: options.port, setBy: "PARLEY_PORT" }, (place) =>
    serve(place, shared === null ? options : { ...options, http: withoutFigures(http) }),
  );
  const admin = shared === null ? null : listenAside(server, shared.adminPort, options);
  return {
    port: server.port as number,
    url: urlOf(host, server.port as number),
    adminUrl: admin === null ? null : urlOf(loopback, admin.port as number),
    refuseMore: () => void server.stop(),
    close: async () => void (await Promise.all([server.stop(true), admin?.stop(true)])),
  };
}

/**
 * Whether nobody listens on these ports, and which free ones are taken for 0: each is bound by this process alone for a
 * moment, all at once. Throws with a sentence for the operator where one is in use, also by processes that share it.
 */
export function findPorts(places: readonly Place[]): readonly number[] {
  const bound: Bun.Server<undefined>[] = [];
  try {
    for (const place of places) {
      const fetch = (): Response => new Response(null, { status: 503 });
      bound.push(bind(place, ({ host, port }) => Bun.serve({ hostname: host, port, reusePort: false, fetch })));
    }
    return bound.map(({ port }) => port as number);
  } finally {
    for (const server of bound) void server.stop(true);
  }
}

/** The ports that `nodes` nodes behind one port listen on: the shared one first, then each node's own. */
export function placesOfNodes(host: string, port: number, adminPort: number, nodes: number): readonly Place[] {
  const own = Array.from({ length: nodes }, (_, i) => (adminPort === 0 ? 0 : adminPort + i));
  return [
    { host, port, setBy: "PARLEY_PORT" },
    ...own.map((each) => ({ host: loopback, port: each, setBy: setByOption })),
  ];
}

function urlOf(host: string, port: number): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function serve(place: Place, { shared, bodyBytesMax, sockets, http, isOpen, log }: ListenOptions) {
  return Bun.serve<Connection>({
    ...partsOfHttp(place, bodyBytesMax, log),
    reusePort: shared !== null,
    websocket: sockets.websocket,
    fetch(request, server) {
      const forSockets = isOpen() && new URL(request.url).pathname === socketPath;
      return forSockets ? sockets.fetchUpgrade(request, server) : http(request);
    },
  });
}

function listenAside(server: Bun.Server<Connection>, port: number, options: ListenOptions): Bun.Server<undefined> {
  const { bodyBytesMax, http, log } = options;
  try {
    return bind({ host: loopback, port, setBy: setByOption }, (place) =>
      Bun.serve({ ...partsOfHttp(place, bodyBytesMax, log), reusePort: false, fetch: http }),
    );
  } catch (error) {
    void server.stop(true);
    throw error;
  }
}

function partsOfHttp({ host, port }: Place, bodyBytesMax: number, log: Log) {
  return {
    hostname: host,
    port,
    idleTimeout: httpIdleSeconds,
    // The envelope of http.ts answers what is a little too large; what is far beyond is cut off.
    maxRequestBodySize: bodyBytesMax * 2,
    development: false,
    error(thrown: Error): Response {
      log.error({ err: thrown }, "an HTTP request failed");
      return errorResponse(new AppError("internal"));
    },
  };
}

/** Whoever asked a port that several nodes share for figures would get another node's each time. */
function withoutFigures(http: HandleHttp): HandleHttp {
  const elsewhere = "several nodes share this port; each gives its figures on a port of its own, see `parley nodes`";
  return (request) =>
    new URL(request.url).pathname === "/metrics"
      ? errorResponse(new AppError("unknown_operation", elsewhere))
      : http(request);
}

function bind<S>(place: Place, start: (place: Place) => S): S {
  try {
    return start(place);
  } catch (error) {
    throw new Error(problemOf(place, error), { cause: error });
  }
}

function problemOf({ host, port, setBy }: Place, error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "EADDRINUSE") return `port ${port} of ${host} is in use; stop what listens there or set ${setBy}`;
  const why = error instanceof Error ? error.message : String(error);
  return `cannot listen on ${host}, port ${port} (${why}); set PARLEY_HOST and ${setBy}`;
}
