// The faults of a crash run: Parley is killed; its database, its cache, or the way to one of them is troubled, under load.
// Owned by run.ts; each fault leaves everything running again, and the history says when it began and ended.
import type { Recorder } from "../history/recorder";
import type { Random } from "../sim/random";
import { pause } from "./crowd";
import type { ServerProcess } from "./server-process";

/** Something that goes wrong beside Parley, and is mended again. */
export interface Trouble {
  readonly name: string;
  begin(): Promise<void> | void;
  /** Resolves once it is as before; data and address are the same. */
  end(): Promise<void> | void;
  /** How long it lasts, from and to, milliseconds. */
  readonly lastsMs: readonly [number, number];
}

/** What may be hit: a process, or the connections to it. */
export const faultTargets = ["parley", "store", "cache", "store-link", "cache-link"] as const;
export type FaultTarget = (typeof faultTargets)[number];

/** The troubles that each target can be put to; they are played in turn. */
export type Troubles = Readonly<Partial<Record<FaultTarget, readonly Trouble[]>>>;

/** What the faults of one round work with. */
export interface FaultScene {
  readonly server: ServerProcess;
  readonly troubles: Troubles;
  readonly environment: Readonly<Record<string, string>>;
  readonly failpoints: readonly string[];
  readonly recorder: Recorder;
  readonly random: Random;
}

/** A server that a test may end; data and address outlive its process. */
export interface Victim {
  /** `kill -9`; resolves once it is gone. */
  kill(): Promise<void>;
  /** Starts it again; resolves once it answers. */
  start(): Promise<void>;
  /** SIGSTOP, and SIGCONT. */
  freeze(): void;
  thaw(): void;
}

/** The ways in which a process can be troubled. */
export function processTroubles(victim: Victim): readonly Trouble[] {
  return [
    { name: "kill -9", begin: () => victim.kill(), end: () => victim.start(), lastsMs: [50, 1_200] },
    { name: "SIGSTOP", begin: () => victim.freeze(), end: () => victim.thaw(), lastsMs: [200, 3_000] },
  ];
}

const failpointHits = [3, 40] as const;
const lifeMsMax = 30_000;

/** Plays the `nth` fault of a round on `target` and answers its name. */
export async function playFault(scene: FaultScene, target: FaultTarget, nth: number): Promise<string> {
  if (target === "parley") return killParley(scene, nth);
  const { recorder, random, troubles } = scene;
  const all = troubles[target] ?? [];
  const trouble = all[nth % all.length];
  if (!trouble) throw new Error(`this run has no ${target} of its own to trouble`);
  recorder.fault(`${trouble.name} begins`, target);
  await trouble.begin();
  await pause(random.between(...trouble.lastsMs));
  await trouble.end();
  recorder.fault(`${trouble.name} is over`, target);
  return `${target}: ${trouble.name}`;
}

async function killParley(scene: FaultScene, nth: number): Promise<string> {
  const { server, recorder, random, failpoints, environment } = scene;
  recorder.fault("kill -9", "parley");
  await server.kill();
  const point = nth % 2 === 1 && failpoints.length > 0 ? random.pick(failpoints) : null;
  if (point !== null) await lifeUpTo(scene, point);
  await server.start({ environment });
  recorder.fault("restarted", "parley");
  return point === null ? "parley: kill -9" : `parley: ended at ${point}`;
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
