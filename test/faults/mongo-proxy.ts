// A proxy that speaks MongoDB's wire protocol, so that a test may answer, change or swallow chosen commands: it plays the
// failures that a single substitute server cannot have. Everything else passes on as it is. Tests own it.
import { connect, createServer, type Server, type Socket } from "node:net";
import { type Document, MongoClient } from "mongodb";
import { freePort } from "../../scripts/services/service";
import { atPort, portOf } from "./proxy";
import { type Frame, FrameReader, writeMessage } from "./wire";

/** One command of a client. */
export interface Command {
  /** Such as `insert`, `find`, `findAndModify`, `hello`. */
  readonly name: string;
  readonly database: string;
  /** The whole command; the rows of an insert, update or delete stand in `documents`, `updates` or `deletes`. */
  readonly body: Document;
}

/** Sends a command on, changed where a body is given, and answers the server's reply. Rejects where the server is gone. */
export type Forward = (body?: Document) => Promise<Document>;

/** A reply; `silence`: none ever, the connection stays; `reset`: the connection breaks. */
export type Answer = Document | "silence" | "reset";

/** Decides about one command. The usual one is `(command, forward) => forward()`. */
export type Handler = (command: Command, forward: Forward) => Promise<Answer>;

/** Commands that only read, which {@link MongoProxy.freezeReads} answers from the past. */
const reads = new Set(["find", "aggregate", "count", "distinct"]);

/** The reply of a server that is not, or no longer, the primary; nothing was written. */
export function notWritablePrimary(): Document {
  return { ok: 0, code: 10107, codeName: "NotWritablePrimary", errmsg: "not primary" };
}

/** The reply to a write that was applied here but not confirmed by a majority in time. */
export function withWriteConcernTimeout(reply: Document): Document {
  const errInfo = { wtimeout: true };
  const errmsg = "waiting for replication timed out";
  return { ...reply, writeConcernError: { code: 64, codeName: "WriteConcernFailed", errmsg, errInfo } };
}

/** Starts a proxy before the server in `uri` (one host with a port, no TLS). Resolves once it listens. */
export async function startMongoProxy(uri: string): Promise<MongoProxy> {
  const proxy = new MongoProxy(uri, await freePort());
  await proxy.listen();
  return proxy;
}

/** A scripted stretch of wire. Disposing resets what is connected. */
export class MongoProxy implements AsyncDisposable {
  /** The address of the server by way of the proxy, with the same database and options. */
  readonly uri: string;
  readonly #direct: string;
  readonly #port: number;
  readonly #sessions = new Set<Session>();
  #listener: Server | null = null;
  #handler: Handler | null = null;
  #frozen: ReadonlyMap<string, string> = new Map();
  #waiting: readonly { matches: (command: Command) => boolean; resolve: (command: Command) => void }[] = [];

  constructor(uri: string, port: number) {
    this.#direct = uri;
    this.#port = port;
    this.uri = atPort(uri, port);
  }

  /** Called once by {@link startMongoProxy}. */
  async listen(): Promise<void> {
    const listener = createServer((client) => this.#accept(client));
    this.#listener = listener;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    listener.once("error", reject).listen(this.#port, "127.0.0.1", resolve);
    await promise;
  }

  /** Lets `handler` decide about every command from now on; null: all pass. One that throws breaks the connection, loudly. */
  onCommand(handler: Handler | null): void {
    this.#handler = handler;
  }

  /** The next command for which `matches` holds, as it comes in and before anybody decided about it. */
  seen(matches: (command: Command) => boolean): Promise<Command> {
    return new Promise((resolve) => {
      this.#waiting = [...this.#waiting, { matches, resolve }];
    });
  }

  /**
   * From now on this is a primary that others have replaced without its knowing: reads of `database` see what is stored at
   * this moment, at every read concern but `linearizable`, which such a server never answers. Writes are the handler's.
   */
  async freezeReads(database: string): Promise<void> {
    const past = `${database}_past`;
    await using client = new MongoClient(this.#direct);
    await client.db(past).dropDatabase();
    for (const { name } of await client.db(database).listCollections({}, { nameOnly: true }).toArray()) {
      const rows = await client.db(database).collection(name).find({}, { promoteValues: false }).toArray();
      if (rows.length > 0) await client.db(past).collection(name).insertMany(rows);
    }
    this.#frozen = new Map([...this.#frozen, [database, past]]);
  }

  /** Reads see the present again, and what {@link freezeReads} kept is dropped. */
  async thawReads(): Promise<void> {
    const kept = [...this.#frozen.values()];
    this.#frozen = new Map();
    if (kept.length === 0) return;
    await using client = new MongoClient(this.#direct);
    for (const past of kept) await client.db(past).dropDatabase();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of [...this.#sessions]) session.reset();
    await new Promise<void>((resolve) => (this.#listener ? this.#listener.close(() => resolve()) : resolve()));
    await this.thawReads();
  }

  #accept(client: Socket): void {
    const session = new Session(client, portOf(this.#direct), (command, forward) => this.#decide(command, forward));
    this.#sessions.add(session);
    client.on("close", () => this.#sessions.delete(session));
  }

  async #decide(command: Command, forward: Forward): Promise<Answer> {
    for (const { resolve } of this.#waiting.filter(({ matches }) => matches(command))) resolve(command);
    this.#waiting = this.#waiting.filter(({ matches }) => !matches(command));
    const send: Forward = (body = command.body) => forward(body === command.body ? undefined : body);
    const past = reads.has(command.name) ? this.#frozen.get(command.database) : undefined;
    if (past !== undefined) return await this.#answerFromPast(command, past, send);
    return this.#handler === null ? await send() : await this.#handler(command, send);
  }

  async #answerFromPast({ body }: Command, past: string, forward: Forward): Promise<Answer> {
    if ((body["readConcern"] as Document | undefined)?.["level"] === "linearizable") return "silence";
    return await forward({ ...body, $db: past });
  }
}

/** One client connection with its own connection to the server; commands are decided in the order they come. */
class Session {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #decide: Handler;
  readonly #replies = new Map<number, (reply: Frame) => void>();
  readonly #failures = new Set<(error: Error) => void>();
  #last: Promise<void> = Promise.resolve();
  #replyId = 1;

  constructor(client: Socket, port: number, decide: Handler) {
    this.#client = client;
    this.#server = connect(port, "127.0.0.1");
    this.#decide = decide;
    const [fromClient, fromServer] = [new FrameReader(), new FrameReader()];
    this.#read(client, (bytes) => {
      for (const frame of fromClient.take(bytes)) this.#queue(frame);
    });
    this.#read(this.#server, (bytes) => {
      for (const frame of fromServer.take(bytes)) this.#replied(frame);
    });
  }

  /** Breaks both connections; what was forwarded fails. */
  reset(): void {
    this.#client.resetAndDestroy();
    this.#server.resetAndDestroy();
    for (const fail of this.#failures) fail(new Error("the connection to the server is gone"));
    this.#failures.clear();
  }

  #read(socket: Socket, take: (bytes: Buffer) => void): void {
    socket.setNoDelay(true);
    // What failed shows as the close that follows.
    socket.on("error", () => undefined);
    socket.on("close", () => this.reset());
    socket.on("data", (bytes: Buffer) => {
      try {
        take(bytes);
      } catch (error) {
        this.#breakLoudly(error);
      }
    });
  }

  #queue(frame: Frame): void {
    this.#last = this.#last.then(() => this.#handle(frame)).catch((error) => this.#breakLoudly(error));
  }

  async #handle(frame: Frame): Promise<void> {
    const body = frame.message?.body;
    const name = body && Object.keys(body)[0];
    if (body === undefined || name === undefined || frame.message?.moreToCome) {
      this.#server.write(frame.bytes);
      return;
    }
    const command = { name, database: String(body["$db"]), body };
    const answer = await this.#decide(command, (changed) => this.#forward(frame, changed)).catch((error) => {
      // A server that went away under a command shows to its client as it would without us.
      if (this.#server.destroyed) return "reset" as const;
      throw error;
    });
    if (answer === "reset") this.reset();
    else if (answer !== "silence") this.#client.write(writeMessage(answer, this.#replyId++, frame.requestId));
  }

  async #forward(frame: Frame, changed: Document | undefined): Promise<Document> {
    const { promise, resolve, reject } = Promise.withResolvers<Frame>();
    this.#replies.set(frame.requestId, resolve);
    this.#failures.add(reject);
    if (this.#server.destroyed) reject(new Error("the connection to the server is gone"));
    this.#server.write(changed === undefined ? frame.bytes : writeMessage(changed, frame.requestId, 0));
    try {
      const { message } = await promise;
      return message?.body ?? {};
    } finally {
      this.#replies.delete(frame.requestId);
      this.#failures.delete(reject);
    }
  }

  /** A reply that a command waits for, or one to what was passed on as it was. */
  #replied(frame: Frame): void {
    const waiting = this.#replies.get(frame.responseTo);
    if (waiting) waiting(frame);
    else this.#client.write(frame.bytes);
  }

  #breakLoudly(error: unknown): void {
    process.stderr.write(`mongo proxy: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    this.reset();
  }
}
