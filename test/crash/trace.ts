// Reads a trace of strace: in which order a message arrived, was written to the log file, was synced, was answered.

type Event = "arrives" | "written" | "synced" | "answered";

/**
 * The first time each thing happened, in order. A sync counts once it has returned, and only after the message was written.
 *
 * @param body letters that stand in the request and in what is written
 * @param ack letters that stand in the answer alone
 */
export function orderOfSyncs(trace: string, body: string, ack: string): readonly Event[] {
  const order: Event[] = [];
  for (const line of trace.split("\n")) {
    const event = eventOf(line, body, ack);
    if (event === null || order.includes(event)) continue;
    if (event !== "arrives" && !order.includes("arrives")) continue;
    if (event === "synced" && !order.includes("written")) continue;
    order.push(event);
  }
  return order;
}

function eventOf(line: string, body: string, ack: string): Event | null {
  if (/(fsync|fdatasync)(\(\d+\)| resumed>\)) += 0/.test(line)) return "synced";
  const call = /^\d+ +(?:<\.\.\. )?(\w+)/.exec(line)?.[1] ?? "";
  if (line.includes(body))
    return ["read", "recvfrom"].includes(call) ? "arrives" : call === "pwrite64" ? "written" : null;
  if (line.includes(ack) && ["write", "writev", "sendto", "sendmsg"].includes(call)) return "answered";
  return null;
}
