// The way in: createClient. Composes connection, sync, outbox and state; importing it does nothing.
import { socketPath } from "../protocol/frames";
import { platformStorage } from "./indexeddb-storage";
import { createSystemClock } from "./clock";
import { Core } from "./core";
import { ClientError } from "./errors";
import { Face } from "./face";
import { platformLocks } from "./queue-lock";
import type { ClientOptions, ParleyClient, WebSocketConstructor } from "./types";
import { systemRandom } from "./uuid";

/** Makes a client and begins to connect. Throws ClientError `bad_request` for a URL that is none, or without a WebSocket. */
export function createClient(options: ClientOptions): ParleyClient {
  const url = socketUrl(options.url);
  const webSocket = options.webSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  if (!webSocket)
    throw new ClientError("bad_request", "final", "there is no WebSocket here: hand one in as `webSocket`");
  const core = new Core({
    options,
    url,
    webSocket,
    storage: options.storage ?? platformStorage(),
    locks: options.locks === undefined ? platformLocks() : options.locks,
    clock: options.clock ?? createSystemClock(),
    random: options.random ?? systemRandom,
  });
  core.start();
  return new Face(core);
}

/** The socket's address: the scheme of a WebSocket, and the path of the protocol where none is given. */
function socketUrl(given: string): string {
  let url: URL;
  try {
    url = new URL(given);
  } catch {
    throw new ClientError("bad_request", "final", `not a URL: ${given}`);
  }
  if (url.protocol === "http:") url.protocol = "ws:";
  if (url.protocol === "https:") url.protocol = "wss:";
  if (url.protocol !== "ws:" && url.protocol !== "wss:")
    throw new ClientError("bad_request", "final", `not a URL of http(s) or ws(s): ${given}`);
  if (url.pathname === "/") url.pathname = socketPath;
  url.hash = "";
  return url.href;
}
