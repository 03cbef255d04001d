// What the benches' processes say to each other: a plan as JSON in an argument, results as JSON lines on stdout.

/** Rooms of people who are all connected. */
export interface RoomsPlan {
  readonly kind: "rooms";
  readonly target: Target;
  readonly rooms: number;
  readonly membersPerRoom: number;
  readonly loads: readonly Load[];
  /** Tells one run's people and conversations from another's on the same server. */
  readonly run: string;
}

/** Loads on several servers, or clusters, by turns: of each plan the first load, then of each the second. All are connected throughout. */
export interface TurnsPlan {
  readonly kind: "turns";
  readonly plans: readonly RoomsPlan[];
}

/** How the senders of every room send. */
export interface Load {
  /** Senders in each room. */
  readonly senders: number;
  /** Most messages of one `send`, the next one only after its answer. */
  readonly batch: number;
  /** Messages a second over all rooms, sent when due; absent: as fast as answers come. */
  readonly rate?: number;
  /** One message at a time, with this pause after each answer: a lone sender. */
  readonly pauseMs?: number;
  readonly seconds: number;
}

/** People who sign in and sync, and stay. */
export interface SessionsPlan {
  readonly kind: "sessions";
  readonly target: Target;
  readonly sessions: number;
  /** Connections being made at once. */
  readonly inFlight: number;
  readonly rounds: number;
  /** How long everybody idles before memory is read. */
  readonly idleSeconds: number;
  /** Name of the nth person: prefix and number. */
  readonly prefix: string;
}

/** Reads of one person: pages of a long log, or syncs of many conversations. */
export interface ReadsPlan {
  readonly kind: "reads";
  readonly target: Target;
  readonly user: string;
  readonly operation: "history" | "sync";
  readonly conversation: string;
  readonly headSeq: number;
  readonly times: number;
}

/** Makes people and groups: person i is in `groupsPerPerson` groups of `groupSize`. */
export interface PeoplePlan {
  readonly kind: "people";
  readonly target: Target;
  readonly people: number;
  readonly groupsPerPerson: number;
  readonly groupSize: number;
  readonly prefix: string;
}

/** Stores messages: half of them in one log, the rest spread over the other conversations. The reader is in all of them. */
export interface SeedPlan {
  readonly kind: "seed";
  readonly target: Target;
  readonly reader: string;
  readonly conversations: number;
  readonly messages: number;
}

/** The long log that a seed made. */
export interface Seeded {
  readonly conversation: string;
  readonly headSeq: number;
}

/** Makes one conversation of everybody; some of them are connected and watch. */
export interface LargeMakePlan {
  readonly kind: "largeMake";
  readonly target: Target;
  readonly members: number;
  readonly watching: number;
  readonly prefix: string;
}

/** Uses the conversation that a {@link LargeMakePlan} made. */
export interface LargeUsePlan extends Omit<LargeMakePlan, "kind"> {
  readonly kind: "largeUse";
  readonly conversation: string;
  /** People who mark each of `rounds` messages as read, one message a second. */
  readonly readers: number;
  readonly rounds: number;
}

/**
 * Half of the people that a {@link PeoplePlan} made are connected to the target's first node, the others to the rest. The
 * first report says that all are there; then that node is to be killed.
 */
export interface StormPlan {
  readonly kind: "storm";
  readonly target: Target;
  readonly sessions: number;
  readonly prefix: string;
  /** Messages a second that people on the other nodes send, from the beginning to the end. */
  readonly rate: number;
  readonly deadlineSeconds: number;
}

/** Sends to the conversation that a {@link LargeMakePlan} made while many are connected and few look at it. */
export interface LargeLookedPlan {
  readonly kind: "largeLooked";
  readonly target: Target;
  readonly prefix: string;
  readonly conversation: string;
  /** Connections, beside the sender's, and how many of them have the conversation open. */
  readonly connected: number;
  readonly looking: number;
  /** Messages a second, one measurement each. */
  readonly rates: readonly number[];
  readonly seconds: number;
}

export type Plan =
  | RoomsPlan
  | TurnsPlan
  | SessionsPlan
  | ReadsPlan
  | PeoplePlan
  | SeedPlan
  | LargeMakePlan
  | LargeUsePlan
  | LargeLookedPlan
  | StormPlan;

/** One server process. */
export interface Node {
  readonly port: number;
  /** Process whose CPU time is charged. */
  readonly pid: number;
}

/** Where to. `raw`: the baseline, which knows no requests and echoes what it publishes. */
export interface Target extends Node {
  /** All nodes of a cluster, the first one included: connections are spread over them. Absent: there is one server. */
  readonly nodes?: readonly Node[];
  /** NATS beside the nodes: its CPU time is told apart. */
  readonly natsPid?: number;
  readonly raw: boolean;
  /** Shared secret of tokens. */
  readonly secret: string;
}

/** One load's outcome. Rates are per second, times in milliseconds, CPU in microseconds. */
export interface Measured {
  readonly load: Load | null;
  readonly operationsPerSecond: number;
  readonly deliveriesPerSecond: number;
  readonly ackP50Ms: number;
  readonly ackP99Ms: number;
  readonly deliveryP99Ms: number;
  readonly cpuUsPerOp: number;
  /** Of NATS; 0 where there is none. */
  readonly natsUsPerOp: number;
  /** Share of one core that the server, and the generator, used. */
  readonly serverCpu: number;
  readonly generatorCpu: number;
  /** Deliveries that skipped or repeated a seq, refused sends, closed sockets: anything but 0 voids the figure. */
  readonly faults: number;
}
