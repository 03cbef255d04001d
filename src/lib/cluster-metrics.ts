// What a node counts and measures of its cluster: whose partitions are whose, messages between nodes, repairs. Part of metrics.ts;
// alone, a server counts none of this, and shows none of the gauges.
import { Gauge } from "prom-client";
import type { Counter, Histogram, Registry } from "prom-client";

/** Makes a counter under Parley's prefix. */
export type MakeCounter = (name: string, help: string, ...labels: string[]) => Counter;

/** Makes a histogram under Parley's prefix. */
export type MakeHistogram = (name: string, help: string, buckets: number[], ...labels: string[]) => Histogram;

/** Recording functions; those of the meters of router, inbox, links and interest. */
export interface ClusterMetrics {
  /** One attempt to reach an actor's owner elsewhere, by what became of it; all but `answered` are sent again. */
  attempted(outcome: string): void;
  /** A message that wants no answer had nobody to go to; whoever sent it repeats it. */
  tellLost(): void;
  /** Something of another node was not understood, or came too late. */
  ignored(reason: string): void;
  /** A partition was given to another node, after so many milliseconds without an owner here. */
  handedOff(ms: number): void;
  /** A partition was lost to a newer owner, or to doubt. */
  droppedPartition(): void;
  /** A partition's claim names another owner than before. */
  ownerChanged(): void;
  /** The store refused a write under an epoch that is not the newest: somebody else owns the actor by now. */
  fenced(kind: string): void;
  /** One message to other nodes: to one of them, or the common one. */
  fannedOut(target: string, items: number, bytes: number): void;
  /** Items that did not leave: not connected, or too much waits. */
  fanOutDropped(items: number): void;
  /** Numbers of a link were missed. */
  linkGap(link: string): void;
  /** Conversations or feeds read from the store because something was missed, and what was found. */
  caughtUp(what: string, count: number): void;
  /** Conversations of which too much was missed: their sessions were sent away and resume. */
  caughtTooFar(conversations: number): void;
  /** Keys registered with an owner in one request, and what became of it. */
  registered(keys: number, outcome: string): void;
}

/** What is asked for at exposition, of a node in a cluster. */
export interface ClusterFigures {
  readonly natsConnected: boolean;
  /** Connections to NATS so far; each after the first is a reconnection. */
  readonly natsConnections: number;
  /** Bytes that wait for the network. */
  readonly natsBytesWaiting: number;
  /** Messages that were not taken: too many bytes waited, or they were too large. */
  readonly natsRefused: number;
  /** Members that are thought to be there, this one included. */
  readonly members: number;
  /** Partitions whose claim names nobody who is there. */
  readonly unowned: number;
  /** Partitions by what they are to this node. */
  readonly phases: Readonly<Record<string, number>>;
  /** The newest form of entries and messages that all members know. */
  readonly featureLevel: number;
}

const handOffSeconds = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];

/** The recording functions, on the registry behind `counter` and `histogram`. */
export function clusterMetrics(counter: MakeCounter, histogram: MakeHistogram): ClusterMetrics {
  return { ...ownershipMetrics(counter, histogram), ...messageMetrics(counter), ...repairMetrics(counter) };
}

function ownershipMetrics(counter: MakeCounter, histogram: MakeHistogram) {
  const changes = counter("owner_changes_total", "Partitions whose claim came to name another owner");
  const drops = counter("partitions_lost_total", "Partitions that this node lost to a newer owner, or to doubt");
  const handOffs = histogram("handoff_seconds", "Time in which a partition was given to another node", handOffSeconds);
  const fences = counter("fenced_total", "Writes refused as their actor has a newer owner, by kind of actor", "kind");
  return {
    ownerChanged: () => changes.inc(),
    droppedPartition: () => drops.inc(),
    handedOff: (ms: number) => handOffs.observe(ms / 1000),
    fenced: (kind: string) => fences.inc({ kind }),
  };
}

function messageMetrics(counter: MakeCounter) {
  const attempts = counter("node_requests_total", "Attempts to reach an actor elsewhere, by outcome", "outcome");
  const tells = counter("node_tells_lost_total", "Messages without an answer that had nobody to go to");
  const ignored = counter(
    "node_messages_ignored_total",
    "Messages of other nodes that were let go, by reason",
    "reason",
  );
  const messages = counter("fanout_messages_total", "Messages to other nodes: to one of them, or to all", "target");
  const items = counter("fanout_items_total", "What these messages carried", "target");
  const bytes = counter("fanout_bytes_total", "Bytes of these messages", "target");
  const dropped = counter("fanout_dropped_total", "What did not leave for other nodes; they repair it");
  return {
    attempted: (outcome: string) => attempts.inc({ outcome }),
    tellLost: () => tells.inc(),
    ignored: (reason: string) => ignored.inc({ reason }),
    fannedOut: (target: string, count: number, size: number) => {
      messages.inc({ target });
      items.inc({ target }, count);
      bytes.inc({ target }, size);
    },
    fanOutDropped: (count: number) => dropped.inc(count),
  };
}

function repairMetrics(counter: MakeCounter) {
  const gaps = counter("link_gaps_total", "Times that messages of another node were missed, by link", "link");
  const reads = counter("catch_ups_total", "Logs and feeds read as something was missed", "what");
  const found = counter("caught_up_total", "Entries and changes that were found so", "what");
  const tooFar = counter("caught_too_far_total", "Conversations of which too much was missed: their sessions resume");
  const requests = counter(
    "registrations_total",
    "Requests for interest at a partition's owner, by outcome",
    "outcome",
  );
  const keys = counter("registered_keys_total", "Conversations and people in these requests", "outcome");
  return {
    linkGap: (link: string) => gaps.inc({ link }),
    caughtUp: (what: string, count: number) => {
      reads.inc({ what });
      found.inc({ what }, count);
    },
    caughtTooFar: (count: number) => tooFar.inc(count),
    registered: (count: number, outcome: string) => {
      requests.inc({ outcome });
      keys.inc({ outcome }, count);
    },
  };
}

/** Registers the gauges; a server that is alone, where `read` answers null, shows none. */
export function registerClusterGauges(registry: Registry, read: () => ClusterFigures | null): void {
  const gauge = (name: string, help: string, value: (figures: ClusterFigures) => number) =>
    new Gauge({
      name: `parley_${name}`,
      help,
      registers: [registry],
      collect() {
        const figures = read();
        if (figures === null) this.remove();
        else this.set(value(figures));
      },
    });
  gauge("nats_connected", "1 while connected to NATS", ({ natsConnected }) => (natsConnected ? 1 : 0));
  gauge("nats_connections", "Connections to NATS so far", ({ natsConnections }) => natsConnections);
  gauge("nats_waiting_bytes", "Bytes that wait for the network to NATS", ({ natsBytesWaiting }) => natsBytesWaiting);
  gauge("nats_refused", "Messages not taken for NATS so far: too much waited, or too large", (all) => all.natsRefused);
  gauge("cluster_members", "Members that are there, as this node sees it", ({ members }) => members);
  gauge("partitions_unowned", "Partitions that nobody who is there owns, as this node sees it", (all) => all.unowned);
  gauge("feature_level", "The newest form of entries and messages that all members know", (all) => all.featureLevel);
  new Gauge({
    name: "parley_partitions",
    help: "Partitions by what they are to this node",
    labelNames: ["phase"],
    registers: [registry],
    collect() {
      for (const [phase, count] of Object.entries(read()?.phases ?? {})) this.set({ phase }, count);
    },
  });
}
