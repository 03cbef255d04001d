// A bucket's stream: made where it is missing, by whichever node comes first, and looked at where it is there.
// Owned by a KeyValue. What a wiped disk took with it is made again; settings that others rest on are never changed.
import type { JetStream, JetStreamAnswer } from "./nats-jetstream";
import { jetStreamErrors, recordOf } from "./nats-jetstream";

/** What a bucket is to be. */
export interface BucketPlan {
  /** With the deployment's prefix, such as `parley-claims`. */
  readonly name: string;
  readonly storage: "file" | "memory";
  /** How long an entry lives, milliseconds; 0: for ever. */
  readonly lifeMs: number;
  /** Copies, where the servers are a cluster of as many. */
  readonly replicas: number;
}

/** What became of looking for a bucket. */
export type Ensured =
  /** It is there. `differs`: what it is set to otherwise, and works. */
  | { readonly outcome: "ready"; readonly created: boolean; readonly differs: readonly string[] }
  /** It is there, and placement cannot rest on it. */
  | { readonly outcome: "unfit"; readonly says: string }
  | Exclude<JetStreamAnswer, { readonly outcome: "done" }>;

/** Bounds of a bucket: an entry is an incarnation or a short note. */
const bucketBytesMax = 4 * 1024 * 1024;
const valueBytesMax = 4096;
const nanosAMilli = 1_000_000;

/**
 * Looks for the stream, and makes it if there is none. Several may at once: all get the same one.
 *
 * @param isMissed it is made without a look: a server that holds it may say that it is there, while those who place streams have lost it
 * with a wiped disk. Where they know it nothing changes
 */
export async function ensureBucket(
  jetStream: JetStream,
  plan: BucketPlan,
  patient: boolean,
  isMissed = false,
): Promise<Ensured> {
  if (!isMissed) {
    const found = await jetStream.call(`STREAM.INFO.KV_${plan.name}`);
    if (found.outcome === "done") return judge(plan, found.value, false);
    if (found.outcome !== "refused" || found.number !== jetStreamErrors.streamNotFound) return found;
  }
  const made = await create(jetStream, plan, patient);
  if (made.outcome === "done") return judge(plan, made.value, true);
  // Another node made it a moment ago, with as many copies as were possible then.
  if (made.outcome === "refused" && made.number === jetStreamErrors.nameInUse) {
    const there = await jetStream.call(`STREAM.INFO.KV_${plan.name}`);
    return there.outcome === "done" ? judge(plan, there.value, false) : there;
  }
  return made;
}

/** @param patient whether too few servers may be so for now only */
async function create(jetStream: JetStream, plan: BucketPlan, patient: boolean): Promise<JetStreamAnswer> {
  const wanted = await jetStream.call(`STREAM.CREATE.KV_${plan.name}`, configOf(plan, plan.replicas), createMs);
  if (wanted.outcome !== "refused" || plan.replicas === 1) return wanted;
  const { number } = wanted;
  const tooFew = number === jetStreamErrors.tooFewServers || number === jetStreamErrors.insufficientResources;
  if (number !== jetStreamErrors.notClustered && (!tooFew || patient)) return wanted;
  return jetStream.call(`STREAM.CREATE.KV_${plan.name}`, configOf(plan, 1), createMs);
}

/** A cluster has to agree on where a stream's copies are, and they on a leader. */
const createMs = 5000;

/** As the key-value libraries make it, so that every tool for buckets can look into it. */
function configOf({ name, storage, lifeMs }: BucketPlan, replicas: number): object {
  return {
    name: `KV_${name}`,
    subjects: [`$KV.${name}.>`],
    retention: "limits",
    storage,
    num_replicas: replicas,
    max_age: lifeMs * nanosAMilli,
    max_msgs_per_subject: 1,
    max_msgs: -1,
    max_bytes: bucketBytesMax,
    max_msg_size: valueBytesMax,
    max_consumers: -1,
    discard: "new",
    deny_delete: true,
    allow_rollup_hdrs: true,
    // An answer of a copy that is behind serves nobody here.
    allow_direct: false,
  };
}

function judge(plan: BucketPlan, info: Readonly<Record<string, unknown>>, created: boolean): Ensured {
  const config = recordOf(info["config"]) ?? {};
  const life = Number(config["max_age"] ?? 0) / nanosAMilli;
  const fix = "stop every node and delete it: the next start makes it anew";
  if (life !== plan.lifeMs) {
    const says = `entries of the bucket ${plan.name} live for ${told(life)} instead of ${told(plan.lifeMs)}; ${fix}`;
    return { outcome: "unfit", says };
  }
  const subjects = config["subjects"];
  if (!Array.isArray(subjects) || !subjects.includes(`$KV.${plan.name}.>`))
    return { outcome: "unfit", says: `the stream KV_${plan.name} is not a bucket of ours; ${fix}` };
  const differs: string[] = [];
  const compare = (name: string, wanted: unknown, says: string): void => {
    if (config[name] !== wanted) differs.push(`${says} ${String(config[name])}, not ${String(wanted)}`);
  };
  compare("storage", plan.storage, "its storage is");
  compare("max_msgs_per_subject", 1, "its history is");
  if (!created) compare("num_replicas", plan.replicas, "its copies are");
  return { outcome: "ready", created, differs };
}

function told(ms: number): string {
  return ms === 0 ? "ever" : `${ms} ms`;
}
