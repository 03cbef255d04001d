// Judges a history: names every violation of I1–I9 (below) and of G5's three agreeing counts, with what happened around it.
// Pure; it knows nothing of the server, so any harness that writes events.ts can be judged.
import type { Ack, Fault, HistoryEvent, Invoke, LogLine, ReadMark, Recv } from "./events";
import { checkCluster } from "./cluster-checks";

/** What must hold of every history. */
export const invariants = {
  I1: "every acknowledged send stands in the final log at the acknowledged seq, with its body",
  I2: "no (sender, client id) and no seq stands twice; seqs are 1..n without a gap; ordinals count what counts",
  I3: "a session's send order is its seq order",
  I4: "what was sent after an acknowledgement arrived has a higher seq than what was acknowledged",
  I5: "what a session receives increases without a gap and, in the end, equals the log",
  I6: "nothing is observed before it is durable: whatever anybody received stands in the final log, unchanged",
  I7: "a read mark that was acknowledged or shown never goes back, and never lies past the head",
  I8: "epochs never decrease along a log, nor those of a partition in time",
  I9: "once healed, everything succeeds in the stated time, each partition has one owner, memory is bounded, hand-offs lose nothing",
  G5: "the unread of server, client and oracle agree",
} as const;

export type InvariantName = keyof typeof invariants;

/**
 * One violation. `around` is the part of the history that shows it, at most {@link aroundMax} events; of each invariant only
 * the first {@link shownMax} have one, or a broken server's history would take minutes to judge.
 */
export interface Violation {
  readonly name: InvariantName;
  readonly conversation: string;
  readonly says: string;
  readonly around: readonly HistoryEvent[];
}

/** Events shown with one violation. */
export const aroundMax = 12;

const faultsShownMax = 4;

/** Violations of one invariant that are shown with what happened around them. */
export const shownMax = 20;

type Report = (name: InvariantName, conversation: string, says: string, seqs: readonly number[]) => void;

interface Conversation {
  readonly invokes: Invoke[];
  readonly acks: Ack[];
  readonly recvs: Recv[];
  readonly marks: ReadMark[];
  readonly log: LogLine[];
  /** Invokes, acks and marks as they came, by time. */
  readonly timed: HistoryEvent[];
  /** First seq to receive, by session. */
  readonly joins: Map<string, number>;
  readonly bySeq: Map<number, LogLine>;
  readonly byClientId: Map<string, LogLine>;
}

/** Every violation in these events, which are in the order observed. The log lines must be all there. */
export function check(events: readonly HistoryEvent[]): Violation[] {
  const violations: Violation[] = [];
  const conversations = collect(events);
  const counts = new Map<InvariantName, number>();
  const report: Report = (name, conversation, says, seqs) => {
    const count = (counts.get(name) ?? 0) + 1;
    counts.set(name, count);
    const shown = count <= shownMax ? around(events, conversation, seqs) : [];
    violations.push({ name, conversation, says, around: shown });
  };
  for (const [id, conversation] of conversations) {
    checkLog(id, conversation, report);
    checkAcks(id, conversation, report);
    checkSessionOrder(id, conversation, report);
    checkRealTimeOrder(id, conversation, report);
    checkReceived(id, conversation, report);
    checkMarks(id, conversation, report);
  }
  for (const event of events) {
    if (event.e !== "unread" || (event.server === event.oracle && event.client === event.oracle)) continue;
    const { user, server, client, oracle } = event;
    report("G5", event.conv, `${user}: the server counts ${server}, the client ${client}, the oracle ${oracle}`, []);
  }
  checkCluster(events, (name, says, at) => {
    violations.push({ name, conversation: "the cluster", says, around: faultsBefore(events, at) });
  });
  return violations;
}

/** A violation as text: one line that names it, then its part of the history. */
export function describeViolation({ name, conversation, says, around: shown }: Violation): string {
  return [`${name} in ${conversation}: ${says}`, ...shown.map((event) => `    ${JSON.stringify(event)}`)].join("\n");
}

function collect(events: readonly HistoryEvent[]): Map<string, Conversation> {
  const found = new Map<string, Conversation>();
  for (const event of events) {
    if (!("conv" in event)) continue;
    const conversation = found.get(event.conv) ?? emptyConversation();
    found.set(event.conv, conversation);
    file(conversation, event);
  }
  return found;
}

function emptyConversation(): Conversation {
  const lists = { invokes: [], acks: [], recvs: [], marks: [], log: [], timed: [] };
  return { ...lists, joins: new Map(), bySeq: new Map(), byClientId: new Map() };
}

function file(conversation: Conversation, event: HistoryEvent): void {
  switch (event.e) {
    case "invoke":
      conversation.invokes.push(event);
      conversation.timed.push(event);
      break;
    case "ack":
      conversation.acks.push(event);
      conversation.timed.push(event);
      break;
    case "recv":
      conversation.recvs.push(event);
      break;
    case "join":
      conversation.joins.set(event.sess, event.seq);
      break;
    case "readack":
    case "readseen":
      conversation.marks.push(event);
      break;
    case "log":
      conversation.log.push(event);
      break;
    default:
  }
}

function sender(user: string, cid: string): string {
  return `${user.length}:${user}${cid}`;
}

/** I2 and I8; fills the two indexes that the other checks look things up in. */
function checkLog(id: string, { log, bySeq, byClientId }: Conversation, report: Report): void {
  log.sort((a, b) => a.seq - b.seq);
  let before: LogLine | null = null;
  for (const line of log) {
    if (bySeq.has(line.seq)) report("I2", id, `seq ${line.seq} stands twice`, [line.seq]);
    else if (line.seq !== (before?.seq ?? 0) + 1) {
      report("I2", id, `seq ${line.seq} follows ${before?.seq ?? 0}`, [line.seq, before?.seq ?? 0]);
    }
    const step = line.ordinal - (before?.ordinal ?? 0);
    if (step !== 0 && step !== 1) report("I2", id, `the ordinal steps by ${step} at seq ${line.seq}`, [line.seq]);
    if (before && line.epoch !== null && before.epoch !== null && line.epoch < before.epoch) {
      report("I8", id, `epoch ${line.epoch} at seq ${line.seq} after epoch ${before.epoch}`, [before.seq, line.seq]);
    }
    if (line.cid !== null) {
      const key = sender(line.user, line.cid);
      const other = byClientId.get(key);
      if (other)
        report("I2", id, `${line.user}'s ${line.cid} stands at ${other.seq} and at ${line.seq}`, [other.seq, line.seq]);
      else byClientId.set(key, line);
    }
    if (!bySeq.has(line.seq)) bySeq.set(line.seq, line);
    before = line;
  }
}

/** I1; and I2 where two acknowledgements of one client id name different seqs. */
function checkAcks(id: string, { acks, invokes, bySeq }: Conversation, report: Report): void {
  const bodies = new Map(invokes.map((invoke) => [sender(invoke.user, invoke.cid), invoke.body]));
  const seqs = new Map<string, number>();
  for (const { user, cid, seq } of acks) {
    const key = sender(user, cid);
    const first = seqs.get(key) ?? seq;
    seqs.set(key, first);
    if (first !== seq) report("I2", id, `${user}'s ${cid} was acknowledged as ${first} and as ${seq}`, [first, seq]);
    const line = bySeq.get(seq);
    const body = bodies.get(key);
    if (!line) report("I1", id, `${user}'s ${cid} was acknowledged as ${seq}, which the log does not hold`, [seq]);
    else if (line.user !== user || line.cid !== cid) {
      report("I1", id, `${user}'s ${cid} was acknowledged as ${seq}, where ${line.user}'s ${line.cid} stands`, [seq]);
    } else if (body !== undefined && line.body !== body) {
      report("I1", id, `${user}'s ${cid} stands at ${seq} with another body`, [seq]);
    }
  }
}

/** I3, for whatever reached the log, acknowledged or not. */
function checkSessionOrder(id: string, { invokes, byClientId }: Conversation, report: Report): void {
  const last = new Map<string, LogLine>();
  for (const { sess, user, cid } of invokes) {
    const line = byClientId.get(sender(user, cid));
    if (!line) continue;
    const before = last.get(sess);
    if (before && before.seq >= line.seq) {
      report("I3", id, `${sess} sent ${before.cid} before ${cid}, but they stand at ${before.seq} and ${line.seq}`, [
        line.seq,
        before.seq,
      ]);
    }
    last.set(sess, line);
  }
}

/** I4. */
function checkRealTimeOrder(id: string, { timed, byClientId }: Conversation, report: Report): void {
  let highest = 0;
  for (const event of timed) {
    if (event.e === "ack") highest = Math.max(highest, event.seq);
    if (event.e !== "invoke") continue;
    const line = byClientId.get(sender(event.user, event.cid));
    if (line && line.seq <= highest) {
      report("I4", id, `${event.cid} was sent after ${highest} was acknowledged, but stands at ${line.seq}`, [
        highest,
        line.seq,
      ]);
    }
  }
}

/** I5 and I6. */
function checkReceived(id: string, { recvs, joins, bySeq, log }: Conversation, report: Report): void {
  const last = new Map<string, number>();
  for (const recv of recvs) {
    const line = bySeq.get(recv.seq);
    if (!line) report("I6", id, `${recv.sess} received ${recv.seq}, which the log does not hold`, [recv.seq]);
    else if (line.cid !== recv.cid || line.user !== recv.user || line.body !== recv.body || line.kind !== recv.kind) {
      report("I6", id, `${recv.sess} received another entry at ${recv.seq} than the log holds`, [recv.seq]);
    }
    const start = joins.get(recv.sess);
    const before = last.get(recv.sess) ?? (start === undefined ? undefined : start - 1);
    if (before !== undefined && recv.seq !== before + 1) {
      report("I5", id, `${recv.sess} received ${recv.seq} after ${before}`, [before, recv.seq]);
    }
    last.set(recv.sess, recv.seq);
  }
  const head = log.at(-1)?.seq ?? 0;
  for (const [sess, start] of joins) {
    const end = last.get(sess) ?? start - 1;
    if (end < head) report("I5", id, `${sess} received up to ${end}, the log ends at ${head}`, [end, head]);
  }
}

/** I7. */
function checkMarks(id: string, { marks, log }: Conversation, report: Report): void {
  const head = log.at(-1)?.seq ?? 0;
  const highest = new Map<string, number>();
  for (const { e, user, seq } of marks) {
    const before = highest.get(user) ?? 0;
    const shown = e === "readack" ? "acknowledged" : "shown";
    if (seq < before)
      report("I7", id, `${user}'s mark was ${shown} at ${seq} after it had been at ${before}`, [seq, before]);
    if (seq > head) report("I7", id, `${user}'s mark was ${shown} at ${seq}, past the head ${head}`, [seq]);
    highest.set(user, Math.max(before, seq));
  }
}

/** The events that name one of these seqs, or their client ids, and the faults before the last: what a reader needs to follow it. */
function around(events: readonly HistoryEvent[], conversation: string, seqs: readonly number[]): HistoryEvent[] {
  const wanted = new Set(seqs);
  const named = (event: HistoryEvent): boolean =>
    "seq" in event && "conv" in event && event.conv === conversation && wanted.has(event.seq);
  const cids = new Set(events.filter(named).map((event) => ("cid" in event ? event.cid : null)));
  cids.delete(null);
  const shown = events.filter((event) => {
    if (named(event)) return true;
    return event.e === "invoke" && event.conv === conversation && cids.has(event.cid);
  });
  const kept = shown.slice(0, aroundMax - faultsShownMax);
  const last = kept.reduce((latest, event) => ("t" in event ? Math.max(latest, event.t) : latest), 0);
  return [...kept, ...faultsBefore(events, last)];
}

/** The faults that began or ended last before `at`. */
function faultsBefore(events: readonly HistoryEvent[], at: number): readonly Fault[] {
  const faults = events.filter((event): event is Fault => event.e === "fault" && event.t <= at);
  return faults.slice(-faultsShownMax);
}
