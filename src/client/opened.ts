// Which conversations are looked at: told to the server, which pushes counters of the other large ones. Owned by Core.
import type { ConversationId } from "../protocol/ids";
import { limits } from "../protocol/limits";
import type { ClientClock } from "./clock";
import type { Conversation } from "./conversation";
import type { Events } from "./events";

/** What telling it needs of the client. */
export interface OpenedSetup {
  readonly clock: ClientClock;
  readonly events: Events;
  find(conversation: ConversationId): Conversation | null;
  open(conversations: readonly ConversationId[]): Promise<unknown>;
  /** It is open now: what lies between its position and its head is to be fetched. */
  onOpen(conversation: Conversation): void;
}

/** A list that the server did not take is told again after this while, milliseconds. */
const againMs = 1_000;

/** The conversations with a subscriber; the server is told the ones that were looked at last, as many as it takes. */
export class Opened {
  readonly #setup: OpenedSetup;
  /** The one that was looked at last stands last. */
  readonly #watched = new Set<ConversationId>();
  /** Null where it is not known what the server took. */
  #told: readonly ConversationId[] | null = [];
  /** Of a connection that takes the list; null while there is none. */
  #life: object | null = null;
  #isDue = false;
  #isTelling = false;

  constructor(setup: OpenedSetup) {
    this.#setup = setup;
  }

  /** Somebody begins to look at it, or nobody does any more. */
  watched(conversation: ConversationId, isWatched: boolean): void {
    this.#watched.delete(conversation);
    if (isWatched) this.#watched.add(conversation);
    if (!this.#life || this.#isDue) return;
    this.#isDue = true;
    // One screen often goes as the other comes.
    this.#setup.clock.defer(() => {
      this.#isDue = false;
      void this.#tell();
    });
  }

  /** A connection came up on which counters are spoken: the list goes ahead of everything that is asked after this call. */
  begin(): void {
    this.#life = {};
    void this.#tell();
  }

  /** The connection is gone. */
  end(): void {
    this.#life = null;
    this.#isTelling = false;
    this.#told = [];
  }

  async #tell(): Promise<void> {
    const life = this.#life;
    if (!life || this.#isTelling) return;
    this.#isTelling = true;
    try {
      for (let list = this.#next(); list !== null && life === this.#life; list = this.#next())
        await this.#tellOf(list, life);
    } catch (error) {
      if (life !== this.#life) return;
      this.#setup.events.report(error);
      this.#told = null;
      this.#setup.clock.after(againMs, () => life === this.#life && void this.#tell());
    }
    if (life === this.#life) this.#isTelling = false;
  }

  async #tellOf(list: readonly ConversationId[], life: object): Promise<void> {
    for (const id of this.#told ?? []) if (!list.includes(id)) this.#setup.find(id)?.setOpen(false);
    this.#told = list;
    await this.#setup.open(list);
    if (life === this.#life) for (const id of list) this.#opened(this.#setup.find(id));
  }

  /** The list, where it is another one than was told. */
  #next(): readonly ConversationId[] | null {
    const list = [...this.#watched].slice(-limits.openMax);
    const told = this.#told;
    return told?.length === list.length && list.every((id) => told.includes(id)) ? null : list;
  }

  #opened(conversation: Conversation | null): void {
    conversation?.setOpen(true);
    if (conversation) this.#setup.onOpen(conversation);
  }
}
