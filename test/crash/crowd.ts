// People who chat while a server dies under them: sends, read marks, leaving and coming back, over direct conversations,
// groups and a channel. Owned by run.ts, which decides when the server dies.
import type { Recorder } from "../history/recorder";
import { Refused } from "./connection";
import type { Random } from "../sim/random";
import { ResumingClient } from "./resuming-client";
import type { ServerProcess } from "./server-process";

/** Who there is; the first two have a second device. */
const people = ["ann", "bob", "cem", "dee"] as const;

/** How fast a crowd goes about it. */
export interface Pace {
  /** Messages sent at once, at most. */
  readonly burstMax: number;
  /** Between what one device does and what it does next. */
  readonly pauseMs: readonly [number, number];
  /** Of one device, waiting for their acknowledgement. */
  readonly queuedMax: number;
  /** How long somebody who left stays away, and how long they stay. */
  readonly awayMs: readonly [number, number];
  readonly backMs: readonly [number, number];
}

/** As much as a server on a good disk is busy with. */
export const briskPace: Pace = { burstMax: 6, pauseMs: [1, 12], queuedMax: 200, awayMs: [10, 150], backMs: [50, 400] };
/** For a database that reads a whole collection to find a row. */
export const slowPace: Pace = { burstMax: 2, pauseMs: [40, 160], queuedMax: 20, awayMs: [50, 300], backMs: [400, 900] };

/** Every device of everybody. */
export class Crowd {
  readonly clients: readonly ResumingClient[];
  /** Refusals that a server which keeps its promises does not answer. */
  readonly surprises: string[] = [];
  readonly #random: Random;
  readonly #pace: Pace;
  readonly #run: string;
  /** Conversations in which everybody listed may send. */
  readonly #rooms: { readonly conv: string; readonly members: readonly string[] }[] = [];
  readonly #busy = new Set<Promise<unknown>>();
  #serial = 0;
  #talking = false;
  #talk: Promise<unknown> = Promise.resolve();
  /** The group that `dee` leaves, and that `ann` adds her to again. */
  #revolving = "";

  constructor(server: ServerProcess, recorder: Recorder, random: Random, pace: Pace = briskPace) {
    this.#random = random;
    this.#pace = pace;
    this.#run = random.between(0, 2 ** 31).toString(36);
    const devices = people.flatMap((user, at) =>
      at < 2
        ? [
            [user, "phone"],
            [user, "laptop"],
          ]
        : [[user, "phone"]],
    );
    this.clients = devices.map(
      ([user, device]) =>
        new ResumingClient({ url: server.url, user: user!, device: device!, token: server.token(user!), recorder }),
    );
  }

  get conversations(): readonly string[] {
    return this.#rooms.map(({ conv }) => conv);
  }

  /** Sends acknowledged so far, by anybody. */
  get acked(): number {
    return this.clients.reduce((sum, client) => sum + client.acknowledged.length, 0);
  }

  /** Connects everybody and makes the conversations. */
  async begin(): Promise<void> {
    for (const client of this.clients) client.start();
    await until("everybody is online", () => this.clients.every((client) => client.online));
    const everybody = [...people];
    await this.#create("direct", "d1", ["ann", "bob"]);
    await this.#create("direct", "d2", ["cem", "dee"]);
    await this.#create("group", "g1", everybody);
    this.#revolving = await this.#create("group", "g2", everybody);
    // In a channel only its owner sends.
    await this.#create("channel", "c1", everybody, ["bob"]);
  }

  async #create(type: string, name: string, members: readonly string[], senders = members): Promise<string> {
    const creator = this.#clientOf(senders[0]!);
    const others = members.filter((member) => member !== senders[0]);
    const set = type === "direct" ? null : { name };
    const [conv] = await creator.untilDone((connection) =>
      connection.ask("create", [type, `${this.#run}${name}`, set, others]),
    );
    this.#rooms.push({ conv, members: senders });
    return conv;
  }

  #clientOf(user: string): ResumingClient {
    return this.clients.find(({ setup }) => setup.user === user)!;
  }

  /** Begins to send, read, leave and come back, until {@link hush}. */
  talk(): void {
    this.#talking = true;
    this.#talk = Promise.all([...this.clients.map((client) => this.#chat(client)), this.#revolve()]);
  }

  /** Nobody begins anything new; resolves once what each of them was doing is done. */
  async hush(): Promise<void> {
    this.#talking = false;
    await this.#talk;
    await Promise.all(this.#busy);
  }

  /** Waits until everything queued is acknowledged and everybody has everything; false: not within `timeoutMs`. */
  async settles(timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    const settled = (heads: ReadonlyMap<string, number>): boolean =>
      this.clients.every(
        (client) =>
          client.online && client.queued === 0 && [...heads].every(([conv, head]) => hasAll(client, conv, head)),
      );
    while (!settled(await this.heads())) {
      if (performance.now() > deadline) return false;
      await pause(20);
    }
    return true;
  }

  /** The heads as a fresh question answers them. */
  async heads(): Promise<Map<string, number>> {
    const heads = new Map<string, number>();
    for (const { conv, members } of this.#rooms) {
      const reader = this.#clientOf(members[0]!);
      const [, head] = await reader.untilDone((connection) => connection.ask("entries", [conv, 1, 1]));
      heads.set(conv, head);
    }
    return heads;
  }

  async leaveAll(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.stop()));
  }

  async #chat(client: ResumingClient): Promise<void> {
    const { user } = client.setup;
    const mine = this.#rooms.filter(({ members }) => members.includes(user));
    const { burstMax, pauseMs, queuedMax } = this.#pace;
    while (this.#talking) {
      const { conv } = this.#random.pick(mine);
      const count = this.#random.between(1, burstMax);
      if (client.queued < queuedMax) for (let i = 0; i < count; i++) this.#say(client, conv);
      if (this.#random.chance(0.3)) this.#read(client, this.#random.pick(this.conversations));
      if (this.#random.chance(0.05)) this.#repeat(client);
      await pause(this.#random.between(...pauseMs));
    }
  }

  #say(client: ResumingClient, conv: string): void {
    const cid = `${this.#run}-${client.sess}-${this.#serial++}`;
    client.send(conv, cid, `${cid} says ${this.#random.between(0, 2 ** 31).toString(36)}`);
  }

  /** Two marks at once, the higher one first: whichever is stored last must not move the cursor back. */
  #read(client: ResumingClient, conv: string): void {
    const position = client.known.get(conv)?.position ?? 0;
    if (position === 0) return;
    const lower = this.#random.between(1, position);
    this.#keep(Promise.all([client.markRead(conv, position), client.markRead(conv, lower)]));
  }

  #repeat(client: ResumingClient): void {
    const some = client.acknowledged;
    if (some.length > 0) this.#keep(client.repeat(this.#random.pick(some)));
  }

  /** Keeps count of what is under way, and of refusals that nobody expects. That somebody is no member just now is expected. */
  #keep(done: Promise<unknown>): void {
    const kept = done
      .catch((error: unknown) => {
        if (!(error instanceof Refused)) throw error;
        if (error.code !== "no_access") this.surprises.push(error.message);
      })
      .finally(() => this.#busy.delete(kept));
    this.#busy.add(kept);
  }

  /** `dee` leaves a group and is added to it again, over and over; she is in it at the end. */
  async #revolve(): Promise<void> {
    const conv = this.#revolving;
    while (this.#talking) {
      const turn = `${this.#run}-turn-${this.#serial++}`;
      await this.#clientOf("dee")
        .untilDone((connection) => connection.ask("leave", [conv, `${turn}-leave`]))
        .catch((error: unknown) => {
          // A retry after the leave was stored finds that she is no member.
          if (!(error instanceof Refused) || error.code !== "no_access") throw error;
        });
      await pause(this.#random.between(...this.#pace.awayMs));
      await this.#clientOf("ann").untilDone((connection) => connection.ask("add", [conv, `${turn}-add`, ["dee"]]));
      await pause(this.#random.between(...this.#pace.backMs));
    }
  }
}

/** Whether a client has a conversation's whole log, or is in no such conversation. */
function hasAll(client: ResumingClient, conv: string, head: number): boolean {
  const known = client.known.get(conv);
  return !known || (known.member && known.position >= head);
}

/** How long {@link until} waits at most. */
const untilTimeoutMs = 60_000;

/** Waits for a state. Rejects after a minute, saying what was waited for. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + untilTimeoutMs;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`waited for a minute, but not: ${what}`);
    await pause(5);
  }
}

/** Spaces out what a crowd does; nothing is asserted of it. */
export function pause(ms: number): Promise<void> {
  return Bun.sleep(ms);
}
