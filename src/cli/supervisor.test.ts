import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { silentLog } from "../lib/log";
import { Supervisor } from "./supervisor";
import type { NodeProcess, ProcessEnd } from "./supervisor-node";
import { supervisorTimes as times } from "./supervisor-words";

const drainMs = 5_000;
const at = { url: "http://127.0.0.1:1", adminUrl: "http://127.0.0.1:2" };

/** Time that passes while this process does nothing. */
class StallingClock extends VirtualClock {
  #stalledMs = 0;

  override monotonic(): number {
    return super.monotonic() + this.#stalledMs;
  }

  stall(ms: number): void {
    this.#stalledMs += ms;
  }
}

/** A process that only does what the test says. */
class ScriptedProcess implements NodeProcess {
  readonly pid = 1;
  readonly ended: Promise<ProcessEnd>;
  readonly signals: string[] = [];
  readonly #end: (end: ProcessEnd) => void;
  readonly #hear: (message: unknown) => void;
  /** Beats by itself while true. */
  alive = true;
  beat: unknown = { at: null, ready: false, reason: "starting" };

  constructor(hear: (message: unknown) => void, clock: VirtualClock) {
    const { promise, resolve } = Promise.withResolvers<ProcessEnd>();
    this.ended = promise;
    this.#end = resolve;
    this.#hear = hear;
    const again = (): void => {
      if (this.alive) this.say(this.beat);
      clock.after(times.beatMs, again);
    };
    clock.after(0, again);
  }

  say(message: unknown): void {
    this.beat = message;
    this.#hear(message);
  }

  /** It listens, and takes clients. */
  becomeReady(): void {
    this.say({ at, ready: true, reason: null });
  }

  kill(signal: "SIGTERM" | "SIGKILL"): void {
    this.signals.push(signal);
    if (signal === "SIGKILL") this.end({ code: null, signal });
  }

  end({ code = 0, signal = null, said = null }: Partial<ProcessEnd> = {}): void {
    this.alive = false;
    this.#end({ code, signal, said });
  }
}

/** A supervisor over scripted processes; `lives` holds all of a node, the newest last. */
class World {
  readonly clock = new StallingClock();
  readonly lives = new Map<string, ScriptedProcess[]>();
  readonly starts: string[] = [];
  readonly supervisor: Supervisor;

  constructor(...names: readonly string[]) {
    this.supervisor = new Supervisor({
      names,
      clock: this.clock,
      log: silentLog(),
      random: () => 0.5,
      drainMs,
      start: (name, hear) => {
        this.starts.push(name);
        const life = new ScriptedProcess(hear, this.clock);
        this.lives.set(name, [...(this.lives.get(name) ?? []), life]);
        return life;
      },
    });
  }

  static async ready(...names: readonly string[]): Promise<World> {
    const world = new World(...names);
    const started = world.supervisor.start();
    world.life(names[0] ?? "").becomeReady();
    world.clock.settle();
    for (const name of names) world.life(name).becomeReady();
    expect(await started).toEqual({ ok: true });
    return world;
  }

  life(name: string): ScriptedProcess {
    return this.lives.get(name)?.at(-1) as ScriptedProcess;
  }

  run(ms: number): void {
    this.clock.advance(ms);
  }
}

test("the first node listens before the others are started", () => {
  const world = new World("a", "b", "c");
  void world.supervisor.start();
  world.run(5_000);
  expect(world.starts).toEqual(["a"]);
  world.life("a").becomeReady();
  world.clock.settle();
  expect(world.starts).toEqual(["a", "b", "c"]);
});

test("a first node that ends before it listens ends all, with what it said", async () => {
  const world = new World("a", "b");
  const started = world.supervisor.start();
  world.life("a").end({ code: 2, said: "parley: wrong" });
  expect(await started).toEqual({ ok: false, end: { code: 2, signal: null, said: "parley: wrong" } });
  world.run(60_000);
  expect(world.starts).toEqual(["a"]);
});

test("a first node that takes its time does not hold the others for ever", () => {
  const world = new World("a", "b");
  void world.supervisor.start();
  world.run(times.firstStartMs + 1_000);
  expect(world.starts).toEqual(["a", "b"]);
});

test("a crashed node is started again, later each time, and soon again once it ran well", async () => {
  const world = await World.ready("a");
  const waits: number[] = [];
  for (let crash = 0; crash < 10; crash++) {
    const lives = world.starts.length;
    world.life("a").end({ code: 1 });
    const since = world.clock.monotonic();
    while (world.starts.length === lives) world.run(50);
    waits.push(world.clock.monotonic() - since);
  }
  expect(waits.slice(0, 4)).toEqual([200, 400, 800, 1_600]);
  expect(waits.slice(-2)).toEqual([times.backOffMaxMs, times.backOffMaxMs]);

  world.life("a").becomeReady();
  world.run(times.wellMs);
  const lives = world.starts.length;
  world.life("a").end({ code: 1 });
  world.run(times.backOffMs);
  expect(world.starts.length).toBe(lives + 1);
});

test("a node that falls silent is killed and started again; one that says anything is not", async () => {
  const world = await World.ready("a", "b");
  world.life("a").alive = false;
  world.run(times.silentMs - 2 * times.lookMs);
  expect(world.life("a").signals).toEqual([]);
  world.run(3 * times.lookMs);
  expect([world.lives.get("a")?.[0]?.signals, world.life("b").signals]).toEqual([["SIGKILL"], []]);
  expect(world.starts).toEqual(["a", "b", "a"]);
});

test("a process that never says a word gets longer, and is killed too", () => {
  const world = new World("a");
  void world.supervisor.start();
  world.life("a").alive = false;
  world.run(times.firstWordMs - 1_000);
  expect(world.life("a").signals).toEqual([]);
  world.run(2_000);
  expect(world.lives.get("a")?.[0]?.signals).toEqual(["SIGKILL"]);
});

test("whoever stood still itself judges nobody by what it did not read", async () => {
  const world = await World.ready("a");
  world.life("a").alive = false;
  world.clock.stall(times.silentMs * 2);
  world.run(times.lookMs);
  expect(world.life("a").signals).toEqual([]);
  world.run(times.silentMs + times.lookMs);
  expect(world.lives.get("a")?.[0]?.signals).toEqual(["SIGKILL"]);
});

test("a rolling restart takes the next node only when the one before is ready again", async () => {
  const world = await World.ready("a", "b");
  const rolled = world.supervisor.restartAll();
  expect([world.life("a").signals, world.life("b").signals]).toEqual([["SIGTERM"], []]);
  world.life("a").end();
  world.clock.settle();
  expect(world.starts).toEqual(["a", "b", "a"]);
  world.run(10_000);
  expect(world.life("b").signals).toEqual([]);
  world.life("a").becomeReady();
  world.clock.settle();
  expect(world.life("b").signals).toEqual(["SIGTERM"]);
  world.life("b").end();
  world.clock.settle();
  world.life("b").becomeReady();
  await rolled;
  expect(world.starts).toEqual(["a", "b", "a", "b"]);
});

test("a rolling restart begins with nodes that are of no use, and is given up where one does not become ready", async () => {
  const world = await World.ready("a", "b", "c");
  world.life("b").say({ at, ready: false, reason: "drained" });
  const rolled = world.supervisor.restartAll();
  expect([world.life("a").signals, world.life("b").signals]).toEqual([[], ["SIGTERM"]]);
  world.life("b").end();
  world.clock.settle();
  world.run(times.readyMs + 1_000);
  await rolled;
  expect([world.life("a").signals, world.life("c").signals]).toEqual([[], []]);
});

test("asked for again meanwhile, a rolling restart begins once more when it is done", async () => {
  const world = await World.ready("a");
  const rolled = world.supervisor.restartAll();
  void world.supervisor.restartAll();
  void world.supervisor.restartAll();
  for (let life = 0; life < 2; life++) {
    world.life("a").end();
    world.clock.settle();
    world.life("a").becomeReady();
    world.clock.settle();
  }
  await rolled;
  expect(world.starts).toEqual(["a", "a", "a"]);
});

test("nodes end in turn, the next when the one before is gone or has had its part of the time", async () => {
  const world = await World.ready("a", "b", "c");
  const stopped = world.supervisor.stop();
  const told = (): readonly string[] => ["a", "b", "c"].filter((name) => world.life(name).signals.includes("SIGTERM"));
  expect(told()).toEqual(["a"]);
  world.life("a").end();
  world.clock.settle();
  expect(told()).toEqual(["a", "b"]);
  world.run(drainMs / 3);
  expect(told()).toEqual(["a", "b", "c"]);
  world.life("c").end();
  world.run(drainMs + times.graceMs);
  await stopped;
  expect(world.life("b").signals).toEqual(["SIGTERM", "SIGKILL"]);
  world.run(60_000);
  expect(world.starts).toHaveLength(3);
});

test("a node that was told to end by somebody else meanwhile is not started again", async () => {
  const world = await World.ready("a", "b");
  const stopped = world.supervisor.stop();
  world.life("b").end();
  world.run(times.backOffMs * 2);
  expect(world.starts).toEqual(["a", "b"]);
  world.life("a").end();
  await stopped;
});

test("stopping ends a rolling restart and starts nothing any more", async () => {
  const world = await World.ready("a", "b");
  const rolled = world.supervisor.restartAll();
  const stopped = world.supervisor.stop();
  world.life("a").end();
  world.clock.settle();
  world.life("b").end();
  await Promise.all([rolled, stopped]);
  world.run(60_000);
  expect(world.starts).toEqual(["a", "b"]);
});

test("a node whose data another server took over is not started again", async () => {
  const world = await World.ready("a", "b");
  world.life("a").end({ code: 3, said: "parley: another server took over" });
  expect(await world.supervisor.fenced).toMatchObject({ code: 3, said: "parley: another server took over" });
  world.run(60_000);
  expect(world.starts).toEqual(["a", "b"]);
});

test("a process that even a kill does not end is waited for no more", async () => {
  const world = await World.ready("a");
  const stuck = world.life("a");
  stuck.kill = (signal) => void stuck.signals.push(signal);
  const stopped = world.supervisor.stop();
  world.run(drainMs + times.stuckMs);
  await stopped;
  expect(stuck.signals.slice(0, 2)).toEqual(["SIGTERM", "SIGKILL"]);
});

test("what is no message of a node changes nothing", async () => {
  const world = await World.ready("a");
  world.life("a").alive = false;
  for (const message of [null, "ready", {}, { ready: 1 }, { at: 7, ready: false }]) world.life("a").say(message);
  expect(world.supervisor.nodes.map(({ ready }) => ready)).toEqual([true]);
  world.run(times.silentMs + 2 * times.lookMs);
  expect(world.lives.get("a")?.[0]?.signals).toEqual(["SIGKILL"]);
});
