// What reaches sockets: the hub of a server that is alone; in a cluster the gateway before it, with interest and people elsewhere.
// Owned by server.ts.
import { ClusterGateway } from "./actors/cluster-gateway";
import type { ClusterNode } from "./actors/cluster-node";
import type { Gateway } from "./actors/gateway";
import type { InterestView } from "./actors/interest";
import type { OtherNodes } from "./actors/other-nodes";
import { People } from "./actors/people";
import type { Incarnation } from "./actors/placement-shares";
import { RowSource } from "./actors/rows";
import type { Router } from "./actors/actor";
import { systemClock } from "./lib/clock";
import type { Log } from "./lib/log";
import type { Metrics } from "./lib/metrics";
import type { Config } from "./lib/settings";
import type { ClusterParts } from "./server-cluster";
import type { Store } from "./storage/store";
import { Hub } from "./transport/hub";
import { HubSessions } from "./transport/hub-sessions";

/** How long another node may take to answer about people, milliseconds. */
const peopleMs = 500;

/** What it is made of. */
export interface FanOutOptions {
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly store: Store;
  readonly router: Router;
  readonly others: OtherNodes | null;
  readonly cluster: ClusterParts | null;
  /** This server's part in a cluster, once it runs. */
  readonly node: () => ClusterNode | null;
}

/** How things reach sockets. */
export interface FanOut {
  readonly hub: Hub;
  readonly gateway: Gateway;
  readonly interest: InterestView | null;
  /** The cluster with what fan-out takes part in; null: there is none. */
  readonly cluster: ClusterParts | null;
}

/** Puts it together; in a cluster it listens from now on. */
export function openFanOut(options: FanOutOptions, opening: AsyncDisposableStack): FanOut {
  const { config, log, metrics, others, cluster } = options;
  const common = { clock: systemClock, log, meter: metrics, settings: config };
  if (cluster === null) {
    const hub = new Hub({ ...common, others });
    return { hub, gateway: hub, interest: null, cluster };
  }
  const late: { gateway: ClusterGateway | null } = { gateway: null };
  const people = peopleOf(options, cluster, late);
  // In a cluster its nodes tell each other who is where; a cache has no part in it.
  const hub = new Hub({ ...common, elsewhere: people });
  const gateway = gatewayOf(options, cluster, hub, people);
  late.gateway = gateway;
  gateway.links.on("people", (args, from) => people.asked(args, from));
  gateway.links.onItem("people", (args, from) => people.told(args, from));
  gateway.start();
  opening.defer(() => {
    people.stop();
    gateway.stop();
  });
  return {
    hub,
    gateway,
    interest: gateway.interest,
    cluster: { ...cluster, listener: gateway, links: gateway.links },
  };
}

function gatewayOf(
  { metrics, store, router, node }: FanOutOptions,
  { self, bus }: ClusterParts,
  hub: Hub,
  people: People,
): ClusterGateway {
  return new ClusterGateway({
    self,
    bus,
    clock: systemClock,
    store,
    meter: metrics,
    sessions: new HubSessions(hub, systemClock),
    owned: {
      epochOf: (partition) => node()?.epochOf(partition) ?? null,
      mayAnswer: (partition) => node()?.mayAnswer(partition) ?? false,
    },
    served: (partition, epoch) => node()?.served(partition, epoch),
    peek: (kind, key) => node()?.peek(kind, key) ?? null,
    local: new RowSource(router, store),
    news: people,
  });
}

function peopleOf(
  { config, metrics, node }: FanOutOptions,
  { self }: ClusterParts,
  late: { readonly gateway: ClusterGateway | null },
): People {
  return new People({
    self,
    clock: systemClock,
    links: {
      async request(member: Incarnation, args) {
        const reply = await late.gateway?.links.request(member, "people", args, peopleMs);
        return reply?.outcome === "answered" ? reply.value : null;
      },
      send: (member, args) => late.gateway?.links.send([member], ["people", ...args]),
    },
    ownerOf: (partition) => node()?.ownerOf(partition) ?? null,
    epochOf: (partition) => node()?.epochOf(partition) ?? null,
    sessionsMax: config.connections.perUser,
    meter: metrics,
  });
}
