// Hello and refresh: who speaks here, proven by a token and held against sign-outs (G12).
// Run by a session; the directory knows of it before the sign-out check, so that no sign-out slips between the two.
import { AppError } from "../lib/errors";
import { capabilityNames, namedCapabilities } from "../protocol/capabilities";
import type { CloseReason, ErrorCode } from "../protocol/codes";
import { protocolVersion } from "../protocol/frames";
import type { DeviceId } from "../protocol/ids";
import { limits } from "../protocol/limits";
import type { Args, Results } from "../protocol/operations";
import type { SignedIn, UserAsk } from "./messages";
import { answered } from "./session-world";
import type { Call, ProvenToken, SessionHandle, SessionWorld } from "./session-world";

/** Errors of hello after which the connection is closed; after any other, hello may be repeated. */
const closesAfter: Partial<Record<ErrorCode, CloseReason>> = {
  unsupported_version: "unsupportedVersion",
  bad_token: "badToken",
  token_expired: "tokenExpired",
  signed_out: "signedOut",
};

/** Signs in and sends `Results["hello"]`; rejects with an AppError, after which the connection may be closing. */
export async function hello(call: Call, args: Args<"hello">): Promise<typeof answered> {
  const [version, token, device, client, named] = args;
  const { session } = call;
  const { world } = session;
  if (session.state !== "new") throw new AppError("bad_request", "hello was said before");
  session.state = "verifying";
  try {
    if (version !== protocolVersion) throw new AppError("unsupported_version");
    const { signIns } = world.entrance;
    signIns.assertRoom();
    // Before its turn: keys that cannot be fetched hold nobody up.
    const proven = await prove(world, token);
    await signIns.pass(() => enter(session, proven, device, client?.platform ?? null, call.timeoutMs));
    world.meter.signedIn();
    session.capabilities = namedCapabilities(named ?? []);
    open(call, proven);
    return answered;
  } catch (error) {
    refused(session, error);
    throw error;
  }
}

/** Takes a fresh token of the same person in place. Answers `Results["refresh"]`. */
export async function refresh(call: Call, [token]: Args<"refresh">): Promise<Results["refresh"]> {
  const { session } = call;
  const { world, user, device } = session;
  const proven = await prove(world, token);
  if (proven.user !== user) throw new AppError("wrong_subject");
  await signIn(session, proven, device as DeviceId, null, call.timeoutMs);
  session.refreshed(expiryOf(proven));
  return [session.expiresAt];
}

async function prove(world: SessionWorld, token: string): Promise<ProvenToken> {
  const answer = await world.verifyToken(token);
  if (answer.ok) return answer;
  const wait = answer.code === "auth_unavailable" ? { retryAfterMs: 1_000 } : {};
  throw new AppError(answer.code, undefined, wait);
}

async function enter(
  session: SessionHandle,
  proven: ProvenToken,
  device: DeviceId,
  platform: string | null,
  timeoutMs: number,
): Promise<void> {
  assertHere(session);
  session.user = proven.user;
  session.device = device;
  session.personRates = session.world.directory.enter(session, proven.user);
  if (session.personRates === null) {
    session.world.meter.dropped("connection_of_person");
    session.end("tooManyConnections", 30_000);
    throw new AppError("overloaded", "too many connections", { retryAfterMs: 30_000 });
  }
  const { rows } = session.world;
  // In a cluster: from here on a sign-out reaches this node, before it is asked whether there was one.
  const arriving = rows.arrive(proven.user, timeoutMs);
  if (arriving !== null) await arriving;
  do {
    session.doubted = false;
    const { userSeq } = await signIn(session, proven, device, platform, timeoutMs);
    assertHere(session);
    rows.feedAt(proven.user, userSeq);
  } while (session.doubted);
}

async function signIn(
  { world }: SessionHandle,
  { user, issuedAt }: ProvenToken,
  device: DeviceId,
  platform: string | null,
  timeoutMs: number,
): Promise<SignedIn> {
  const ask: UserAsk = { op: "signIn", device, platform, issuedAt };
  return (await world.router.ask("user", user, ask, timeoutMs)) as SignedIn;
}

/** The connection may have gone while something was awaited. */
function assertHere(session: SessionHandle): void {
  if (session.state === "ended") throw new AppError("shutting_down", "the connection is gone");
}

/** The answer goes ahead of what waited behind hello, and of every push. */
function open(call: Call, proven: ProvenToken): void {
  const { session } = call;
  const { world } = session;
  session.state = "open";
  session.refreshed(expiryOf(proven));
  session.answerInOrder(call, greeting(session, proven));
  world.directory.opened(session);
  session.resumeWaiting();
}

function greeting({ world, expiresAt }: SessionHandle, { user }: ProvenToken): Results["hello"] {
  const { heartbeatMs, inboundQueueMax } = world.settings.connections;
  const told = { ...limits, unansweredMax: inboundQueueMax };
  const now = world.clock.now();
  return [
    protocolVersion,
    now,
    world.store.generation,
    user,
    capabilityNames,
    told,
    heartbeatMs,
    expiresAt,
    world.server,
  ];
}

function refused(session: SessionHandle, error: unknown): void {
  const { world } = session;
  const code = error instanceof AppError ? error.code : "internal";
  world.meter.signInFailed(code);
  if (session.state === "ended") return;
  world.directory.leave(session);
  session.user = null;
  session.device = null;
  session.personRates = null;
  const reason = closesAfter[code];
  session.state = reason ? "leaving" : "new";
  if (reason) world.clock.endOfTurn(() => session.end(reason));
  else world.clock.endOfTurn(() => session.resumeWaiting());
}

function expiryOf({ expiresAt }: ProvenToken): number | null {
  return expiresAt === null ? null : expiresAt * 1000;
}
