import { describe, expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { FeatureLevel, levelTimes, OutdatedRelease, releaseLevel } from "./feature-level";

const { lookMs, settleMs, forgetMs } = levelTimes;

/** One store, and nodes that hear each other's leases once a second while they run. */
class Nodes {
  readonly clock = new VirtualClock();
  readonly outdated: string[] = [];
  inForce = 0;
  storeWorks = true;
  readonly #running = new Map<string, FeatureLevel>();
  readonly #deaf = new Set<string>();

  async start(name: string, level: number): Promise<FeatureLevel> {
    const opened = await FeatureLevel.open({
      store: this,
      clock: this.clock,
      level,
      onOutdated: (inForce) => void this.outdated.push(`${name}: ${inForce}`),
    });
    this.#running.set(name, opened);
    opened.begin(() => !this.#deaf.has(name));
    return opened;
  }

  /** Stops without a word: its lease is left to expire. */
  kill(name: string): void {
    this.#running.get(name)?.close();
    this.#running.delete(name);
  }

  leave(name: string): void {
    this.kill(name);
    for (const other of this.#running.values()) other.gone(name);
  }

  /** Hears of nobody, and is not heard, until it is called again. */
  cut(name: string): void {
    if (!this.#deaf.delete(name)) this.#deaf.add(name);
  }

  pass(ms: number): void {
    for (let passed = 0; passed < ms; passed += lookMs) {
      for (const [name, { level }] of this.#running) this.#renew(name, level);
      this.clock.advance(lookMs);
    }
  }

  async featureLevel(): Promise<number> {
    if (!this.storeWorks) throw new Error("away");
    return this.inForce;
  }

  async raiseFeatureLevel(to: number): Promise<number> {
    if (!this.storeWorks) throw new Error("away");
    this.inForce = Math.max(this.inForce, to);
    return this.inForce;
  }

  #renew(name: string, level: number): void {
    if (this.#deaf.has(name)) return;
    for (const [other, levels] of this.#running) if (!this.#deaf.has(other)) levels.seen(name, level);
  }
}

describe("the level of features", () => {
  test("is raised at start by a node that is alone, and by none that is not asked to", async () => {
    const nodes = new Nodes();
    const alone = await nodes.start("alone", releaseLevel);
    expect(alone.supports("cluster")).toBe(false);
    await alone.raiseAlone();
    expect(alone.supports("cluster")).toBe(true);
    expect(nodes.inForce).toBe(releaseLevel);
  });

  test("rises once all members have supported it for some seconds, and everybody learns of it", async () => {
    const nodes = new Nodes();
    const members = [await nodes.start("a", 2), await nodes.start("b", 3), await nodes.start("c", 2)];
    nodes.pass(settleMs);
    expect(nodes.inForce).toBe(0);
    nodes.pass(3 * lookMs);
    expect(members.map(({ inForce }) => inForce)).toEqual([2, 2, 2]);
  });

  test("stays while one member is older, and rises when that one has left", async () => {
    const nodes = new Nodes();
    await nodes.start("old", 1);
    await nodes.start("new", 2);
    nodes.pass(10 * settleMs);
    expect(nodes.inForce).toBe(1);
    nodes.leave("old");
    nodes.pass(settleMs + 3 * lookMs);
    expect(nodes.inForce).toBe(2);
  });

  test("waits a minute for a member that fell silent: it may come back", async () => {
    const nodes = new Nodes();
    await nodes.start("old", 1);
    await nodes.start("new", 2);
    nodes.pass(settleMs);
    nodes.kill("old");
    nodes.pass(forgetMs - settleMs);
    expect(nodes.inForce).toBe(1);
    nodes.pass(3 * settleMs);
    expect(nodes.inForce).toBe(2);
  });

  test("an older member that joins while it is about to rise holds it back", async () => {
    const nodes = new Nodes();
    await nodes.start("new", 2);
    nodes.pass(settleMs - lookMs);
    await nodes.start("old", 1);
    nodes.pass(2 * settleMs);
    expect(nodes.inForce).toBe(1);
  });

  test("is not raised by a node that is not sure to know all members", async () => {
    const nodes = new Nodes();
    await nodes.start("old", 1);
    nodes.pass(settleMs);
    await nodes.start("new", 2);
    nodes.cut("new");
    nodes.pass(2 * settleMs);
    expect(nodes.inForce).toBe(1);
  });

  test("is raised once the store answers again", async () => {
    const nodes = new Nodes();
    const member = await nodes.start("a", 1);
    nodes.storeWorks = false;
    nodes.pass(2 * settleMs);
    expect(member.inForce).toBe(0);
    nodes.storeWorks = true;
    nodes.pass(2 * lookMs);
    expect(member.inForce).toBe(1);
  });

  test("an older release is refused at start where more is in force", async () => {
    const nodes = new Nodes();
    nodes.inForce = 2;
    const refused = nodes.start("old", 1);
    await expect(refused).rejects.toBeInstanceOf(OutdatedRelease);
    await expect(refused).rejects.toThrow("(level 2; this one supports 1); start the newer release again");
  });

  test("an older member that was away while the level rose is told once, when it hears of the others again", async () => {
    const nodes = new Nodes();
    await nodes.start("old", 1);
    await nodes.start("new", 2);
    nodes.pass(settleMs + 3 * lookMs);
    nodes.cut("old");
    nodes.pass(forgetMs + 3 * settleMs);
    expect([nodes.inForce, nodes.outdated]).toEqual([2, []]);
    nodes.cut("old");
    nodes.pass(10 * lookMs);
    expect(nodes.outdated).toEqual(["old: 2"]);
  });
});
