// The way to the server: token, socket, hello, requests, reconnecting. Owned by the client.
// Decides when to try again and when to stop; what is said over the connection is not its business.
import { closeCodes } from "../protocol/codes";
import { frameTypes, protocolVersion } from "../protocol/frames";
import type { OperationName, Results } from "../protocol/operations";
import type { UserId } from "../protocol/ids";
import { readPush } from "./answers";
import type { Push } from "./answers";
import { Backoff } from "./backoff";
import type { ClientClock } from "./clock";
import { ClientError, toClientError } from "./errors";
import { Link } from "./link";
import { Requests } from "./requests";
import { TokenSource } from "./token-source";
import type { WebSocketConstructor } from "./types";

/** What hello answered. */
export interface Hello {
  readonly user: UserId;
  readonly generation: string;
  /** What the server can do beyond version 1. */
  readonly capabilities: readonly string[];
}

/** What the owner of a connection is told. */
export interface ConnectionEvents {
  onSignedIn(hello: Hello): void;
  onPush(push: Push): void;
  /** The connection that was signed in is lost; every request of it has been rejected. */
  onLost(): void;
  /** The state changed. */
  onChange(): void;
  report(error: unknown): void;
}

/** What a connection is made of. */
export interface ConnectionSetup {
  readonly url: string;
  readonly webSocket: WebSocketConstructor;
  readonly token: () => Promise<string | null>;
  readonly deviceId: () => string;
  readonly platform: string | null;
  /** What this client names in hello. */
  readonly capabilities: readonly string[];
  readonly clock: ClientClock;
  readonly random: () => number;
  readonly requestTimeoutMs: number;
  readonly backoff: { readonly baseMs?: number; readonly capMs?: number };
}

/** A connection that lived this long was a good one: the next failure is the first in a row. */
const stableMs = 3_000;
/** A token is refreshed this long before it expires, or earlier where the server says so. */
const refreshBeforeMs = 60_000;

const closeReasons = new Map<number, string>(Object.entries(closeCodes).map(([name, { code }]) => [code, name]));
const tokenCodes = new Set(["bad_token", "token_expired"]);

/** What the server said before it closed, or refused. */
interface Goodbye {
  readonly code: number;
  readonly retryAfterMs: number | null;
  readonly reason?: string;
}

/** One person's connection, through as many sockets as it takes. At most one attempt is under way at a time. */
export class Connection {
  readonly #setup: ConnectionSetup;
  readonly #events: ConnectionEvents;
  readonly #tokens: TokenSource;
  readonly #backoff: Backoff;
  #state: "connecting" | "online" | "offline" | "signedOut" = "offline";
  #reason: string | null = null;
  #retryAt: number | null = null;
  #closed = false;
  /** Of the present attempt; what belongs to an older one is ignored. */
  #attempt = 0;
  #token = "";
  #link: Link | null = null;
  #requests: Requests | null = null;
  #onlineSince = 0;
  /** The server's clock less this device's. */
  #serverAheadMs = 0;
  /** Why this connection ends, told before it does. */
  #goodbye: Goodbye | null = null;
  #refreshing = false;
  #cancelRetry = () => {};
  #cancelRefresh = () => {};

  constructor(setup: ConnectionSetup, events: ConnectionEvents) {
    this.#setup = setup;
    this.#events = events;
    this.#tokens = new TokenSource(setup.token, () => setup.clock.now());
    this.#backoff = new Backoff(setup.random, setup.backoff.baseMs, setup.backoff.capMs);
  }

  get state(): "connecting" | "online" | "offline" | "signedOut" {
    return this.#state;
  }

  get reason(): string | null {
    return this.#reason;
  }

  get retryAt(): number | null {
    return this.#retryAt;
  }

  get online(): boolean {
    return this.#state === "online";
  }

  /** Begins an attempt now, unless one is under way or the connection stands. */
  connect(): void {
    if (this.#closed || this.#state === "connecting" || this.#state === "online") return;
    this.#cancelRetry();
    this.#change("connecting", this.#reason);
    this.#attempt++;
    void this.#begin(this.#attempt);
  }

  /** Ends for good. */
  close(): void {
    this.#closed = true;
    this.#leave("offline", "closed");
  }

  /** Ends until {@link connect}: the person is signed out. */
  signOut(): void {
    this.#tokens.clear();
    this.#leave("signedOut", "signedOut");
  }

  /** Rejects with a ClientError; `offline` where there is no connection. */
  ask<N extends OperationName>(operation: N, args: readonly unknown[]): Promise<Results[N]> {
    if (this.#state !== "online" || !this.#requests) return Promise.reject(new ClientError("offline"));
    return this.#requests.ask(operation, args, this.#setup.requestTimeoutMs);
  }

  /** Sends without wanting an answer; dropped where there is no connection. */
  tell(operation: OperationName, args: readonly unknown[]): void {
    if (this.#state === "online") this.#requests?.tell(operation, args);
  }

  async #begin(attempt: number): Promise<void> {
    let token: string | null;
    try {
      token = await this.#tokens.current();
    } catch (error) {
      if (attempt !== this.#attempt) return;
      this.#events.report(error);
      return this.#retry("token_provider", 0);
    }
    if (attempt !== this.#attempt) return;
    if (token === null) return this.signOut();
    this.#token = token;
    this.#goodbye = null;
    try {
      this.#link = new Link(this.#setup.url, this.#setup.webSocket, this.#setup.clock, {
        onOpen: () => void this.#hello(),
        onFrame: (frame) => this.#take(frame),
        onDown: (code, why) => this.#down(code, why),
      });
      this.#requests = new Requests(this.#link, this.#setup.clock);
    } catch (error) {
      this.#events.report(error);
      this.#retry("network", 0);
    }
  }

  async #hello(): Promise<void> {
    const link = this.#link;
    const requests = this.#requests;
    if (!link || !requests) return;
    const { clock, platform, deviceId, requestTimeoutMs, capabilities } = this.#setup;
    const client = { sdk: "parley-js", version: "0.1.0", ...(platform === null ? {} : { platform }) };
    try {
      const args = [protocolVersion, this.#token, deviceId(), client, capabilities];
      const answer = await requests.ask("hello", args, requestTimeoutMs);
      if (link !== this.#link) return;
      const [, serverTime, generation, user, named, limits, heartbeatMs, expiresAt] = answer;
      requests.allow(limits.unansweredMax);
      this.#onlineSince = clock.monotonic();
      this.#serverAheadMs = serverTime - clock.now();
      link.heartbeat(heartbeatMs);
      this.#expires(expiresAt, serverTime);
      this.#change("online", null);
      this.#events.onSignedIn({ user, generation, capabilities: named });
    } catch (error) {
      if (link === this.#link) this.#refused(link, toClientError(error));
    }
  }

  #refused(link: Link, error: ClientError): void {
    if (error.code === "signed_out") return this.signOut();
    if (tokenCodes.has(error.code)) return link.drop(closeCodes.badToken.code, error.code);
    if (error.code === "unsupported_version") return link.drop(closeCodes.unsupportedVersion.code, error.code);
    this.#goodbye = { code: 1006, retryAfterMs: error.retryAfterMs, reason: error.code };
    link.drop(1006, error.code);
  }

  #take(frame: readonly unknown[]): void {
    if (frame[0] === frameTypes.reply || frame[0] === frameTypes.error) return this.#requests?.settle(frame);
    if (frame[0] !== frameTypes.push) return;
    let push: Push | null = null;
    try {
      push = readPush(frame[1], frame.slice(2));
    } catch (error) {
      return this.#events.report(error);
    }
    if (push?.name === "goodbye") this.#goodbye = { code: push.args[0], retryAfterMs: push.args[1] };
    else if (push?.name === "tokenExpiring") void this.#refresh();
    else if (push && this.#state === "online") this.#events.onPush(push);
  }

  /** A token's life is measured by the server's clock, from now. */
  #expires(expiresAt: number | null, serverTime: number): void {
    const { clock } = this.#setup;
    this.#cancelRefresh();
    this.#tokens.expires(expiresAt === null ? null : clock.now() + expiresAt - serverTime);
    if (expiresAt === null) return;
    const left = expiresAt - serverTime;
    const wait = Math.max(0, left - Math.min(refreshBeforeMs, left / 5));
    this.#cancelRefresh = clock.after(Math.min(wait, 2 ** 31 - 1), () => void this.#refresh());
  }

  /** Puts a fresh token in the place of one that is about to expire. */
  async #refresh(): Promise<void> {
    const link = this.#link;
    if (this.#refreshing || !link || this.#state !== "online") return;
    this.#refreshing = true;
    this.#cancelRefresh();
    try {
      const token = await this.#tokens.fresh();
      if (link !== this.#link) return;
      if (token === null) return this.signOut();
      this.#token = token;
      const [expiresAt] = await this.ask("refresh", [token]);
      if (link === this.#link) this.#expires(expiresAt, this.#setup.clock.now() + this.#serverAheadMs);
    } catch (error) {
      if (link === this.#link) this.#refreshFailed(link, toClientError(error));
    } finally {
      this.#refreshing = false;
    }
  }

  #refreshFailed(link: Link, error: ClientError): void {
    this.#events.report(error);
    if (error.code === "signed_out") return this.signOut();
    // A token for somebody else is a sign-in of its own.
    if (error.code === "wrong_subject") return link.drop(1006, error.code);
    if (tokenCodes.has(error.code)) return link.drop(closeCodes.badToken.code, error.code);
    this.#cancelRefresh = this.#setup.clock.after(10_000, () => void this.#refresh());
  }

  #down(closeCode: number, why: string): void {
    const wasOnline = this.#state === "online";
    const goodbye = this.#goodbye;
    const code = closeCode >= 4000 ? closeCode : (goodbye?.code ?? closeCode);
    this.#link = null;
    const requests = this.#requests;
    this.#requests = null;
    this.#cancelRefresh();
    if (wasOnline && this.#setup.clock.monotonic() - this.#onlineSince >= stableMs) this.#backoff.reset();
    this.#afterDown(code, why, goodbye);
    requests?.fail();
    if (wasOnline) this.#events.onLost();
  }

  #afterDown(code: number, why: string, goodbye: Goodbye | null = null): void {
    const retryAfterMs = goodbye?.retryAfterMs ?? 0;
    // Whoever sends many away at once spreads when they come back.
    const isSpread = code === closeCodes.goingAway.code && typeof goodbye?.retryAfterMs === "number";
    if (this.#closed || this.#state === "signedOut") return;
    const reason = closeReasons.get(code) ?? goodbye?.reason ?? "network";
    if (code === closeCodes.signedOut.code) {
      this.#tokens.clear();
      return this.#change("signedOut", reason);
    }
    if (code === closeCodes.badToken.code || code === closeCodes.tokenExpired.code) {
      this.#tokens.refuse(this.#token);
      return this.#retry(reason, retryAfterMs);
    }
    if (code >= 4500 && code < 5000) {
      this.#events.report(new ClientError("disconnected", "final", `the server refused: ${reason} ${why}`));
      return this.#change("offline", reason);
    }
    this.#retry(reason, retryAfterMs, isSpread);
  }

  #retry(reason: string, leastMs: number, isSpread = false): void {
    const wait = this.#backoff.next(leastMs, isSpread);
    this.#retryAt = this.#setup.clock.now() + wait;
    this.#cancelRetry();
    this.#cancelRetry = this.#setup.clock.after(wait, () => this.connect());
    this.#change("offline", reason, this.#retryAt);
  }

  #leave(state: "offline" | "signedOut", reason: string): void {
    this.#attempt++;
    this.#cancelRetry();
    const link = this.#link;
    const wasOnline = this.#state === "online";
    this.#link = null;
    this.#change(state, reason);
    const requests = this.#requests;
    this.#requests = null;
    this.#cancelRefresh();
    requests?.fail();
    link?.drop(1000, reason);
    if (wasOnline) this.#events.onLost();
  }

  #change(
    state: "connecting" | "online" | "offline" | "signedOut",
    reason: string | null,
    retryAt: number | null = null,
  ): void {
    this.#state = state;
    this.#reason = reason;
    this.#retryAt = retryAt;
    this.#events.onChange();
  }
}
