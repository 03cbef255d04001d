// What has no number and was said for a partition soon after it came here, kept for nodes that do not know yet that it did.
// Owned by ClusterGateway; bounded. With it a partition that was handed over in order costs nobody another sync.
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
  readonly items: { readonly key: string; readonly item: Item }[];
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
    const young: Young = { items: [], full: false };
    this.#partitions.set(partition, young);
    this.#clock.after(youngLimits.forMs, () => {
      if (this.#partitions.get(partition) === young) this.end(partition);
    });
  }

  /** Forgets what was kept. Idempotent. */
  end(partition: number): void {
    this.#items -= this.#partitions.get(partition)?.items.length ?? 0;
    this.#partitions.delete(partition);
  }

  /** Something was said to whoever is registered for `key` by now. */
  note(partition: number, key: string, item: () => Item): void {
    const young = this.#partitions.get(partition);
    if (!young || young.full) return;
    young.full = young.items.length >= youngLimits.itemsMax || this.#items >= youngLimits.allItemsMax;
    if (young.full) return;
    young.items.push({ key, item: item() });
    this.#items++;
  }

  /** What was said for these keys since the partition came here; null: nobody can tell any more. */
  since(partition: number, keys: readonly string[]): readonly Item[] | null {
    const young = this.#partitions.get(partition);
    if (!young || young.full) return null;
    if (young.items.length === 0) return [];
    const wanted = new Set(keys);
    return young.items.flatMap(({ key, item }) => (wanted.has(key) ? [item] : []));
  }
}
