// The people of one chapter of a chaos run: their devices, their rooms, and what they do until they are told to hush.
// Owned by a chapter; everybody is in every room of theirs at its end, so that everything can be compared.
import { benchSecret, signToken } from "../../bench/tokens";
import type { Capability } from "../../src/protocol/capabilities";
import { Refused } from "../crash/connection";
import { ResumingClient } from "../crash/resuming-client";
import type { Recorder } from "../history/recorder";
import type { Random } from "../sim/random";
import { until } from "../crash/crowd";

/** How busy a company is. */
export interface Pace {
  /** Messages a second that everybody together begins to send, about. */
  readonly rate: number;
  readonly people: number;
  /** Messages of one device that wait for their acknowledgement, at most. */
  readonly queuedMax: number;
  /** A node that is silent for this long is given up, milliseconds. */
  readonly deadlineMs: number;
}

/** For a store that keeps up with anything that a laptop's crowd asks for. */
export const briskPace: Pace = { rate: 800, people: 12, queuedMax: 1_024, deadlineMs: 6_500 };
/** For a database that reads a whole collection to find a row. */
export const slowPace: Pace = { rate: 15, people: 6, queuedMax: 64, deadlineMs: 12_000 };

/** Tokens are so old that a node whose clock is an hour behind takes them. */
const tokenAgeS = 7_200;
const bulkChance = 0.06;
const bulkMax = 256;
/** Rooms of up to this many people get bulk. */
const bulkPeople = 3;
const meanBurst = 14;
/** Marks and repetitions of one device that wait for their answers, at most. */
const waitingMax = 8;
/** That a device names the capability to be asked to sync again. */
const capableChance = 0.7;

interface Room {
  readonly conv: string;
  /** The first one made it. */
  readonly members: readonly string[];
  readonly senders: readonly string[];
  /** The one who leaves and comes back. */
  readonly restless: string | null;
}

/** What a company needs to know of the cluster. */
export interface Entry {
  /** The addresses of the nodes. */
  readonly urls: readonly string[];
}

/** See the head of this file. */
export class Company {
  readonly clients: ResumingClient[];
  /** Refusals that nobody expects of servers that keep their promises. */
  readonly surprises: string[] = [];
  readonly #recorder: Recorder;
  readonly #random: Random;
  readonly #pace: Pace;
  readonly #run: string;
  readonly #urls: readonly string[];
  readonly #people: readonly string[];
  readonly #rooms: Room[] = [];
  readonly #busy = new Set<Promise<unknown>>();
  /** Marks and repetitions that wait for their answer, by client. */
  readonly #waiting = new Map<ResumingClient, number>();
  #serial = 0;
  #talking = false;
  #talk: Promise<unknown> = Promise.resolve();

  /** @param run begins every name, so that companies do not meet */
  constructor(run: string, { urls }: Entry, recorder: Recorder, random: Random, pace: Pace) {
    this.#run = run;
    this.#urls = urls;
    this.#recorder = recorder;
    this.#random = random;
    this.#pace = pace;
    this.#people = Array.from({ length: pace.people }, (_, at) => `${run}-p${at + 1}`);
    const devices = this.#people.flatMap((user, at) =>
      at % 3 === 0 ? [[user, "phone"] as const, [user, "laptop"] as const] : [[user, "phone"] as const],
    );
    this.clients = devices.map(([user, device]) => this.#client(user, device));
  }

  get conversations(): readonly string[] {
    return this.#rooms.map(({ conv }) => conv);
  }

  /** Sends acknowledged so far. */
  get acked(): number {
    return this.clients.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0);
  }

  /**
   * Those who can be asked to sync again. The others are sent away for that, and told when to come back: what of theirs waits
   * says nothing of the servers.
   */
  get #capable(): readonly ResumingClient[] {
    return this.clients.filter(({ setup }) => setup.capabilities !== undefined);
  }

  /** The longest that sends of one conversation of one device went without an answer since last asked, milliseconds. */
  takeStall(): number {
    return Math.max(0, ...this.#capable.map((client) => client.takeStall()));
  }

  /** How long at most sends of one conversation have been waiting for an answer by now, milliseconds. */
  get waitingMs(): number {
    return Math.max(0, ...this.#capable.map((client) => client.waitingMs));
  }

  token(user: string): string {
    return signToken(user, benchSecret, tokenAgeS);
  }

  /** Connects everybody and makes the rooms: pairs, groups of three to all, and a channel. */
  async begin(): Promise<void> {
    for (const client of this.clients) client.start();
    await until("everybody is online", () => this.clients.every(({ online }) => online));
    const people = this.#people;
    const some = (from: number, count: number): string[] =>
      Array.from({ length: count }, (_, at) => people[(from + at) % people.length]!);
    const rooms: Promise<void>[] = [];
    for (let at = 0; at + 1 < people.length; at += 2) rooms.push(this.#create("direct", some(at, 2)));
    for (let at = 0; at < people.length; at += 3) rooms.push(this.#create("group", some(at, 3), "restless"));
    for (let at = 0; at < people.length; at += 6) rooms.push(this.#create("group", some(at, 5), "restless"));
    rooms.push(this.#create("group", people), this.#create("channel", some(1, people.length)));
    await Promise.all(rooms);
  }

  /** Begins to send, read, leave and come back, until {@link hush}. */
  talk(): void {
    this.#talking = true;
    const restless = this.#rooms.filter((room) => room.restless !== null);
    this.#talk = Promise.all([
      ...this.clients.map((client) => this.#chat(client)),
      ...restless.map((room) => this.#comeAndGo(room)),
    ]);
  }

  /** Somebody gets a new device: it knows nothing, and fetches everything. */
  async join(): Promise<void> {
    const user = this.#random.pick(this.#people);
    const client = this.#client(user, `tablet-${this.#serial++}`);
    client.start();
    await until("a new device is online", () => client.online);
    this.clients.push(client);
    if (this.#talking) this.#talk = Promise.all([this.#talk, this.#chat(client)]);
  }

  /** Nobody begins anything new; resolves once what each of them was doing is done. */
  async hush(): Promise<void> {
    this.#talking = false;
    await this.#talk;
    await Promise.all(this.#busy);
  }

  /** Whether everything queued is acknowledged and everybody has all of every log. */
  async isSettled(): Promise<boolean> {
    if (this.clients.some((client) => !client.online || client.queued > 0)) return false;
    const heads = await this.#heads();
    return this.clients.every((client) => [...heads].every(([conv, head]) => hasAll(client, conv, head)));
  }

  /** Who lacks what, for a person who looks for the reason. */
  async missing(): Promise<readonly string[]> {
    const heads = await this.#heads();
    return this.clients.flatMap((client) => {
      const lacks = [...heads].filter(([conv, head]) => !hasAll(client, conv, head));
      const why = lacks.map(([conv, head]) => {
        const { position = 0, member = false } = client.known.get(conv) ?? {};
        return `${client.sess} has ${position} of ${head} entries of ${conv}, ${member ? "a member" : "no member"}`;
      });
      return client.queued > 0 ? [...why, `${client.sess} has ${client.queued} messages queued`] : why;
    });
  }

  async leaveAll(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.stop()));
  }

  #client(user: string, device: string): ResumingClient {
    return new ResumingClient({
      url: () => this.#random.pick(this.#urls),
      user,
      device,
      token: this.token(user),
      recorder: this.#recorder,
      sendItems: bulkMax,
      ignoresLateMarks: true,
      deadlineMs: this.#pace.deadlineMs,
      comeBackMs: () => this.#random.between(20, 300),
      ...(this.#random.chance(capableChance) ? { capabilities: resyncing } : {}),
    });
  }

  #clientOf(user: string): ResumingClient {
    return this.clients.find(({ setup }) => setup.user === user)!;
  }

  async #create(type: string, members: readonly string[], restless: "restless" | null = null): Promise<void> {
    const name = `room-${this.#serial++}`;
    const [creator = "", ...others] = members;
    const set = type === "direct" ? null : { name };
    const [conv] = await this.#clientOf(creator).untilDone((connection) =>
      connection.ask("create", [type, `${this.#run}-${name}`, set, others]),
    );
    // In a channel only its owner sends.
    const senders = type === "channel" ? [creator] : members;
    this.#rooms.push({ conv, members, senders, restless: restless && members.at(-1)! });
  }

  async #heads(): Promise<Map<string, number>> {
    const heads = new Map<string, number>();
    await Promise.all(
      this.#rooms.map(async ({ conv, members }) => {
        const reader = this.#clientOf(members[0]!);
        const asked = reader.untilDone((connection) => connection.ask("entries", [conv, 1, 1]));
        const answer = await this.#expected(asked);
        if (answer !== null) heads.set(conv, answer[1]);
      }),
    );
    return heads;
  }

  async #chat(client: ResumingClient): Promise<void> {
    const { user } = client.setup;
    const mine = this.#rooms.filter(({ senders }) => senders.includes(user));
    const { rate, queuedMax } = this.#pace;
    const pauseMs = Math.max(2, Math.round((2_000 * meanBurst * this.clients.length) / rate));
    while (this.#talking) {
      const room = this.#random.pick(mine);
      if (client.queued < queuedMax) this.#burst(client, room);
      if (this.#random.chance(0.3)) this.#read(client, this.#random.pick(mine).conv);
      if (this.#random.chance(0.05)) this.#repeat(client);
      if (this.#random.chance(0.01)) client.drop();
      await Bun.sleep(this.#random.between(1, pauseMs));
    }
  }

  #burst(client: ResumingClient, { conv, members }: Room): void {
    const small = members.length <= bulkPeople;
    const bulk = small && this.#random.chance(bulkChance);
    const count = bulk ? this.#random.between(bulkMax / 4, bulkMax) : this.#random.between(1, small ? 24 : 3);
    for (let at = 0; at < count; at++) {
      const cid = `${this.#run}-${this.#serial++}`;
      client.send(conv, cid, `${cid} says ${this.#random.int(2 ** 31).toString(36)}`);
    }
  }

  /** Two marks at once, the higher one first: whichever is stored last must not move the cursor back. */
  #read(client: ResumingClient, conv: string): void {
    const position = client.known.get(conv)?.position ?? 0;
    if (position === 0) return;
    const lower = this.#random.between(1, position);
    this.#keep(client, () => Promise.all([client.markRead(conv, position), client.markRead(conv, lower)]));
  }

  #repeat(client: ResumingClient): void {
    const some = client.acknowledged;
    if (some.length > 0) this.#keep(client, () => client.repeat(this.#random.pick(some)));
  }

  /**
   * Begins something, unless enough of that client waits already: a server closes the connection of one that floods it. That
   * somebody is no member just now is expected.
   */
  #keep(client: ResumingClient, begin: () => Promise<unknown>): void {
    const waiting = this.#waiting.get(client) ?? 0;
    if (waiting >= waitingMax) return;
    this.#waiting.set(client, waiting + 1);
    const kept = this.#expected(begin(), "no_access").finally(() => {
      this.#busy.delete(kept);
      this.#waiting.set(client, (this.#waiting.get(client) ?? 1) - 1);
    });
    this.#busy.add(kept);
  }

  /** Null where it was refused for good, which nobody expects but of the code that is named. */
  async #expected<T>(done: Promise<T>, code: string | null = null): Promise<T | null> {
    try {
      return await done;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.code !== code && error.code !== "stopped") this.surprises.push(error.message);
      return null;
    }
  }

  /** Somebody leaves a group, or is removed from it, and is added again, over and over; they are in it at the end. */
  async #comeAndGo({ conv, members, restless }: Room): Promise<void> {
    const who = restless ?? "";
    const owner = this.#clientOf(members[0]!);
    while (this.#talking) {
      const turn = `${this.#run}-turn-${this.#serial++}`;
      const leaves = this.#random.chance(0.5);
      const gone = leaves
        ? this.#clientOf(who).untilDone((connection) => connection.ask("leave", [conv, `${turn}-leave`]))
        : owner.untilDone((connection) => connection.ask("remove", [conv, `${turn}-remove`, [who]]));
      // A retry after the leave was stored finds that they are no member.
      await this.#expected(gone, "no_access");
      await Bun.sleep(this.#random.between(100, 1_500));
      const added = owner.untilDone((connection) => connection.ask("add", [conv, `${turn}-add`, [who]]));
      await this.#expected(added);
      await Bun.sleep(this.#random.between(500, 3_000));
    }
  }
}

const resyncing: readonly Capability[] = ["resync"];

/** Whether a client has a conversation's whole log, or is in no such conversation. */
function hasAll(client: ResumingClient, conv: string, head: number): boolean {
  const known = client.known.get(conv);
  return !known || (known.member && known.position >= head);
}
