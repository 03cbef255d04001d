// The newest of what has no number and was said to people of a partition soon after it came here, for nodes that do not know yet
// that it did. Owned by ClusterGateway; bounded. With it a partition that was handed over in order costs nobody another sync.
import type { Clock } from "../lib/clock";
import type { Item } from "./node-links";

/** Bounds of what is kept. */
export const youngLimits = {
  /** A partition is young for so long, milliseconds: its nodes hear of it within a beat, or two. */
  forMs: 5_000,
  /** Items of one partition, and of all. */
  itemsMax: 500,
  allItemsMax: 20_000,
} as const;

/** One young partition. */
interface Young {
  /** By key and what it is about: something newer takes the place of what was said before. */
  readonly items: Map<string, { readonly key: string; readonly item: Item }>;
  /** There was more than is kept. */
  full: boolean;
}

/** See the head of this file. */
export class YoungItems {
  readonly #clock: Pick<Clock, "after">;
  readonly #partitions = new Map<number, Young>();
  #items = 0;

  constructor(clock: Pick<Clock, "after">) {
    this.#clock = clock;
  }

  /** The partition came here. */
  begin(partition: number): void {
    this.end(partition);
    const young: Young = { items: new Map(), full: false };
    this.#partitions.set(partition, young);
    this.#clock.after(youngLimits.forMs, () => {
      if (this.#partitions.get(partition) === young) this.end(partition);
    });
  }

  /** Forgets what was kept. Idempotent. */
  end(partition: number): void {
    this.#items -= this.#partitions.get(partition)?.items.size ?? 0;
    this.#partitions.delete(partition);
  }

  /** Something was said to whoever is registered for `key` by now; it replaces what was said `about` the same before. */
  note(partition: number, key: string, about: () => string, item: () => Item): void {
    const young = this.#partitions.get(partition);
    if (!young || young.full) return;
    const name = `${key} ${about()}`;
    if (young.items.has(name)) {
      young.items.set(name, { key, item: item() });
      return;
    }
    young.full = young.items.size >= youngLimits.itemsMax || this.#items >= youngLimits.allItemsMax;
    if (young.full) return;
    young.items.set(name, { key, item: item() });
    this.#items++;
  }

  /** What was said last for these keys since the partition came here; null: nobody can tell any more. */
  since(partition: number, keys: readonly string[]): readonly Item[] | null {
    const young = this.#partitions.get(partition);
    if (!young || young.full) return null;
    if (young.items.size === 0 || keys.length === 0) return [];
    const wanted = new Set(keys);
    return [...young.items.values()].flatMap(({ key, item }) => (wanted.has(key) ? [item] : []));
  }
}
