// A session: one connection's requests, from hello to the last answer. One object a socket, created by the transport.
// Keeps G4 (one unresolved send per conversation) and G11: what waits is bounded, and a flood closes the connection.
import type { Cancel } from "../lib/clock";
import type { AppError } from "../lib/errors";
import { AppError as Refusal, toAppError } from "../lib/errors";
import { capabilities } from "../protocol/capabilities";
import type { CloseReason } from "../protocol/codes";
import { decodeFrames, encode, encodeError, encodePush, encodeReply, MalformedFrame } from "../protocol/codec";
import { frameTypes } from "../protocol/frames";
import type { ConversationId, DeviceId, UserId } from "../protocol/ids";
import { limits } from "../protocol/limits";
import type { OperationName } from "../protocol/operations";
import { ClientPings } from "./client-pings";
import { Rate } from "./rate";
import { isOperation, readDeadline } from "./session-args";
import { perform } from "./session-operations";
import { answered, sessionLimits } from "./session-world";
import type { Call, PersonRates, SessionHandle, SessionLine, SessionState, SessionWorld } from "./session-world";

const pong = encode([frameTypes.pong]);
const idMax = 0xffff_ffff;

/** See the head of this file. Made by the transport for each connection; everybody else knows it as a {@link SessionHandle}. */
export class Session implements SessionHandle {
  readonly world: SessionWorld;
  readonly line: SessionLine;
  user: UserId | null = null;
  device: DeviceId | null = null;
  expiresAt: number | null = null;
  state: SessionState = "new";
  capabilities = 0;
  syncing = 0;
  interested = false;
  doubted = false;
  sibling: SessionHandle | null = null;
  watched: readonly UserId[] | null = null;
  lookedAt: Map<ConversationId, boolean> | null = null;
  personRates: PersonRates | null = null;
  shownAt: number;
  #pings: ClientPings | null = null;
  readonly #rate: Rate;
  readonly #openedAt: number;
  #warned = false;
  /** Ids of unanswered requests, 0 for those that want no answer. */
  readonly #unanswered: number[] = [];
  #unansweredBytes = 0;
  /** Conversations with an unresolved send; null while there never was one. */
  #sending: ConversationId[] | null = null;
  /** Frames behind a hello that is being checked. */
  #waiting: (readonly unknown[])[] | null = null;
  #waitingBytes = 0;

  constructor(world: SessionWorld, line: SessionLine) {
    this.world = world;
    this.line = line;
    this.#openedAt = world.clock.monotonic();
    // Whatever comes over this connection was sent by somebody who had seen it open.
    this.shownAt = this.#openedAt;
    this.#rate = new Rate(sessionRule(world), this.#openedAt);
  }

  /** Takes one WebSocket message. Never throws, never waits. */
  receive(bytes: Uint8Array): void {
    if (this.state === "ended" || this.state === "leaving") return;
    try {
      const frames = decodeFrames(bytes);
      const now = this.world.clock.monotonic();
      for (const frame of frames) this.#accept(frame, now, Math.ceil(bytes.length / frames.length));
    } catch (error) {
      if (!(error instanceof MalformedFrame)) throw error;
      this.end("malformedFrame");
    }
  }

  /** Looks at the clock: called about once a second for every session by the transport's one sweep. @param waiting bytes unsent */
  tick(waiting = 0): void {
    const { clock, settings } = this.world;
    // Who reads too slowly is another's to judge.
    if (this.#pings?.tick(waiting > 0) === false) return this.end("heartbeatMissed", 0);
    // While hello is checked, or waits for its turn, the client is not to blame; both end by themselves.
    if (this.state === "new") {
      if (clock.monotonic() - this.#openedAt > settings.connections.helloTimeoutMs) this.end("helloTimeout");
    } else if (this.state === "open" && this.expiresAt !== null) {
      const left = this.expiresAt - clock.now();
      if (left <= 0) this.end("tokenExpired");
      else if (left <= sessionLimits.expiryNoticeMs && !this.#warned) {
        this.#warned = true;
        this.line.send(encodePush("tokenExpiring", this.expiresAt));
      }
    }
  }

  refreshed(expiresAt: number | null): void {
    this.expiresAt = expiresAt;
    this.#warned = false;
  }

  end(reason: CloseReason, retryAfterMs: number | null = null): void {
    if (this.state === "ended") return;
    this.line.close(reason, retryAfterMs);
    this.closed();
  }

  signedOut(): void {
    if (this.state === "verifying") this.doubted = true;
    else if (this.state === "open") {
      this.state = "leaving";
      this.world.clock.endOfTurn(() => this.end("signedOut"));
    }
  }

  resync(withinMs: number): void {
    if (this.state !== "open" || !this.interested) return;
    if (this.capabilities & capabilities.resync.bit) this.line.send(encodePush("resync", withinMs));
    else this.end("goingAway", Math.floor(Math.random() * withinMs));
  }

  /** The connection is gone. Idempotent. */
  closed(): void {
    if (this.state === "ended") return;
    this.state = "ended";
    this.#waiting = null;
    this.world.directory.leave(this);
  }

  isWanted(): boolean {
    return this.state !== "ended";
  }

  show(enough: () => boolean, then: () => void): Cancel {
    this.#pings ??= new ClientPings(
      this.world.clock,
      (payload) => this.line.ping(payload),
      (at) => (this.shownAt = at),
    );
    return this.#pings.ask(enough, then);
  }

  /** The client's WebSocket answered a ping. */
  ponged(payload: string): void {
    if (this.state !== "ended") this.#pings?.answered(payload);
  }

  beginSend(conversation: ConversationId): boolean {
    this.#sending ??= [];
    if (this.#sending.includes(conversation)) return false;
    this.#sending.push(conversation);
    return true;
  }

  endSend(conversation: ConversationId): void {
    const at = this.#sending?.indexOf(conversation) ?? -1;
    if (at >= 0) this.#sending?.splice(at, 1);
  }

  answerInOrder(call: Call, result: unknown): void {
    if (call.id !== 0 && !this.#over()) this.line.send(this.#encode(call, result));
  }

  answerNow(call: Call, result: unknown): void {
    if (call.id !== 0 && !this.#over()) this.line.sendNow(this.#encode(call, result));
  }

  resumeWaiting(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    const now = this.world.clock.monotonic();
    const bytes = waiting.length === 0 ? 0 : Math.ceil(this.#waitingBytes / waiting.length);
    this.#waitingBytes = 0;
    for (const frame of waiting) this.#accept(frame, now, bytes);
  }

  #over(): boolean {
    return this.state === "ended";
  }

  #accept(frame: readonly unknown[], now: number, bytes: number): void {
    if (this.state === "ended" || this.state === "leaving") return;
    const [type, id, name] = frame;
    if (type === frameTypes.ping || type === frameTypes.pong) {
      if (!this.#refusesRate(null, now) && type === frameTypes.ping) this.line.send(pong);
    } else if (type !== frameTypes.request || typeof name !== "string" || !isRequestId(id)) {
      throw new MalformedFrame("neither a request nor a heartbeat");
    } else if (this.state === "verifying") this.#wait(frame, bytes);
    else this.#request(frame, id, name, now, bytes);
  }

  #wait(frame: readonly unknown[], bytes: number): void {
    this.#waiting ??= [];
    this.#waiting.push(frame);
    this.#waitingBytes += bytes;
    const most = this.world.settings.connections.inboundQueueMax;
    if (this.#waiting.length > most || this.#waitingBytes > sessionLimits.beforeHelloBytesMax) this.#flooded();
  }

  #request(frame: readonly unknown[], id: number, name: string, now: number, bytes: number): void {
    if (id !== 0 && this.#unanswered.includes(id)) throw new MalformedFrame("the id of an unanswered request");
    if (this.#refusesRate(id, now)) return;
    if (this.#unanswered.length >= this.world.settings.connections.inboundQueueMax) return this.#flooded();
    this.#unanswered.push(id);
    this.#unansweredBytes += bytes;
    const refusal = this.#refusal(name);
    if (refusal !== null) return this.#refuse({ id, name, bytes }, refusal);
    try {
      const timeoutMs = Math.min(readDeadline(frame[4]) ?? sessionLimits.askMs, sessionLimits.askMs);
      const args = frame[3];
      this.#perform({ session: this, id, name: name as OperationName, args, timeoutMs, startedAt: now, bytes });
    } catch (error) {
      this.#refuse({ id, name, bytes }, toAppError(error));
    }
  }

  /** Why a request is not even looked at. */
  #refusal(name: string): AppError | null {
    if (!isOperation(name)) return new Refusal("unknown_operation");
    if (this.state === "new" && name !== "hello") return new Refusal("not_signed_in");
    if (this.#unansweredBytes > sessionLimits.unansweredBytesMax)
      return new Refusal("overloaded", undefined, { retryAfterMs: 100 });
    return null;
  }

  #perform(call: Call): void {
    const result = perform(call);
    if (!(result instanceof Promise)) return this.#answer(call, result);
    result.then(
      (value) => this.#answer(call, value),
      (error) => this.#refuse(call, toAppError(error)),
    );
  }

  #answer(call: Call, result: unknown): void {
    this.#settle(call);
    const { clock, meter } = this.world;
    meter.requestDone(call.name, clock.monotonic() - call.startedAt);
    if (call.id !== 0 && result !== answered && !this.#over()) this.line.send(this.#encode(call, result));
  }

  #encode(call: Call, result: unknown): Uint8Array {
    try {
      const frame = encodeReply(call.id, result);
      if (frame.length <= limits.frameBytesMax) return frame;
      this.world.log.error({ operation: call.name, bytes: frame.length }, "an answer was larger than a frame may be");
    } catch (error) {
      this.world.log.error({ err: error, operation: call.name }, "an answer could not be encoded");
    }
    return encodeError(call.id, new Refusal("internal").toTuple());
  }

  #refuse(call: Pick<Call, "id" | "bytes"> & { readonly name: string }, error: AppError): void {
    this.#settle(call);
    const { meter, log } = this.world;
    meter.requestFailed(isOperation(call.name) ? call.name : "unknown", error.code);
    if (error.code === "internal") log.error({ err: error.cause, operation: call.name }, "a request failed");
    if (call.id !== 0 && !this.#over()) this.line.send(encodeError(call.id, error.toTuple()));
  }

  #settle({ id, bytes }: Pick<Call, "id" | "bytes">): void {
    const at = this.#unanswered.indexOf(id);
    if (at >= 0) this.#unanswered.splice(at, 1);
    this.#unansweredBytes -= bytes;
  }

  /** Counts a frame; answers `slow_down` where it is a request over the limit. */
  #refusesRate(id: number | null, now: number): boolean {
    const rule = sessionRule(this.world);
    const waitMs = this.#rate.take(rule, now) || (this.personRates?.take(now) ?? 0);
    if (waitMs === 0) return false;
    this.world.meter.dropped("rate");
    if (this.#rate.flooded(rule)) this.#flooded();
    else if (id)
      this.line.send(encodeError(id, new Refusal("slow_down", undefined, { retryAfterMs: waitMs }).toTuple()));
    return true;
  }

  #flooded(): void {
    this.world.meter.dropped("flood");
    this.end("flooding", 5_000);
  }
}

function sessionRule({ settings }: SessionWorld): { perSecond: number; burst: number } {
  return { perSecond: settings.rates.sessionPerSecond, burst: settings.rates.sessionBurst };
}

function isRequestId(id: unknown): id is number {
  return typeof id === "number" && Number.isInteger(id) && id >= 0 && id <= idMax;
}
