// People who change everything that a copy reads, one acknowledged step at a time: sends, members, names, read marks, new rooms and
// new people. Steps are taken by whoever reads the data, between its pages, so that every pass sees another moment.
import type { RunningServer } from "../../src/server";
import type { RawClient } from "../socket/raw-client";
import type { ServerWorld } from "../server/server-world";

/** An acknowledged message. */
export interface Acked {
  readonly conversation: string;
  readonly seq: number;
  readonly text: string;
}

interface Room {
  readonly id: string;
  /** Whether `dee` is in it. */
  visited: boolean;
  lastSeq: number;
}

/** A server's people. Everything acknowledged so far is in `acked`. */
export class Busy implements AsyncDisposable {
  readonly acked: Acked[] = [];
  readonly #world: ServerWorld;
  readonly #server: RunningServer;
  readonly #owner: RawClient;
  readonly #reader: RawClient;
  readonly #others: RawClient[];
  readonly #rooms: Room[] = [];
  #steps = 0;

  private constructor(world: ServerWorld, server: RunningServer, clients: readonly [RawClient, RawClient, RawClient]) {
    this.#world = world;
    this.#server = server;
    [this.#owner, this.#reader] = clients;
    this.#others = [clients[2]];
  }

  /** Three people and some rooms with messages. */
  static async open(world: ServerWorld, server: RunningServer): Promise<Busy> {
    const [dee, bob, ann] = [
      await world.signIn(server, "dee"),
      await world.signIn(server, "bob"),
      await world.signIn(server, "ann"),
    ];
    for (const client of [ann, bob, dee]) await client.request("sync");
    const busy = new Busy(world, server, [ann, bob, dee]);
    for (let at = 0; at < 6; at++) await busy.#newRoom();
    for (let at = 0; at < 60; at++) await busy.step();
    return busy;
  }

  /** One more change, acknowledged. */
  async step(): Promise<void> {
    const at = this.#steps++;
    const room = this.#rooms[(at * 5) % this.#rooms.length] as Room;
    switch (at % 8) {
      case 1:
        return this.#visit(room, at);
      case 3:
        await this.#reader.request("read", room.id, "read", room.lastSeq);
        return;
      case 5:
        await this.#owner.request("update", room.id, `name-${at}`, { name: `room ${at}` });
        return;
      case 7:
        return at % 16 === 7 ? this.#newRoom() : this.#newPerson(room, at);
      default:
        return this.#say(room, at);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of [this.#owner, this.#reader, ...this.#others]) await client[Symbol.asyncDispose]();
  }

  async #say(room: Room, at: number): Promise<void> {
    const client = at % 3 === 0 ? this.#reader : this.#owner;
    const text = `message ${at}`;
    const [seq] = await client.request("send", room.id, [[`say-${at}`, [text]]]);
    if (typeof seq !== "number") throw new Error(`not acknowledged: ${JSON.stringify(seq)}`);
    room.lastSeq = seq;
    this.acked.push({ conversation: room.id, seq, text });
  }

  /** Dee comes, or goes. */
  async #visit(room: Room, at: number): Promise<void> {
    await this.#owner.request(room.visited ? "remove" : "add", room.id, `visit-${at}`, ["dee"]);
    room.visited = !room.visited;
  }

  async #newRoom(): Promise<void> {
    const [id, seq] = await this.#owner.request("create", "group", `room-${this.#rooms.length}`, null, ["bob"]);
    this.#rooms.push({ id, visited: false, lastSeq: seq });
  }

  async #newPerson(room: Room, at: number): Promise<void> {
    const client = await this.#world.signIn(this.#server, `new${at}`);
    this.#others.push(client);
    await client.request("sync");
    await this.#owner.request("add", room.id, `welcome-${at}`, [`new${at}`]);
    await client.request("settings", room.id, { muted: true }).catch(() => null); // their feed may not have it yet
  }
}
