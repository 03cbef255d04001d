// A node's place on NATS: the connection, the messages between nodes, and the two buckets of placement. Opened once a process.
// A node that cannot join says why at start; afterwards nothing here throws, whatever becomes of the servers.
import { nuid } from "@nats-io/transport-node";
import type { ServerInfo } from "@nats-io/transport-node";
import type { Bus } from "../actors/bus";
import { placementTimes } from "../actors/placement-events";
import type { Clock } from "../lib/clock";
import type { Log } from "../lib/log";
import { ClusterRefusal } from "./cluster-refusal";
import { serversOf } from "./nats-address";
import type { NatsSettings } from "./nats-address";
import { ensureBucket } from "./nats-bucket";
import type { BucketPlan, Ensured } from "./nats-bucket";
import { NatsBus } from "./nats-bus";
import { natsLimits, NatsLink } from "./nats-connection";
import type { NatsStats } from "./nats-connection";
import { JetStream, jetStreamErrors } from "./nats-jetstream";
import { NatsKeyValue } from "./nats-kv";
import type { NotedKeyValue } from "./nats-kv";
import { NatsRequests } from "./nats-requests";

/** What {@link openNats} needs. */
export interface NatsOptions {
  /** With servers: `nats` is not null. */
  readonly settings: NatsSettings;
  readonly clock: Clock;
  readonly log: Log;
  /** How long starting waits for what may come yet, milliseconds. */
  readonly startMs?: number;
}

/** A node that is connected to its cluster. */
export interface NatsNode {
  readonly bus: Bus;
  /** Whose each partition is; also the cluster's note. */
  readonly claims: NotedKeyValue;
  /** Who is there. */
  readonly members: NotedKeyValue;
  /** `host:port` of the server in use, or of the last one. */
  readonly server: string;
  readonly serverVersion: string;
  /** Whether the NATS server belongs to a cluster. */
  readonly clustered: boolean;
  /** The largest message in bytes. */
  readonly maxBytes: number;
  stats(): NatsStats;
  /** Sends what waits, and leaves. Idempotent. */
  close(): Promise<void>;
}

/** Copies of a bucket in a cluster. */
const replicas = 3;
/** The first release that has what the buckets use, and the first whose clusters compare soundly before they write. */
const versionMin = [2, 9] as const;
const clusterVersionMin = [2, 11] as const;
/** How long the check of what this account may do waits, milliseconds. */
const probeMs = 2000;
const retryMs = 250;
/** How long nobody may serve JetStream at start: a server that has it on serves it when it listens, a cluster a little later. */
const absentMs = 3000;
/** How long too few servers for the copies may be too few for now, where fewer than as many are configured. */
const fewMs = 5000;

/** Connects and finds the buckets, or makes them. Rejects with a {@link ClusterRefusal} where this node cannot join. */
export async function openNats({ settings, clock, log, startMs = natsLimits.startMs }: NatsOptions): Promise<NatsNode> {
  const link = await NatsLink.open({ settings, clock, log, startMs });
  try {
    return await join(link, settings, clock.monotonic() + startMs);
  } catch (error) {
    await link.close();
    throw error;
  }
}

async function join(link: NatsLink, settings: NatsSettings, deadline: number): Promise<NatsNode> {
  const { natsPrefix: prefix } = settings;
  const complaints: string[] = [];
  link.onComplaint((text) => void (complaints.length < 10 && complaints.push(text)));
  const inbox = `${prefix}.inbox.${nuid.next()}`;
  const requests = new NatsRequests(link, inbox);
  const jetStream = new JetStream(requests);
  const clustered = Boolean(link.info.cluster);
  checkServer(link.info);
  link.afterConnection((stands) => {
    // Another server of the same cluster may be of another release. It is in use by now: whoever runs it has to know.
    const says = stands ? unfitness(link.info) : null;
    if (says !== null) link.log.error({ server: link.server }, says);
  });
  const bus = new NatsBus(link, requests, prefix);
  await probe(bus, prefix, complaints);
  const place = { link, jetStream, deadline, complaints, servers: serversOf(settings.nats ?? "").length };
  const bucket = async (name: string, plan: Pick<BucketPlan, "storage" | "lifeMs">): Promise<NatsKeyValue> => {
    const full = { name: `${prefix}-${name}`, replicas: clustered ? replicas : 1, ...plan };
    await provide(place, full);
    return new NatsKeyValue({ link, jetStream, plan: full, inbox: `${inbox}.${name}` });
  };
  const claims = await bucket("claims", { storage: "file", lifeMs: 0 });
  const members = await bucket("members", { storage: "memory", lifeMs: placementTimes.ttlMs });
  return {
    bus,
    claims,
    members,
    clustered,
    get server() {
      return link.server;
    },
    get serverVersion() {
      return link.info.version;
    },
    get maxBytes() {
      return link.info.max_payload;
    },
    stats: () => link.stats(),
    close: () => link.close(),
  };
}

function checkServer(info: ServerInfo): void {
  const says = unfitness(info);
  if (says !== null) throw new ClusterRefusal(says);
}

/** Why a server cannot be used; null: it can. */
export function unfitness({ version, max_payload: payload, cluster }: ServerInfo): string | null {
  if (isBefore(version, versionMin))
    return `the NATS server is of version ${version}; upgrade it to ${clusterVersionMin.join(".")} or newer`;
  if (cluster && isBefore(version, clusterVersionMin)) {
    return (
      `the NATS servers are a cluster of version ${version}, in which two nodes may both own a partition; ` +
      `upgrade them to ${clusterVersionMin.join(".")} or newer, or use one server alone`
    );
  }
  if (payload < natsLimits.payloadMin)
    return `the NATS server takes messages of ${payload} bytes at most; set its max_payload to ${natsLimits.payloadMin} or more`;
  return null;
}

function isBefore(version: string, [majorMin, minorMin]: readonly [major: number, minor: number]): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major < majorMin || (major === majorMin && minor < minorMin);
}

/** Whether this account may do what a node does: listen for a partition, ask it, answer. */
async function probe(bus: Bus, prefix: string, complaints: readonly string[]): Promise<void> {
  const subject = `p.probe-${nuid.next()}`;
  const subscription = bus.subscribe(subject, (message) => message.answer(message.bytes));
  const answer = await bus.request(subject, new Uint8Array([1]), probeMs);
  subscription.unsubscribe();
  if (answer.outcome === "answered") return;
  const why = complaints.length > 0 ? complaints.join("; ") : `a message to itself was answered: ${answer.outcome}`;
  throw new ClusterRefusal(
    `this NATS account cannot be used: ${why}; allow it to publish and subscribe ${prefix}.>, see OPERATIONS.md`,
  );
}

/** Finds the bucket or makes it, as long as that may succeed yet: servers of a cluster come up one after another. */
async function provide(place: Place, plan: BucketPlan): Promise<void> {
  const { link, jetStream, deadline, complaints, servers } = place;
  const begun = link.clock.monotonic();
  const patientUntil = servers >= replicas ? deadline : Math.min(deadline, begun + fewMs);
  for (;;) {
    const now = link.clock.monotonic();
    const ensured = await ensureBucket(jetStream, plan, now < patientUntil);
    if (ensured.outcome === "ready") {
      if (ensured.differs.length > 0)
        link.log.warn({ bucket: plan.name, differs: ensured.differs }, "a bucket is not set as it would be made");
      return;
    }
    const hopeless = refusalOf(ensured, plan, complaints, now - begun >= absentMs || now >= deadline);
    if (hopeless !== null) throw new ClusterRefusal(hopeless);
    if (now >= deadline) {
      const why = ensured.outcome === "refused" ? ensured.says : "nobody answered";
      throw new ClusterRefusal(`the bucket ${plan.name} cannot be made: ${why}; see the NATS servers' logs`);
    }
    await new Promise<void>((resolve) => link.clock.after(retryMs, resolve));
  }
}

/** What finding the buckets needs. */
interface Place {
  readonly link: NatsLink;
  readonly jetStream: JetStream;
  readonly deadline: number;
  readonly complaints: readonly string[];
  /** Configured ones. */
  readonly servers: number;
}

function refusalOf(
  ensured: Ensured,
  { name }: BucketPlan,
  complaints: readonly string[],
  isLate: boolean,
): string | null {
  if (ensured.outcome === "unfit") return ensured.says;
  if (complaints.length > 0) {
    return (
      `this NATS account cannot be used: ${complaints.join("; ")}; allow it to publish $JS.API.> and $KV.${name}.>, ` +
      "see OPERATIONS.md"
    );
  }
  const isOff =
    ensured.outcome === "refused" &&
    (ensured.number === jetStreamErrors.notEnabled || ensured.number === jetStreamErrors.notEnabledForAccount);
  if (!isOff && !(ensured.outcome === "absent" && isLate)) return null;
  return "JetStream is not enabled on the NATS server, or not for this account; start nats-server with -js, see OPERATIONS.md";
}
