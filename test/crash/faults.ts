// The faults of a crash run: Parley, its database or its cache is ended by kill -9 or stopped with SIGSTOP under load.
// Owned by run.ts; each fault leaves everything running again, and the history says when it began and ended.
import type { Recorder } from "../history/recorder";
import type { Random } from "../sim/random";
import { pause } from "./crowd";
import type { ServerProcess } from "./server-process";

/** A server beside Parley that a fault may hit; data and address outlive its process. */
export interface Victim {
  /** `kill -9`; resolves once it is gone. */
  kill(): Promise<void>;
  /** Starts it again on the same address and data; resolves once it answers. */
  start(): Promise<void>;
  /** SIGSTOP, and SIGCONT. */
  freeze(): void;
  thaw(): void;
}

/** What may be hit. */
export const faultTargets = ["parley", "store", "cache"] as const;
export type FaultTarget = (typeof faultTargets)[number];

/** What the faults of one round work with. */
export interface FaultScene {
  readonly server: ServerProcess;
  readonly victims: Readonly<Partial<Record<FaultTarget, Victim>>>;
  readonly environment: Readonly<Record<string, string>>;
  readonly failpoints: readonly string[];
  readonly recorder: Recorder;
  readonly random: Random;
}

/** How long a server may stay away or stopped, milliseconds. */
const awayMs = [50, 1_200] as const;
const frozenMs = [200, 3_000] as const;
const failpointHits = [3, 40] as const;
const lifeMsMax = 30_000;

/** Plays the `nth` fault of a round on `target` and answers its name. */
export async function playFault(scene: FaultScene, target: FaultTarget, nth: number): Promise<string> {
  const name = await (target === "parley" ? killParley(scene, nth) : hitVictim(scene, target, nth));
  return name;
}

async function killParley(scene: FaultScene, nth: number): Promise<string> {
  const { server, recorder, random, failpoints, environment } = scene;
  recorder.fault("kill -9", "parley");
  await server.kill();
  let name = "kill -9 parley";
  if (failpoints.length > 0 && nth % 2 === 1) {
    const point = random.pick(failpoints);
    name = `parley ended at ${point}`;
    await lifeUpTo(scene, point);
  }
  await server.start({ environment });
  recorder.fault("restarted", "parley");
  return name;
}

/** One life that ends itself at a failpoint, on the nth time it passes there. */
async function lifeUpTo({ server, environment, recorder, random }: FaultScene, point: string): Promise<void> {
  const armed = `${point}=exit@${random.between(...failpointHits)}`;
  const spec = [environment["PARLEY_FAILPOINTS"] ?? "", armed].join(",");
  await server.start({ environment: { ...environment, PARLEY_FAILPOINTS: spec } });
  const ended = server.exited.then(() => "ended" as const);
  const outcome = await Promise.race([ended, pause(lifeMsMax).then(() => "alive" as const)]);
  if (outcome === "alive") throw new Error(`the server did not end itself at ${armed}`);
  recorder.fault(`killed at ${armed}`, "parley");
}

async function hitVictim(scene: FaultScene, target: FaultTarget, nth: number): Promise<string> {
  const { recorder, random } = scene;
  const victim = scene.victims[target];
  if (!victim) throw new Error(`this run has no ${target} of its own to hit`);
  const what = nth % 2 === 0 ? "kill -9" : "SIGSTOP";
  recorder.fault(what, target);
  if (what === "kill -9") {
    await victim.kill();
    await pause(random.between(...awayMs));
    await victim.start();
  } else {
    victim.freeze();
    await pause(random.between(...frozenMs));
    victim.thaw();
  }
  recorder.fault("back", target);
  return `${what} ${target}`;
}
