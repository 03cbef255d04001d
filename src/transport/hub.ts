// The hub: who is connected to this node, and how what actors say reaches their sockets.
// The one gateway of a node that is alone; conversations are native topics of the server, people are lists of sessions.
import type { EntrySpan, Gateway } from "../actors/gateway";
import { Presence } from "../actors/presence";
import type { Watched } from "../actors/presence";
import { PersonRate } from "../actors/rate";
import type { RateRule } from "../actors/rate";
import type { OtherNodes } from "../actors/other-nodes";
import type { PeopleElsewhere } from "../actors/people";
import type { RemotePresence } from "../actors/remote-presence";
import type { RowSource } from "../actors/rows";
import type { Directory, PersonRates, SessionHandle, SessionSettings } from "../actors/session-world";
import type { SharedRates, Spender, Tally } from "../actors/shared-rates";
import type { Clock } from "../lib/clock";
import type { Log } from "../lib/log";
import type { ConversationId, UserId } from "../protocol/ids";
import type { FeedTuple } from "../protocol/operations";
import { Counters } from "./hub-counters";
import { PersonFeed } from "./hub-feed";

/** Where published frames go: the server, once it listens. */
export interface Publisher {
  /** To every socket subscribed to the topic, in call order. Answers 0 or less where one of them buffers or nobody is there. */
  publish(topic: string, frame: Uint8Array): number;
  /** How many sockets are subscribed to the topic. */
  subscribers(topic: string): number;
}

/** What the hub records. */
export interface HubMeter {
  framesPublished(frames: number, bytes: number): void;
  dropped(what: string): void;
}

/** What a hub is made of. */
export interface HubDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: HubMeter;
  readonly settings: SessionSettings;
  /** What other servers over the same cache have a part in; absent or null where there are none, or where they are nodes of one cluster. */
  readonly others?: OtherNodes | null;
  /** People on the other nodes of the cluster; absent or null where there is none. */
  readonly elsewhere?: PeopleElsewhere | null;
}

/** How long whoever has too many sessions is asked to wait, milliseconds. */
const tooManyMs = 30_000;

/** One person's sessions here. Exists while there are any. */
class Person implements PersonRates, Spender {
  readonly user: UserId;
  readonly #settings: SessionSettings;
  readonly #rate: PersonRate;
  readonly #shared: SharedRates | null;
  readonly #tally: Tally | null;
  /** Head of a list linked by `sibling`: most people have one session. */
  first: SessionHandle | null = null;
  feed: PersonFeed | null = null;
  /** On how many nodes the person has sessions: each of them grants its part of the rate. */
  nodes = 1;

  constructor(user: UserId, settings: SessionSettings, shared: SharedRates | null, now: number) {
    this.user = user;
    this.#settings = settings;
    this.#rate = new PersonRate(this.rule, now);
    this.#shared = shared;
    this.#tally = shared?.tally(this, now) ?? null;
  }

  get rule(): RateRule {
    const { userPerSecond, userBurst } = this.#settings.rates;
    return { perSecond: Math.ceil(userPerSecond / this.nodes), burst: Math.ceil(userBurst / this.nodes) };
  }

  take(nowMs: number): number {
    const waitMs = this.#rate.take(this.rule, nowMs);
    if (waitMs === 0 && this.#tally !== null) this.#shared?.spent(this.#tally, nowMs);
    return waitMs;
  }

  charge(amount: number, nowMs: number): void {
    this.#rate.charge(this.rule, amount, nowMs);
  }

  *sessions(): Generator<SessionHandle> {
    for (let one = this.first; one !== null; ) {
      const next = one.sibling;
      yield one;
      one = next;
    }
  }

  get count(): number {
    let count = 0;
    for (let one = this.first; one !== null; one = one.sibling) count++;
    return count;
  }

  get online(): boolean {
    for (let one = this.first; one !== null; one = one.sibling) if (one.state === "open") return true;
    return false;
  }

  /** Those that are signed in, the newest first. */
  get open(): readonly SessionHandle[] {
    return [...this.sessions()].filter(({ state }) => state === "open");
  }
}

/** See the head of this file. Actors call the {@link Gateway}, sessions the {@link Directory}. */
export class Hub implements Gateway, Directory {
  readonly #deps: HubDeps;
  readonly #people = new Map<UserId, Person>();
  readonly #presence: Presence;
  readonly #besides: RemotePresence | null;
  readonly #elsewhere: PeopleElsewhere | null;
  readonly #counters: Counters;
  #publisher: Publisher | null = null;
  #rows: RowSource | null = null;
  #sessions = 0;

  constructor(deps: HubDeps) {
    this.#deps = deps;
    const isHere = (user: UserId): boolean => this.#people.get(user)?.online ?? false;
    const changed = (user: UserId): void => this.#presence.changed(user);
    this.#besides = deps.others?.watchPresence(isHere, changed) ?? null;
    this.#elsewhere = deps.elsewhere ?? null;
    this.#presence = new Presence(deps.clock, isHere, this.#elsewhere ?? this.#besides);
    this.#elsewhere?.begin({
      presence: changed,
      spread: (user, nodes) => this.#spread(user, nodes),
      excess: (user, sessions) => this.#sendAway(user, sessions),
    });
    this.#counters = new Counters({
      clock: deps.clock,
      settings: deps.settings,
      publish: (topic, frame) => this.#publish(topic, frame),
      subscribers: (topic) => this.#publisher?.subscribers(topic) ?? 0,
      sessionsOf: (user) => this.#people.get(user)?.sessions() ?? [],
    });
  }

  /** Before the first connection: what is published until then has nobody to go to. */
  start(publisher: Publisher, rows: RowSource): void {
    this.#publisher = publisher;
    this.#rows = rows;
  }

  /** Sessions whose token was proven. */
  get sessions(): number {
    return this.#sessions;
  }

  publish(conversation: ConversationId, frame: Uint8Array): void {
    this.#publish(conversation, frame);
    this.#counters.published(conversation, frame);
  }

  entries(conversation: ConversationId, frame: Uint8Array, { gone }: EntrySpan): void {
    this.publish(conversation, frame);
    if (gone.length > 0) this.dropInterest(conversation, gone);
  }

  headKnown(): void {
    // Everything was published here, or is published again by whoever knows what was not.
  }

  toUser(user: UserId, frame: Uint8Array): void {
    const person = this.#people.get(user);
    if (!person) return;
    for (const session of person.sessions()) {
      if (session.interested && session.state === "open") session.line.send(frame);
    }
  }

  /** These people's sessions receive nothing that is published to this conversation after the call. */
  dropInterest(conversation: ConversationId, users: readonly UserId[]): void {
    for (const user of users) {
      const person = this.#people.get(user);
      if (person) for (const session of person.sessions()) this.#counters.drop(session, conversation);
    }
  }

  feedChanged(user: UserId, changes: readonly FeedTuple[]): void {
    const person = this.#people.get(user);
    if (!person || this.#rows === null) return;
    for (const [, kind, subject, data] of changes) {
      const ends = kind === "membership" && (data[0] === "left" || data[0] === "removed");
      if (ends) this.dropInterest(subject as ConversationId, [user]);
    }
    person.feed ??= new PersonFeed(user, this.#rows, this.#deps.log, () => person.sessions());
    if (person.feed.push(changes) === "taken") return;
    this.#deps.meter.dropped("feed_push");
    // Whoever resumes reads from the store what was not pushed.
    for (const session of [...person.sessions()]) session.end("tooSlow");
  }

  signedOut(user: UserId, device: string | null): void {
    const person = this.#people.get(user);
    if (!person) return;
    for (const session of person.sessions()) {
      if (device === null || session.device === device) session.signedOut();
    }
  }

  /** What this person's sessions here were pushed may lack something: they sync again within `withinMs`, see `SessionHandle.resync`. */
  resync(user: UserId, withinMs: number): void {
    for (const session of this.#people.get(user)?.sessions() ?? []) session.resync(withinMs);
  }

  enter(session: SessionHandle, user: UserId): PersonRates | null {
    const { clock, settings } = this.#deps;
    const known = this.#people.get(user);
    if (known && known.count >= settings.connections.perUser) return null;
    const person = known ?? new Person(user, settings, this.#deps.others?.rates ?? null, clock.monotonic());
    if (!known) this.#people.set(user, person);
    session.sibling = person.first;
    person.first = session;
    this.#sessions++;
    return person;
  }

  opened(session: SessionHandle): void {
    const person = this.#personOf(session);
    if (!person) return;
    this.#besides?.here(person.user);
    this.#elsewhere?.here(person.user, person.open.length);
    this.#presence.changed(person.user);
  }

  leave(session: SessionHandle): void {
    const person = this.#personOf(session);
    if (!person || !unlink(person, session)) return;
    this.#presence.unwatch(session);
    person.feed?.forget(session);
    this.#sessions--;
    if (person.first === null) this.#people.delete(person.user);
    if (!person.online) this.#besides?.gone(person.user);
    this.#elsewhere?.here(person.user, person.open.length);
    this.#presence.changed(person.user);
  }

  watch(session: SessionHandle, users: readonly UserId[]): readonly Watched[] | Promise<readonly Watched[]> {
    return this.#presence.watch(session, users);
  }

  synced(session: SessionHandle): void {
    if (session.syncing === 0) this.#personOf(session)?.feed?.synced(session);
  }

  receive(session: SessionHandle, conversation: ConversationId, memberCount: number): boolean {
    return this.#counters.receive(session, conversation, memberCount);
  }

  lookAt(session: SessionHandle, conversations: readonly ConversationId[]): void {
    this.#counters.lookAt(session, conversations);
  }

  /** Sessions of one person, signed in or about to be. */
  sessionsOf(user: UserId): Iterable<SessionHandle> {
    return this.#people.get(user)?.sessions() ?? [];
  }

  /** Every session whose token was proven. */
  *everybody(): Generator<SessionHandle> {
    for (const person of this.#people.values()) yield* person.sessions();
  }

  /** How many sessions here receive the conversation, in any form. */
  interestedIn(conversation: ConversationId): number {
    return this.#counters.interestedIn(conversation);
  }

  #publish(topic: string, frame: Uint8Array): void {
    this.#publisher?.publish(topic, frame);
    this.#deps.meter.framesPublished(1, frame.length);
  }

  #spread(user: UserId, nodes: number): void {
    const person = this.#people.get(user);
    if (person) person.nodes = nodes;
  }

  /** On all nodes together the person has too many sessions, and these were the last to come. */
  #sendAway(user: UserId, sessions: number): void {
    for (const session of this.#people.get(user)?.open.slice(0, sessions) ?? []) {
      this.#deps.meter.dropped("connection_of_person");
      session.end("tooManyConnections", tooManyMs);
    }
  }

  #personOf(session: SessionHandle): Person | null {
    return session.user === null ? null : (this.#people.get(session.user) ?? null);
  }
}

/** Takes a session out of its person's list; false where it was not in it. */
function unlink(person: Person, session: SessionHandle): boolean {
  if (person.first === session) {
    person.first = session.sibling;
    session.sibling = null;
    return true;
  }
  for (let one = person.first; one !== null; one = one.sibling) {
    if (one.sibling !== session) continue;
    one.sibling = session.sibling;
    session.sibling = null;
    return true;
  }
  return false;
}
