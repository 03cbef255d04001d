// What a session does for each operation of the table: here, or by asking the actor that owns the matter.
// A new operation without its line does not compile. Membership is checked by the owner that is asked (G12).
import { AppError } from "../lib/errors";
import type { ConversationId, UserId } from "../protocol/ids";
import { limits } from "../protocol/limits";
import type { Args, OperationName, Results } from "../protocol/operations";
import { conversationIdFor } from "./conversation-id";
import type { ConversationAsk, ConversationOperation, UserAsk } from "./messages";
import { toRow } from "./rows";
import { pushLateRows } from "./rows-late";
import { mergeFaults, readArgs, readSend } from "./session-args";
import { hello, refresh } from "./session-hello";
import { gatherPage } from "./sync";
import type { Page, PageRequest } from "./sync";
import { answered, sessionLimits, takesCounters } from "./session-world";
import type { Call, SessionHandle } from "./session-world";

type Answer<N extends OperationName> = Results[N] | typeof answered;
/** Answers the result, at once or later; throws or rejects with an AppError. */
type Handler<N extends OperationName> = (call: Call, args: Args<N>) => Answer<N> | Promise<unknown>;

const handlers: { readonly [N in OperationName]: Handler<N> } = {
  hello,
  refresh,
  signOut: (call, [device]) => askUser(call, { op: "signOut", device }).then(() => []),
  devices: (call) => askUser(call, { op: "devices" }),
  sync,
  feed,
  list,
  create,
  get,
  members: (call, args) => askConversation("members", call, args),
  join: (call, args) => askConversation("join", call, args),
  leave: (call, args) => askConversation("leave", call, args),
  add: (call, args) => askConversation("add", call, args),
  remove: (call, args) => askConversation("remove", call, args),
  role: (call, args) => askConversation("role", call, args),
  update: (call, args) => askConversation("update", call, args),
  // Never reached: perform() sends `send` its own way.
  send: (call) => send(call),
  history: (call, args) => askConversation("history", call, args),
  entries: (call, args) => askConversation("entries", call, args),
  read: (call, args) => askConversation("read", call, args),
  readers: (call, args) => askConversation("readers", call, args),
  settings: (call, args) => askUser(call, { op: "settings", args }),
  signal: (call, args) => askConversation("signal", call, args),
  watch: (call, [users]) => {
    const told = call.session.world.directory.watch(call.session, users);
    return told instanceof Promise ? told.then((people) => [people]) : [told];
  },
  open: ({ session }, [conversations]) => {
    session.world.directory.lookAt(session, conversations);
    return [];
  },
};

/** Checks the arguments and does it. Throws or rejects with an AppError. */
export function perform(call: Call): unknown {
  if (call.name === "send") return send(call);
  const handle = handlers[call.name] as Handler<OperationName>;
  return handle(call, readArgs(call.name, call.args) as never);
}

function askConversation<N extends ConversationOperation>(op: N, call: Call, args: Args<N>): Promise<unknown> {
  return askAt(call, args[0] as ConversationId, { op, user: userOf(call), args } as unknown as ConversationAsk);
}

function askAt(call: Call, conversation: ConversationId, ask: ConversationAsk): Promise<unknown> {
  const { session, timeoutMs } = call;
  // Whoever lost this connection repeats it elsewhere, and may be answered otherwise there; marks only move forward.
  const source = ask.op === "read" ? undefined : session;
  return session.world.router.ask("conversation", conversation, ask, timeoutMs, source);
}

function askUser(call: Call, ask: UserAsk): Promise<unknown> {
  const { session, timeoutMs } = call;
  return session.world.router.ask("user", userOf(call), ask, timeoutMs, session);
}

function userOf({ session }: Call): UserId {
  return session.user as UserId;
}

function create(call: Call, args: Args<"create">): Promise<unknown> {
  const [type, clientId, , members] = args;
  const id = conversationIdFor(type === "direct", userOf(call), clientId, members ?? []);
  return askAt(call, id, { op: "create", user: userOf(call), args });
}

/** One unresolved send per conversation, so that a session's sends keep their order through refusals and retries (G4). */
function send(call: Call): Promise<unknown> {
  const { session } = call;
  const { conversation, items, faults } = readSend(call.args);
  if (!session.beginSend(conversation)) throw new AppError("busy", undefined, { retryAfterMs: 0 });
  const asked = askAt(call, conversation, { op: "send", user: userOf(call), args: [conversation, items] });
  return asked.then(
    (answer) => {
      session.endSend(conversation);
      const outcomes = answer as Results["send"];
      countSends(call, outcomes);
      return faults === null ? outcomes : mergeFaults(faults, outcomes);
    },
    (error) => {
      session.endSend(conversation);
      throw error;
    },
  );
}

function countSends({ session, startedAt }: Call, outcomes: Results["send"]): void {
  const { meter, clock } = session.world;
  let stored = 0;
  for (const outcome of outcomes) if (typeof outcome === "number") stored++;
  if (stored === 0) return;
  meter.sendsAcknowledged(stored);
  meter.ackLatency(clock.monotonic() - startedAt);
}

function sync(call: Call, args: Args<"sync">): Promise<Answer<"sync">> {
  return call.session.world.entrance.syncs.pass(() => syncNow(call, args));
}

async function syncNow(call: Call, [after, positions]: Args<"sync">): Promise<Answer<"sync">> {
  const { session } = call;
  if (session.state !== "open") return answered;
  // Interest comes first: what the feed says from here on is held until the answer has left.
  session.interested = true;
  session.syncing++;
  const request = {
    user: userOf(call),
    after,
    limit: limits.syncPageMax,
    positions: new Map(positions ?? []),
    withTotals: after === null,
    askMs: sessionLimits.rowMs,
    countsOnly: countsOnly(session),
  };
  try {
    await gatherPage(session.world, request, (page) => {
      if (session.state !== "open") return;
      const large = receive(session, page);
      const totals = request.withTotals ? page.totals : null;
      const { userSeq, rows, next, pending, resumed } = page;
      session.answerNow(call, [
        userSeq,
        rows,
        next,
        totals,
        pending,
        resumed,
        ...(takesCounters(session) ? [large] : []),
      ]);
      pushLateRows(session, page.pending, totals);
    });
  } finally {
    session.syncing--;
    session.world.directory.synced(session);
  }
  return answered;
}

/** What of a page is counted and not resumed: large conversations that its client has not opened. */
function countsOnly(session: SessionHandle): PageRequest["countsOnly"] {
  if (!takesCounters(session)) return null;
  const { membersAbove } = session.world.settings.counters;
  return (conversation, memberCount) => memberCount > membersAbove && !session.lookedAt?.has(conversation);
}

/** Answers which of these are large to the session. */
function receive(session: SessionHandle, { shown, memberCounts }: Page): readonly ConversationId[] {
  const { directory } = session.world;
  return shown.filter((conversation, i) => directory.receive(session, conversation, memberCounts[i] as number));
}

async function list(call: Call, [after, limit]: Args<"list">): Promise<Results["list"]> {
  const request = {
    user: userOf(call),
    after,
    limit: limit ?? limits.syncPageMax,
    positions: new Map(),
    withTotals: false,
    askMs: call.timeoutMs,
    countsOnly: null,
  };
  return gatherPage(call.session.world, request, ({ rows, next, pending }) => {
    if (pending.length > 0) throw new AppError("store_unavailable", undefined, { retryAfterMs: 500 });
    return [rows, next];
  });
}

async function get(call: Call, [conversation]: Args<"get">): Promise<Results["get"]> {
  const { rows } = call.session.world;
  const user = userOf(call);
  const part = await rows.ask(conversation, user, call.timeoutMs);
  if (part === null) throw new AppError("no_access");
  return toRow(conversation, part, await rows.settingsNow(user, conversation, call.timeoutMs));
}

async function feed(call: Call, [after, limit]: Args<"feed">): Promise<Results["feed"]> {
  const most = limit ?? limits.peoplePageMax;
  const { changes, user } = await call.session.world.store.readFeed(userOf(call), after, most);
  const userSeq = user?.userSeq ?? 0;
  // Gapless from the client's number on, or the client starts from a snapshot.
  const complete = after <= userSeq && (changes[0]?.[0] ?? userSeq + 1) === after + 1;
  return complete ? [changes, userSeq, true] : [[], userSeq, false];
}
