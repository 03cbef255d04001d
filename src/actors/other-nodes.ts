// This node's part in what nodes tell each other through a shared cache: rates of people, and who is here.
// Owned by the composition, which makes it only where others see the cache, and hands it to the hub.
import { randomBytes } from "node:crypto";
import type { Clock } from "../lib/clock";
import type { UserId } from "../protocol/ids";
import type { Cache } from "../storage/cache";
import type { CacheMeter } from "./known-people";
import { RemotePresence } from "./remote-presence";
import { SharedRates } from "./shared-rates";

/** What it is made of. */
export interface OtherNodesDeps {
  readonly cache: Cache;
  readonly clock: Clock;
  readonly meter: CacheMeter;
}

/** See the head of this file. */
export class OtherNodes {
  readonly rates: SharedRates;
  readonly #deps: OtherNodesDeps;
  #presence: RemotePresence | null = null;

  constructor(deps: OtherNodesDeps) {
    this.#deps = deps;
    this.rates = new SharedRates(deps);
  }

  /** Called once, by the hub: begins to tell the others who is here, and to look after whom somebody watches. */
  watchPresence(isHere: (user: UserId) => boolean, onChange: (user: UserId) => void): RemotePresence {
    const node = randomBytes(8).toString("base64url");
    this.#presence = new RemotePresence({ ...this.#deps, node, isHere, onChange });
    this.#presence.start();
    return this.#presence;
  }

  /** Takes leave of the others, within the cache's time-out. Idempotent. */
  async stop(): Promise<void> {
    this.rates.stop();
    await this.#presence?.stop();
  }
}
