// What the application holds: ParleyClient over the core. Checks what it is handed, decides nothing else.
import { isConversationId } from "../protocol/ids";
import type { ConversationId, UserId } from "../protocol/ids";
import { View } from "./conversation-view";
import type { Core } from "./core";
import { ClientError, toClientError } from "./errors";
import { checkedArgs } from "./operation";
import type {
  ClientEvents,
  ConnectionState,
  ConversationChange,
  ConversationRow,
  ConversationView,
  Device,
  Observable,
  OutboxItem,
  ParleyClient,
  Totals,
  Unsubscribe,
} from "./types";

/** A {@link ParleyClient}; see there. */
export class Face implements ParleyClient {
  readonly connection: Observable<ConnectionState>;
  readonly conversations: Observable<readonly ConversationRow[]>;
  readonly totals: Observable<Totals>;
  readonly outbox: Observable<readonly OutboxItem[]>;
  readonly presence: Observable<ReadonlyMap<UserId, boolean>>;
  readonly #core: Core;
  readonly #views = new Map<ConversationId, View>();

  constructor(core: Core) {
    this.#core = core;
    this.connection = core.state;
    this.conversations = core.directory.list;
    this.totals = core.directory.totals;
    this.outbox = core.outbox.items;
    this.presence = core.presence.people;
  }

  conversation(id: string): ConversationView {
    if (!isConversationId(id)) throw new ClientError("bad_request", "final", `not a conversation id: ${id}`);
    const present = this.#views.get(id);
    if (present) return present;
    const view = new View(this.#core.directory.get(id), this.#core);
    this.#views.set(id, view);
    return view;
  }

  on<N extends keyof ClientEvents>(name: N, listener: (event: ClientEvents[N]) => void): Unsubscribe {
    return this.#core.events.on(name, listener);
  }

  connect(): void {
    this.#core.connection.connect();
  }

  async create(type: string, set: ConversationChange = {}, members: readonly string[] = []): Promise<ConversationId> {
    const args = checkedArgs("create", [type, this.#core.ids(), { ...set }, members]);
    const [conversation] = await this.#core.outbox.ask("create", null, args);
    return conversation;
  }

  createGroup(set: ConversationChange, members?: readonly string[]): Promise<ConversationId> {
    return this.create("group", set, members);
  }

  createChannel(set: ConversationChange, members?: readonly string[]): Promise<ConversationId> {
    return this.create("channel", set, members);
  }

  openDirect(user: string): Promise<ConversationId> {
    return this.create("direct", {}, [user]);
  }

  watchPresence(users: readonly string[]): Promise<void> {
    return this.#core.presence.watch(users);
  }

  async devices(): Promise<readonly Device[]> {
    const [devices] = await this.#core.connection.ask("devices", []);
    return devices.map(([device, platform, lastSignInAt, signedOut]) => {
      return { device, platform, lastSignInAt, signedOut, current: device === this.#core.person.device };
    });
  }

  async signOut({
    device,
    everywhere,
  }: {
    readonly device?: string;
    readonly everywhere?: boolean;
  } = {}): Promise<void> {
    const { connection, person } = this.#core;
    const target = everywhere ? null : (device ?? person.device);
    const endsHere = target === null || target === person.device;
    try {
      await connection.ask("signOut", checkedArgs("signOut", [target]));
    } catch (thrown) {
      // The server may close this very connection before its answer is out.
      if (!endsHere || connection.state !== "signedOut") throw toClientError(thrown);
    }
    if (!endsHere) return;
    connection.signOut();
    await person.forget();
  }

  flush(): Promise<void> {
    return this.#core.person.flush();
  }

  ready(): Promise<void> {
    return this.#core.ready();
  }

  close(): Promise<void> {
    return this.#core.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#core.close();
  }
}
