// Who may open a socket: the right subprotocol, a page of a known origin, and not too many from one address or altogether.
// Owned by the socket server. Refusals are plain HTTP answers: they cost no socket (G11).
import type { Config } from "../lib/settings";
import { subprotocol } from "../protocol/frames";

/** What admission depends on. */
export type AdmissionSettings = Pick<Config, "connections" | "origins" | "http">;

/** Counts connections and checks requests for new ones. */
export class Admission {
  readonly #settings: AdmissionSettings;
  readonly #byAddress = new Map<string, number>();
  #total = 0;

  constructor(settings: AdmissionSettings) {
    this.#settings = settings;
  }

  /** Null where the request may be upgraded. */
  check(request: Request): Response | null {
    const { headers } = request;
    if (request.method !== "GET" || headers.get("upgrade")?.toLowerCase() !== "websocket") {
      return refuse(426, "this address speaks WebSocket", { Upgrade: "websocket" });
    }
    const offered = (headers.get("sec-websocket-protocol") ?? "").split(",").map((name) => name.trim());
    if (!offered.includes(subprotocol)) return refuse(400, `offer the subprotocol ${subprotocol}`);
    if (!this.#mayConnect(headers.get("origin"), headers.get("host"))) {
      return refuse(403, "pages of this origin may not connect; the operator allows them with `origins`");
    }
    return null;
  }

  /** Whoever is no browser sends no origin; a page of the server's own host may always connect. */
  #mayConnect(origin: string | null, host: string | null): boolean {
    const { origins } = this.#settings;
    if (origin === null || origins.includes("*") || origins.includes(origin)) return true;
    return URL.canParse(origin) && host !== null && new URL(origin).host === host.toLowerCase();
  }

  /** The client's address: of the connection, or what a trusted proxy said last. */
  addressOf(request: Request, peer: string): string {
    if (!this.#settings.http.trustForwarded) return peer;
    return request.headers.get("x-forwarded-for")?.split(",").at(-1)?.trim() || peer;
  }

  /** Counts one more; the refusal where that is too many. */
  enter(address: string): Response | null {
    const { max, perAddress } = this.#settings.connections;
    if (this.#total >= max) return refuse(503, "the server has too many connections", { "Retry-After": "10" });
    const count = this.#byAddress.get(address) ?? 0;
    if (count >= perAddress) return refuse(429, "too many connections from this address", { "Retry-After": "10" });
    this.#byAddress.set(address, count + 1);
    this.#total++;
    return null;
  }

  /** One that entered is gone. */
  leave(address: string): void {
    const count = this.#byAddress.get(address) ?? 0;
    if (count > 1) this.#byAddress.set(address, count - 1);
    else this.#byAddress.delete(address);
    this.#total--;
  }
}

function refuse(status: number, says: string, headers: Record<string, string> = {}): Response {
  return new Response(`${says}\n`, { status, headers });
}
