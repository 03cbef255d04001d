// All cells of one kind on this node, by key and by last use.
// Owned by ActorSystem; keeps the limits of active ones (G11): past `activeMax` the least recently used are passivated.
import type { ActorKind } from "./actor";
import type { ActorCell } from "./cell";

/** Cells held at most, in multiples of `activeMax`: past it new keys are refused until some have passivated. */
export const activeHardFactor = 2;

/** How many of the least recently used are tried for each passivation wanted: some are busy. */
const triesEach = 4;

/** Figures of one kind, for metrics. */
export interface KindStats {
  /** Keys with a cell, whatever its state. */
  readonly cells: number;
  readonly active: number;
  readonly activating: number;
  readonly passivating: number;
  /** Messages waiting in all mailboxes, and in the fullest one. */
  readonly waiting: number;
  readonly deepest: number;
}

/** See the head of this file. */
export class KindCells {
  readonly kind: ActorKind;
  readonly #byKey = new Map<string, ActorCell>();
  #oldest: ActorCell | null = null;
  #newest: ActorCell | null = null;

  constructor(kind: ActorKind) {
    this.kind = kind;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Whether a new key must be refused. */
  get full(): boolean {
    return this.#byKey.size >= this.kind.activeMax * activeHardFactor;
  }

  get(key: string): ActorCell | undefined {
    return this.#byKey.get(key);
  }

  /** All cells, the least recently used first; cells may be removed meanwhile. */
  all(): ActorCell[] {
    const cells: ActorCell[] = [];
    for (let cell = this.#oldest; cell; cell = cell.newer) cells.push(cell);
    return cells;
  }

  add(cell: ActorCell, now: number): void {
    this.#byKey.set(cell.key, cell);
    this.#append(cell, now);
  }

  /** Makes it the most recently used. */
  touch(cell: ActorCell, now: number): void {
    if (cell === this.#newest) {
      cell.usedAt = now;
      return;
    }
    this.#unlink(cell);
    this.#append(cell, now);
  }

  remove(cell: ActorCell): void {
    if (this.#byKey.get(cell.key) !== cell) return;
    this.#byKey.delete(cell.key);
    this.#unlink(cell);
  }

  /** While there are more than `activeMax`, begins to passivate up to `max` of the least recently used. */
  evict(now: number, max: number): void {
    let wanted = Math.min(this.#byKey.size - this.kind.activeMax, max);
    for (let tries = wanted * triesEach; tries > 0 && wanted > 0; tries--) if (this.#passivateOldest(now)) wanted -= 1;
  }

  /** Begins to passivate up to `max` of those not used for `idleMs`. */
  passivateIdle(now: number, max: number): void {
    const before = now - this.kind.idleMs;
    for (let tries = max; tries > 0 && this.#oldest && this.#oldest.usedAt <= before; tries--)
      this.#passivateOldest(now);
  }

  stats(): KindStats {
    const states = { vacant: 0, activating: 0, active: 0, passivating: 0, stopping: 0 };
    let waiting = 0;
    let deepest = 0;
    for (const cell of this.#byKey.values()) {
      states[cell.state] += 1;
      waiting += cell.depth;
      deepest = Math.max(deepest, cell.depth);
    }
    const { active, activating, passivating } = states;
    return { cells: this.#byKey.size, active, activating, passivating, waiting, deepest };
  }

  #passivateOldest(now: number): boolean {
    const cell = this.#oldest;
    if (!cell) return false;
    // Begun, refused or busy: the next one's turn comes before this one's again.
    this.touch(cell, now);
    return cell.passivate();
  }

  #append(cell: ActorCell, now: number): void {
    cell.usedAt = now;
    cell.older = this.#newest;
    cell.newer = null;
    if (this.#newest) this.#newest.newer = cell;
    else this.#oldest = cell;
    this.#newest = cell;
  }

  #unlink(cell: ActorCell): void {
    if (cell.older) cell.older.newer = cell.newer;
    else this.#oldest = cell.newer;
    if (cell.newer) cell.newer.older = cell.older;
    else this.#newest = cell.older;
    cell.older = null;
    cell.newer = null;
  }
}
