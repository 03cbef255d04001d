// The events of a history file: what a crash or chaos run observed, one JSON object a line.
// Written by recorder.ts, judged by checker.ts. `t` is seconds on one monotonic clock of the harness.

/** A send left the application, once; retries are not repeated. */
export interface Invoke {
  readonly e: "invoke";
  readonly t: number;
  readonly sess: string;
  readonly user: string;
  readonly conv: string;
  readonly cid: string;
  readonly body: string;
}

/** The acknowledgement of a send arrived. */
export interface Ack {
  readonly e: "ack";
  readonly t: number;
  readonly sess: string;
  readonly user: string;
  readonly conv: string;
  readonly cid: string;
  readonly seq: number;
}

/** An entry reached the application, pushed or fetched, in this order. `cid` and `body` are null where it is no message. */
export interface Recv {
  readonly e: "recv";
  readonly t: number;
  readonly sess: string;
  readonly conv: string;
  readonly seq: number;
  readonly cid: string | null;
  readonly user: string;
  readonly body: string | null;
  readonly kind: number;
}

/** The first seq that this session is to receive. */
export interface Join {
  readonly e: "join";
  readonly sess: string;
  readonly conv: string;
  readonly seq: number;
}

/** `readack`: a read mark was acknowledged; `readseen`: a cursor was shown on any device, at sign-in or by push. */
export interface ReadMark {
  readonly e: "readack" | "readseen";
  readonly t: number;
  readonly user: string;
  readonly conv: string;
  readonly seq: number;
}

/** After quiesce: three counts that must agree. */
export interface UnreadCounts {
  readonly e: "unread";
  readonly user: string;
  readonly conv: string;
  readonly server: number;
  readonly client: number;
  readonly oracle: number;
}

/** A fault began or ended. */
export interface Fault {
  readonly e: "fault";
  readonly t: number;
  readonly what: string;
  readonly target: string;
}

/** Something that had to succeed within `limitMs` after everything was healed; `ms` null: it had not by then. */
export interface Settled {
  readonly e: "settled";
  readonly t: number;
  readonly what: string;
  readonly ms: number | null;
  readonly limitMs: number;
}

/** At one moment with everything healed: which of the `partitions` each node answers for, and under which epoch. */
export interface Owners {
  readonly e: "owners";
  readonly t: number;
  readonly partitions: number;
  readonly owned: readonly (readonly [node: string, owns: readonly (readonly [partition: number, epoch: number])[]])[];
}

/** The most memory that a node had since it was looked at last. */
export interface Memory {
  readonly e: "memory";
  readonly t: number;
  readonly node: string;
  readonly mib: number;
  readonly limitMib: number;
}

/** A graceful hand-off; `lost` requests got no answer at all from the node that handed over. */
export interface Handoff {
  readonly e: "handoff";
  readonly t: number;
  readonly node: string;
  readonly lost: number;
}

/** One entry of the whole log, read at the end. `epoch` is null where the reader cannot see it. */
export interface LogLine {
  readonly e: "log";
  readonly conv: string;
  readonly seq: number;
  readonly ordinal: number;
  readonly kind: number;
  readonly cid: string | null;
  readonly user: string;
  readonly body: string | null;
  readonly epoch: number | null;
}

/** Closes the file. */
export interface End {
  readonly e: "end";
  readonly violations: number;
}

/** What is judged of the cluster as a whole, not of one conversation. */
export type ClusterEvent = Settled | Owners | Memory | Handoff;

export type HistoryEvent = Invoke | Ack | Recv | Join | ReadMark | UnreadCounts | Fault | ClusterEvent | LogLine | End;

/** The events of a history file's text. Throws on a line that is not JSON, naming it. */
export function parseHistory(text: string): HistoryEvent[] {
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line, at) => {
    try {
      return JSON.parse(line) as HistoryEvent;
    } catch (cause) {
      throw new Error(`line ${at + 1} of the history is not JSON`, { cause });
    }
  });
}
