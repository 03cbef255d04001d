// Who of the watched people is online. The watch is kept through reconnects. Owned by Core.
import type { UserId } from "../protocol/ids";
import type { Connection } from "./connection";
import { Derived } from "./observable";
import type { Ticker } from "./observable";
import { checkedArgs } from "./operation";

/** The watch of this client: at most 200 people. */
export class Presence {
  readonly people: Derived<ReadonlyMap<UserId, boolean>>;
  readonly #connection: Connection;
  #watched = new Set<string>();
  #online: ReadonlyMap<UserId, boolean> = new Map();

  constructor(connection: Connection, ticker: Ticker) {
    this.#connection = connection;
    this.people = new Derived(ticker, () => this.#online);
  }

  /** Replaces the watch. Resolves at once while offline: it begins with the next connection. */
  async watch(users: readonly string[]): Promise<void> {
    checkedArgs("watch", [users]);
    this.#watched = new Set(users);
    this.#show([]);
    if (this.#connection.online) await this.begin();
  }

  /** Tells the server who is watched; for a new connection. */
  async begin(): Promise<void> {
    if (this.#watched.size === 0 && this.#online.size === 0) return;
    const watched = this.#watched;
    const [people] = await this.#connection.ask("watch", [[...watched]]);
    if (watched === this.#watched) this.#show(people);
  }

  apply(people: readonly (readonly [UserId, boolean])[]): void {
    this.#show(people);
  }

  /** The connection is gone: nobody is known to be online. */
  end(): void {
    this.#online = new Map();
    this.people.invalidate();
  }

  #show(people: readonly (readonly [UserId, boolean])[]): void {
    const now = new Map([...this.#online, ...people].filter(([user]) => this.#watched.has(user)));
    this.#online = now;
    this.people.invalidate();
  }
}
