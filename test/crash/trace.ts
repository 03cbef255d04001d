// Reads a trace of strace: in which order a message was written to the store's file, was synced, and was answered.

/** What a trace tells of one message. */
export type TracedEvent = "written" | "synced" | "answered";

/**
 * The first time each thing happened, in order. A sync counts once it has returned, and only after the message was written.
 *
 * @param body letters of the message, as they are written
 * @param ack letters that stand in the answer alone
 */
export function orderOfSyncs(trace: string, body: string, ack: string): readonly TracedEvent[] {
  const order: TracedEvent[] = [];
  for (const line of trace.split("\n")) {
    const event = eventOf(line, body, ack);
    if (event === null || order.includes(event)) continue;
    if (event === "written" || order.includes("written")) order.push(event);
  }
  return order;
}

function eventOf(line: string, body: string, ack: string): TracedEvent | null {
  if (/(fsync|fdatasync)(\(\d+\)| resumed>\)) += 0/.test(line)) return "synced";
  const call = /^\d+ +(?:<\.\.\. )?(\w+)/.exec(line)?.[1] ?? "";
  if (line.includes(body) && call.startsWith("pwrite")) return "written";
  return line.includes(ack) && ["sendto", "sendmsg", "write", "writev"].includes(call) ? "answered" : null;
}
