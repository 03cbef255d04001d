// The one port of a server: sockets on their path, HTTP on every other. Owned by the composition.
import type { Log } from "../lib/log";
import { AppError } from "../lib/errors";
import { socketPath } from "../protocol/frames";
import type { HandleHttp } from "./http";
import { errorResponse } from "./http-errors";
import type { Connection, SocketServer } from "./websocket";

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
  readonly log: Log;
}

/** A bound port. */
export interface Listening {
  readonly port: number;
  readonly url: string;
  /** Takes no new connections; those that are open stay. */
  refuseMore(): void;
  /** Cuts off what is still open. */
  close(): Promise<void>;
}

/** Seconds of silence after which an HTTP connection is closed. */
const httpIdleSeconds = 30;

/** Binds the port. Throws with a sentence for the operator where that is impossible. */
export function listen(options: ListenOptions): Listening {
  const { host } = options;
  const server = bind(options);
  const port = server.port as number;
  return {
    port,
    url: `http://${host.includes(":") ? `[${host}]` : host}:${port}`,
    refuseMore: () => void server.stop(),
    close: () => server.stop(true),
  };
}

function bind({ host, port, bodyBytesMax, sockets, http, isOpen, log }: ListenOptions): Bun.Server<Connection> {
  try {
    return Bun.serve<Connection>({
      hostname: host,
      port,
      reusePort: false,
      idleTimeout: httpIdleSeconds,
      // The envelope of http.ts answers what is a little too large; what is far beyond is cut off.
      maxRequestBodySize: bodyBytesMax * 2,
      development: false,
      websocket: sockets.websocket,
      fetch(request, server) {
        const forSockets = isOpen() && new URL(request.url).pathname === socketPath;
        return forSockets ? sockets.fetchUpgrade(request, server) : http(request);
      },
      error(thrown) {
        log.error({ err: thrown }, "an HTTP request failed");
        return errorResponse(new AppError("internal"));
      },
    });
  } catch (error) {
    throw new Error(problemOf(host, port, error), { cause: error });
  }
}

function problemOf(host: string, port: number, error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "EADDRINUSE") return `port ${port} of ${host} is in use; stop what listens there or set PARLEY_PORT`;
  const why = error instanceof Error ? error.message : String(error);
  return `cannot listen on ${host}, port ${port} (${why}); set PARLEY_HOST and PARLEY_PORT`;
}
