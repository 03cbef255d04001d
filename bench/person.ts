// One connection of the generator that can ask: signs in, sends requests, gets their answers.
import { encode } from "../src/protocol/codec";
import { frameTypes, socketPath } from "../src/protocol/frames";
import type { Results } from "../src/protocol/operations";
import { readPayload } from "./messages";
import type { Batch } from "./messages";
import type { Target } from "./plan";
import { RawSocket } from "./raw-socket";
import { signToken } from "./tokens";

/** What a connection hears beside the answers to its requests. */
export interface Heard {
  /** As {@link RawSocket} asks it. */
  skip(bytes: Uint8Array, at: number, length: number): boolean;
  onBatch(batch: Batch): void;
  onFault(what: string): void;
}

/** Hears nothing: for connections that only ask. */
export const deaf: Heard = {
  skip: () => false,
  onBatch: () => undefined,
  onFault: (what) => console.error(what),
};

/** Of the sync behind a hello: high enough to tell its reply from anything else in the message. */
const syncId = 0x5e_adbe;

/** An upgraded connection. */
export class Person {
  readonly #pending = new Map<number, (frame: readonly unknown[]) => void>();
  #socket!: RawSocket;
  #nextId = 1;
  #leaving = false;
  /** The one answer that is waited for and not read: how its frame begins, wherever it stands in a message. */
  #unread: { readonly reply: Uint8Array; readonly resolve: () => void } | null = null;

  private constructor() {}

  /** Connects; signs in unless the target is the raw server. */
  static async connect(
    target: Target,
    user: string,
    heard: Heard = deaf,
    query = "",
    capabilities: readonly string[] = [],
  ): Promise<Person> {
    const person = await Person.#open(target, user, heard, query);
    if (!target.raw) await person.ask("hello", [1, signToken(user, target.secret), "bench", null, capabilities]);
    return person;
  }

  /**
   * Connects; signs in and syncs in one message, as the protocol allows, unless the target is the raw server. The answers
   * stay undecoded, so that the generator's share is next to nothing.
   */
  static async connectAndSync(target: Target, user: string, token: string): Promise<Person> {
    const person = await Person.#open(target, user, deaf, "");
    if (target.raw) return person;
    const hello = encode([frameTypes.request, 1, "hello", [1, token, "bench"]]);
    const sync = encode([frameTypes.request, syncId, "sync", [null, []]]);
    const { promise, resolve } = Promise.withResolvers<void>();
    person.#unread = { reply: encode([frameTypes.reply, syncId, null]).subarray(0, -1), resolve };
    person.#nextId = syncId + 1;
    person.#socket.send(Buffer.concat([hello, sync]));
    await promise;
    return person;
  }

  static async #open(target: Target, user: string, heard: Heard, query: string): Promise<Person> {
    const person = new Person();
    person.#socket = await RawSocket.open(target.port, socketPath + query, {
      skip: heard.skip.bind(heard),
      onMessage: (payload) => person.#take(payload, heard),
      onClose: (code) => {
        if (!person.#leaving) heard.onFault(`${user}: closed with ${code}`);
        person.#leaving = true;
      },
    });
    return person;
  }

  /** Asks and waits. Rejects with the server's error. */
  ask<N extends keyof Results>(operation: N, args: readonly unknown[]): Promise<Results[N]> {
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<Results[N]>();
    this.#pending.set(id, (frame) => {
      if (frame[0] === frameTypes.reply) resolve(frame[2] as Results[N]);
      else reject(new Error(`${operation}: ${JSON.stringify(frame[2])}`));
    });
    this.#socket.send(encode([frameTypes.request, id, operation, args]));
    return promise;
  }

  /** Sends a request that is encoded already. `onAnswer` is called once with its reply or error frame. */
  sendEncoded(bytes: (id: number) => Uint8Array, onAnswer: ((frame: readonly unknown[]) => void) | null): void {
    const id = this.#nextId++;
    if (onAnswer) this.#pending.set(id, onAnswer);
    this.#socket.send(bytes(id));
  }

  leave(): void {
    this.#leaving = true;
    this.#socket.close();
  }

  #take(payload: Uint8Array, heard: Heard): void {
    const unread = this.#unread;
    if (unread && Buffer.from(payload.buffer, payload.byteOffset, payload.length).includes(unread.reply)) {
      this.#unread = null;
      return unread.resolve();
    }
    // The hello's answer, which comes first; a refusal begins with another type and is read below.
    if (unread && payload[1] === frameTypes.reply) return;
    const { batch, others } = readPayload(payload);
    if (batch) heard.onBatch(batch);
    for (const frame of others) {
      if (frame[0] === frameTypes.ping) this.#socket.send(encode([frameTypes.pong]));
      if (frame[0] === frameTypes.push && frame[1] === "goodbye") heard.onFault(`goodbye ${JSON.stringify(frame)}`);
      if (frame[0] !== frameTypes.reply && frame[0] !== frameTypes.error) continue;
      const id = frame[1] as number;
      const answer = this.#pending.get(id);
      this.#pending.delete(id);
      answer?.(frame);
    }
  }
}
