import { expect, test } from "bun:test";
import type { PeopleElsewhere } from "../actors/people";
import type { PeopleEvents } from "../actors/people-here";
import { RowSource } from "../actors/rows";
import type { RowPart } from "../actors/messages";
import type { SessionHandle, SessionLine } from "../actors/session-world";
import { pushLateRows } from "../actors/rows-late";
import { systemClock } from "../lib/clock";
import type { Clock } from "../lib/clock";
import { AppError } from "../lib/errors";
import { silentLog } from "../lib/log";
import { settings } from "../lib/settings";
import { decode } from "../protocol/codec";
import type { ConversationId, DeviceId, UserId } from "../protocol/ids";
import type { FeedTuple } from "../protocol/operations";
import { Hub } from "./hub";

const ada = "ada" as UserId;
const id = `g${"A".repeat(22)}` as ConversationId;

/** A clock whose timers a test calls by hand. */
class HandClock implements Clock {
  readonly now = systemClock.now;
  readonly monotonic = systemClock.monotonic;
  readonly endOfTurn = systemClock.endOfTurn;
  readonly timers: (() => void)[] = [];
  after(_: number, call: () => void): () => void {
    this.timers.push(call);
    return () => undefined;
  }
}

/** A line that notes what is done with it, in order. */
class NotedLine implements SessionLine {
  readonly notes: string[] = [];
  #noted: (() => void)[] = [];
  send(frame: Uint8Array): void {
    const [, name, first, second] = decode(frame) as unknown[];
    const rows = name === "feed" ? ` with ${(second as unknown[]).length} rows` : "";
    this.#note(`${name} ${name === "feed" ? (first as unknown[][]).map(([seq]) => seq) : "sent"}${rows}`);
  }
  sendNow(frame: Uint8Array): void {
    this.send(frame);
  }
  subscribe(): void {
    this.#note("subscribe");
  }
  isSubscribed(): boolean {
    return false;
  }
  unsubscribe(): void {
    this.#note("unsubscribe");
  }
  ping(): void {}
  close(reason: string): void {
    this.#note(`close ${reason}`);
  }
  async until(count: number): Promise<readonly string[]> {
    while (this.notes.length < count) await new Promise<void>((resolve) => this.#noted.push(resolve));
    return this.notes;
  }
  #note(what: string): void {
    this.notes.push(what);
    for (const resolve of this.#noted.splice(0)) resolve();
  }
}

class Node {
  readonly clock = new HandClock();
  readonly hub: Hub;
  /** The owner's answers in order; the last one stays. */
  answers: (RowPart | AppError | Promise<RowPart>)[] = [];
  readonly rows: RowSource;

  constructor(elsewhere: PeopleElsewhere | null = null) {
    const router = {
      ask: async () => {
        const answer = await (this.answers.length > 1 ? this.answers.shift() : this.answers[0]);
        if (answer instanceof AppError) throw answer;
        return answer;
      },
      tell: () => undefined,
      tellHere: () => true,
      peek: () => null,
      recentlyActive: () => false,
    };
    this.rows = new RowSource(router, { readMemberships: async () => [] } as never);
    const meter = { framesPublished: () => undefined, dropped: () => undefined };
    this.hub = new Hub({ clock: this.clock, log: silentLog(), meter, settings: settings.parse({}), elsewhere });
    this.hub.start({ publish: () => 0, subscribers: () => 0 }, this.rows);
  }

  session(user: UserId, device = "phone"): SessionHandle & { line: NotedLine } {
    const session = {
      world: {
        rows: this.rows,
        directory: this.hub,
        clock: this.clock,
        log: silentLog(),
        meter: { dropped: () => undefined },
      },
      line: new NotedLine(),
      state: "open",
      user,
      device: device as DeviceId,
      capabilities: 0,
      lookedAt: null,
      syncing: 0,
      interested: true,
      sibling: null,
      watched: null,
      signedOut: () => session.line.close("signedOut"),
      end: (reason: string) => session.line.close(reason),
    } as unknown as SessionHandle & { line: NotedLine };
    session.personRates = this.hub.enter(session, user);
    return session;
  }
}

const part: RowPart = {
  info: ["group", null, null, null, 2, null],
  membership: ["member", [1, 0, 0], 1],
  head: [3, 1, 2, null],
  cursor: [0, 0, 0],
  myTotal: 0,
};
const added = (userSeq: number): FeedTuple => [userSeq, "membership", id, ["added", 1, "member", [1, 0, 0], 1, "bob"]];
const removed = (userSeq: number): FeedTuple => [userSeq, "membership", id, ["removed", 2, null, null, null, "bob"]];
const muted = (userSeq: number): FeedTuple => [userSeq, "settings", id, [true, false]];

test("whoever is added is subscribed first, then told with the row; later changes wait their turn", async () => {
  const node = new Node();
  const { promise, resolve } = Promise.withResolvers<RowPart>();
  node.answers = [promise];
  const { line } = node.session(ada);
  node.hub.feedChanged(ada, [added(1)]);
  node.hub.feedChanged(ada, [muted(2)]);
  expect(line.notes).toEqual([]);
  resolve(part);
  expect(await line.until(3)).toEqual(["subscribe", "feed 1 with 1 rows", "feed 2 with 0 rows"]);
});

test("whoever was removed meanwhile is told, but not subscribed", async () => {
  const node = new Node();
  node.answers = [new AppError("no_access")];
  const { line } = node.session(ada);
  node.hub.feedChanged(ada, [added(1)]);
  node.hub.feedChanged(ada, [removed(2)]);
  expect(await line.until(3)).toEqual(["unsubscribe", "feed 1 with 0 rows", "feed 2 with 0 rows"]);
});

test("a session that is syncing is told after its answer, in order; one that never synced is told nothing", async () => {
  const node = new Node();
  node.answers = [part];
  const [syncing, other] = [node.session(ada), node.session(ada, "desk")];
  const mute = node.session(ada, "mute");
  mute.interested = false;
  syncing.syncing = 1;
  node.hub.feedChanged(ada, [added(1)]);
  node.hub.feedChanged(ada, [muted(2)]);
  await other.line.until(3);
  expect(syncing.line.notes).toEqual([]);
  syncing.syncing = 0;
  node.hub.synced(syncing);
  node.hub.feedChanged(ada, [muted(3)]);
  const told = ["subscribe", "feed 1,2 with 1 rows", "feed 3 with 0 rows"];
  expect(await syncing.line.until(3)).toEqual(told);
  expect(mute.line.notes).toEqual([]);
});

test("what was held for long is told in pushes that fit into a frame, in order", async () => {
  const node = new Node();
  const [session, other] = [node.session(ada), node.session(ada, "desk")];
  session.syncing = 1;
  const by = "b".repeat(128);
  const changes = Array.from(
    { length: 900 },
    (_, i): FeedTuple => [i + 1, "membership", id, ["role", 1, "admin", [1, 0, 0], 1, by]],
  );
  for (const change of changes) node.hub.feedChanged(ada, [change]);
  await other.line.until(changes.length);
  let bytes = 0;
  session.line.sendNow = (frame) => {
    bytes = Math.max(bytes, frame.length);
    session.line.send(frame);
  };
  session.syncing = 0;
  node.hub.synced(session);

  const told = (await session.line.until(3)).flatMap((note) => note.match(/\d+(?=,| with)/g) ?? []);
  expect(told.map(Number)).toEqual(changes.map(([seq]) => seq));
  expect(bytes).toBeLessThan(128 * 1024);
});

test("a row whose owner is silent follows by itself, however often it must be asked for", async () => {
  const node = new Node();
  const silent = new AppError("outcome_unknown");
  node.answers = [silent, silent, part];
  const { line } = node.session(ada);
  node.hub.feedChanged(ada, [added(1)]);
  await line.until(1);
  while (node.clock.timers.length === 0) await Promise.resolve();
  node.clock.timers.shift()?.();
  expect(await line.until(3)).toEqual(["feed 1 with 0 rows", "subscribe", "row sent"]);
});

test("late rows end with their session", async () => {
  const node = new Node();
  const { promise, resolve } = Promise.withResolvers<RowPart>();
  node.answers = [promise];
  const session = node.session(ada);
  pushLateRows(session, [id], null);
  session.state = "ended";
  resolve(part);
  for (let i = 0; i < 20; i++) await Promise.resolve();
  expect([session.line.notes, node.clock.timers]).toEqual([[], []]);
});

test("when too many changes wait for a person, their sessions are closed to resume", () => {
  const node = new Node();
  node.answers = [new Promise<RowPart>(() => undefined)];
  const { line } = node.session(ada);
  for (let seq = 1; seq <= 1_002; seq++) node.hub.feedChanged(ada, [added(seq)]);
  expect(line.notes).toEqual(["close tooSlow"]);
});

test("a sign-out reaches the sessions of that device, or all", () => {
  const node = new Node();
  const [phone, desk] = [node.session(ada, "phone"), node.session(ada, "desk")];
  node.hub.signedOut(ada, "phone");
  expect([phone.line.notes, desk.line.notes]).toEqual([["close signedOut"], []]);
  node.hub.signedOut(ada, null);
  expect(desk.line.notes).toEqual(["close signedOut"]);
});

test("sessions leave from anywhere in their person's list, once", () => {
  const node = new Node();
  const [one, two, three] = [node.session(ada), node.session(ada), node.session(ada)];
  for (const session of [two, two, three, one]) node.hub.leave(session);
  expect(node.hub.sessions).toBe(0);
  node.hub.toUser(ada, new Uint8Array([0x91, 0x05]));
  expect(one.line.notes).toEqual([]);
});

/** The other nodes: what they are told, and the way to what they tell. */
function elsewhere(): PeopleElsewhere & { readonly told: string[]; events: PeopleEvents | null; online: boolean } {
  const nodes = {
    told: [] as string[],
    events: null as PeopleEvents | null,
    online: false,
    begin(events: PeopleEvents) {
      nodes.events = events;
    },
    here: (user: UserId, sessions: number) => void nodes.told.push(`${user} ${sessions}`),
    watch: (user: UserId) => void nodes.told.push(`watch ${user}`),
    unwatch: (user: UserId) => void nodes.told.push(`unwatch ${user}`),
    isOnline: () => nodes.online,
    look: async () => undefined,
  };
  return nodes;
}

test("other nodes are told of open sessions, and a person who is on them is online wherever they are", async () => {
  const others = elsewhere();
  const node = new Node(others);
  const watcher = node.session("bob" as UserId);
  const first = node.session(ada);
  node.hub.opened(first);
  node.hub.opened(node.session(ada, "tablet"));
  expect(await node.hub.watch(watcher, [ada])).toEqual([[ada, true]]);
  first.state = "ended";
  node.hub.leave(first);
  others.online = true;
  const second = node.session(ada, "second");
  second.state = "verifying";
  node.hub.leave(second);
  expect(others.told).toEqual(["ada 1", "ada 2", "watch ada", "ada 1", "ada 1"]);
  expect(await node.hub.watch(watcher, [])).toEqual([]);
  expect(others.told.at(-1)).toBe("unwatch ada");
});

test("a person's rate is divided by the nodes they are on, and their newest sessions go where all of them are too many", () => {
  const others = elsewhere();
  const node = new Node(others);
  const sessions = ["one", "two", "three", "four"].map((device) => node.session(ada, device));
  const verifying = node.session(ada, "five");
  verifying.state = "verifying";
  const { personRates } = verifying;
  const { userBurst } = settings.parse({}).rates;
  others.events?.spread(ada, 4);
  const now = systemClock.monotonic();
  let taken = 0;
  while (personRates?.take(now) === 0) taken++;
  expect(taken).toBe(userBurst / 4);
  others.events?.excess(ada, 2);
  const closed = sessions.map(({ line }) => line.notes);
  expect(closed).toEqual([[], [], ["close tooManyConnections"], ["close tooManyConnections"]]);
  others.events?.excess("nobody" as UserId, 3);
  expect(verifying.line.notes).toEqual([]);
});
