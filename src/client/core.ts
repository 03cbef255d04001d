// The parts of a client and how they hang together. Owned by createClient; Face is what the application sees of it.
import { capabilityNames } from "../protocol/capabilities";
import type { DeviceId } from "../protocol/ids";
import { isDeviceId } from "../protocol/ids";
import type { MarkTuple, Results } from "../protocol/operations";
import type { Push } from "./answers";
import type { ClientClock } from "./clock";
import { Connection } from "./connection";
import type { Hello } from "./connection";
import type { ConversationWorld } from "./conversation-world";
import { deferred } from "./deferred";
import type { Deferred } from "./deferred";
import { Directory } from "./directory";
import { ClientError } from "./errors";
import { Events } from "./events";
import { Gaps } from "./gaps";
import { ownMessage } from "./message";
import { Derived, Ticker } from "./observable";
import type { Operation } from "./operation";
import { Opened } from "./opened";
import { Outbox } from "./outbox";
import { Pages } from "./pages";
import { Person } from "./person";
import { Presence } from "./presence";
import type { Locks } from "./queue-lock";
import type { ClientStorage } from "./storage";
import { Sync } from "./sync";
import type { ClientOptions, ConnectionState, WebSocketConstructor } from "./types";
import { createIds } from "./uuid";

/** The parts that differ between platforms and tests. */
export interface CoreSetup {
  readonly options: ClientOptions;
  readonly url: string;
  readonly webSocket: WebSocketConstructor;
  readonly storage: ClientStorage;
  readonly locks: Locks | null;
  readonly clock: ClientClock;
  readonly random: () => number;
}

/** One client's parts. `start()` begins, `close()` ends; in between everything is driven by the connection and the face. */
export class Core {
  readonly events = new Events();
  readonly state: Derived<ConnectionState>;
  readonly connection: Connection;
  readonly outbox: Outbox;
  readonly directory: Directory;
  readonly pages: Pages;
  readonly person: Person;
  readonly presence: Presence;
  readonly clock: ClientClock;
  readonly ids: () => string;
  readonly #setup: CoreSetup;
  readonly #sync: Sync;
  readonly #gaps: Gaps;
  readonly #opened: Opened;
  readonly #end = new AbortController();
  readonly #readers: Deferred<void>[] = [];
  /** The sign-in that stands and whose person is loaded; null while there is none. */
  #hello: Hello | null = null;
  /** The sign-in whose person is being loaded. */
  #arriving: Hello | null = null;
  #synced = false;
  #closing: Promise<void> | null = null;

  constructor(setup: CoreSetup) {
    const { clock, random, options } = setup;
    const ticker = new Ticker(
      (call) => clock.defer(call),
      (error) => this.events.report(error),
    );
    const resumeEntriesMax = options.resumeEntriesMax ?? 2_000;
    this.#setup = setup;
    this.clock = clock;
    this.ids = createIds(() => clock.now(), random);
    this.state = new Derived(ticker, () => this.#state());
    this.connection = this.#connect();
    this.outbox = this.#makeOutbox(ticker);
    this.directory = new Directory(this.#world(ticker, resumeEntriesMax));
    this.presence = new Presence(this.connection, ticker);
    const isOnline = (): boolean => this.#hello !== null;
    const { events, directory } = this;
    this.pages = new Pages({ events, isOnline, ask: (operation, args) => this.connection.ask(operation, args) });
    this.#sync = new Sync({
      clock,
      random,
      directory,
      events,
      ask: (operation, args) => this.connection.ask(operation, args),
      onReset: (conversation) => this.outbox.refuseSeqs(conversation),
      onRow: (conversation) => {
        this.#gaps.close(conversation);
        this.pages.serve(conversation);
      },
      onSynced: () => this.#onSynced(),
    });
    this.#gaps = new Gaps({
      clock,
      random,
      events,
      resumeEntriesMax,
      isOnline,
      entries: (args) => this.connection.ask("entries", args),
      refresh: (conversation) => this.#sync.refresh(conversation.id),
    });
    this.#opened = new Opened({
      clock,
      events,
      find: (conversation) => directory.find(conversation),
      open: (conversations) => this.connection.ask("open", [conversations]),
      onOpen: (conversation) => !this.#sync.isRunning && this.#gaps.close(conversation),
    });
    this.person = this.#makePerson();
  }

  get #takesCounters(): boolean {
    const { counters, resumeEntriesMax } = this.#setup.options;
    return counters ?? resumeEntriesMax !== Number.POSITIVE_INFINITY;
  }

  get synced(): boolean {
    return this.#synced;
  }

  get isClosed(): boolean {
    return this.#closing !== null;
  }

  start(): void {
    const { signal } = this.#setup.options;
    const { signal: ended } = this.#end;
    if (signal?.aborted) return void this.close();
    signal?.addEventListener("abort", () => void this.close(), { signal: ended });
    // Browsers say when the network is back: no reason to wait for the next attempt.
    const platform = globalThis as { addEventListener?: typeof globalThis.addEventListener };
    platform.addEventListener?.("online", () => this.connection.state === "offline" && this.connection.connect(), {
      signal: ended,
    });
    void this.person.boot().then(() => {
      this.state.invalidate();
      if (!this.isClosed) this.connection.connect();
    });
  }

  /** Resolves once synced; rejects when signed out or closed. */
  ready(): Promise<void> {
    if (this.#synced) return Promise.resolve();
    if (this.isClosed) return Promise.reject(new ClientError("closed"));
    if (this.connection.state === "signedOut") return Promise.reject(new ClientError("signed_out"));
    const reader = deferred<void>();
    this.#readers.push(reader);
    return reader.promise;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#end.abort();
    this.connection.close();
    this.#tellReaders(new ClientError("closed"));
    await this.person.close();
    await this.#setup.storage.close().catch((error: unknown) => this.events.report(error));
  }

  #connect(): Connection {
    const { url, webSocket, clock, random, options } = this.#setup;
    return new Connection(
      {
        url,
        webSocket,
        clock,
        random,
        token: options.token,
        deviceId: () => this.person.device,
        platform: options.platform ?? null,
        capabilities: capabilityNames.filter((name) => name !== "counters" || this.#takesCounters),
        requestTimeoutMs: options.requestTimeoutMs ?? 15_000,
        backoff: options.backoff ?? {},
      },
      {
        onSignedIn: (hello) => void this.#onSignedIn(hello),
        onPush: (push) => this.#onPush(push),
        onLost: () => this.#onLost(),
        onChange: () => this.#onChange(),
        report: (error) => this.events.report(error),
      },
    );
  }

  #makeOutbox(ticker: Ticker): Outbox {
    const { clock, random } = this.#setup;
    return new Outbox({
      clock,
      random,
      ticker,
      ids: this.ids,
      isOpen: () => this.#hello !== null,
      ask: (operation, args) => this.connection.ask(operation, args),
      onDone: (operation, result) => this.#onDone(operation, result),
      onChange: (conversation) => conversation !== null && this.directory.find(conversation)?.changed(),
    });
  }

  #makePerson(): Person {
    const { storage, url, locks, clock, options } = this.#setup;
    if (options.deviceId !== undefined && !isDeviceId(options.deviceId))
      throw new ClientError("bad_request", "final", "deviceId is 1–64 bytes of [A-Za-z0-9._@:|+=-]");
    const { events, directory, outbox, ids } = this;
    const deviceId = (options.deviceId as DeviceId | undefined) ?? null;
    return new Person({ storage, server: url, locks, clock, ids, deviceId, events, directory, outbox });
  }

  #world(ticker: Ticker, resumeEntriesMax: number): Omit<ConversationWorld, "rowChanged"> {
    const me = (): ReturnType<ConversationWorld["me"]> => this.person.user;
    return {
      clock: this.clock,
      ticker,
      me,
      resumeEntriesMax,
      events: this.events,
      overlay: (conversation) => this.outbox.overlay(conversation),
      pendingMessages: (conversation) =>
        this.outbox.sends(conversation).map((operation) => {
          const [clientId, body] = operation.args;
          return ownMessage(clientId, body, me(), operation.createdAt, null, this.outbox.failureOf(operation));
        }),
      confirm: (conversation, clientId, seq) => this.outbox.confirm(conversation, clientId, seq),
      stored: (conversation) => this.person.store(conversation),
      removed: (conversation) => this.person.remove(conversation),
      watched: (conversation, isWatched) => {
        this.#opened.watched(conversation, isWatched);
        if (isWatched) this.pages.serve(this.directory.get(conversation));
      },
    };
  }

  async #onSignedIn(hello: Hello): Promise<void> {
    this.#arriving = hello;
    await this.person.signedIn(hello.user, hello.generation);
    // The connection may be gone again, or be another one.
    if (this.#arriving !== hello || this.isClosed) return;
    this.#hello = hello;
    this.state.invalidate();
    // Ahead of sync: what is looked at is resumed.
    if (this.#takesCounters && hello.capabilities.includes("counters")) this.#opened.begin();
    this.#sync.begin(this.person.isNew);
    this.outbox.open();
    void this.person.adoptQueues();
    this.presence.begin().catch((error: unknown) => this.events.report(error));
  }

  #onSynced(): void {
    this.#synced = true;
    if (this.#hello) this.person.synced(this.#hello.generation);
    // What was pushed while sync ran may have left gaps behind it.
    for (const conversation of this.directory.members()) this.#gaps.close(conversation);
    this.state.invalidate();
    this.#tellReaders(null);
  }

  #onLost(): void {
    this.#hello = this.#arriving = null;
    this.#synced = false;
    this.#sync.end();
    this.#opened.end();
    this.directory.disconnect();
    this.#gaps.end();
    this.pages.end();
    this.presence.end();
    this.state.invalidate();
  }

  #onChange(): void {
    this.state.invalidate();
    if (this.connection.state === "signedOut") this.#tellReaders(new ClientError("signed_out"));
  }

  #onPush(push: Push): void {
    const { directory } = this;
    switch (push.name) {
      case "entries": {
        const conversation = directory.forPush(push.args[0]);
        conversation?.offer(push.args[1], "pushed");
        if (conversation && !this.#sync.isRunning) this.#gaps.close(conversation);
        return;
      }
      case "feed":
        return this.#sync.feed(...push.args);
      case "row":
        return this.#sync.row(push.args);
      case "counter": {
        const [id, ...counter] = push.args;
        return directory.forPush(id)?.counted(counter);
      }
      case "resync":
        return this.#sync.within(push.args[0]);
      case "cursor":
        return directory.find(push.args[0])?.applyCursor(push.args[1]);
      case "receipts":
        return directory.find(push.args[0])?.ephemera.moveCursors(push.args[1]);
      case "readCount":
        return directory.find(push.args[0])?.ephemera.countReaders(push.args[1], push.args[2]);
      case "presence":
        return this.presence.apply(push.args[0]);
      case "signal":
        return this.#onSignal(push.args);
      case "tokenExpiring":
      case "goodbye":
        // Connection has dealt with them.
        return;
    }
  }

  #onSignal([conversation, user, kind, data]: (Push & { name: "signal" })["args"]): void {
    if (kind === "typing" && user !== this.person.user) this.directory.find(conversation)?.ephemera.startTyping(user);
    this.events.emit("signal", { conversation, user, kind, data });
  }

  #onDone(operation: Operation, result: unknown): void {
    const conversation = operation.conversation === null ? null : this.directory.find(operation.conversation);
    if (!conversation) return;
    switch (operation.operation) {
      case "send":
        conversation.acked(operation.args[0], result as number, operation.args[1], operation.createdAt);
        return this.#gaps.expect(conversation);
      case "read":
        return conversation.applyCursor((result as Results["read"])[0] satisfies MarkTuple);
      case "settings": {
        const [userSeq] = result as Results["settings"];
        return conversation.applyFacts((facts) => facts.applySettings(userSeq, operation.args[0] as object));
      }
      case "create":
      case "join":
      case "leave":
      case "add":
      case "remove":
      case "role":
      case "update":
        conversation.note((result as readonly [number])[0]);
        return this.#gaps.expect(conversation);
    }
  }

  #tellReaders(error: ClientError | null): void {
    for (const reader of this.#readers.splice(0)) {
      if (error) reader.reject(error);
      else reader.resolve();
    }
  }

  #state(): ConnectionState {
    const { state, reason, retryAt } = this.connection;
    return { state, reason, retryAt, user: this.person.user, synced: this.#synced };
  }
}
