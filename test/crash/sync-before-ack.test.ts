import { expect, test } from "bun:test";
import { join } from "node:path";
import { encode } from "../../src/protocol/codec";
import { frameTypes } from "../../src/protocol/frames";
import { Connection } from "./connection";
import { ServerProcess } from "./server-process";
import { orderOfSyncs } from "./trace";
import type { TracedEvent } from "./trace";

const canTrace = Bun.which("strace") !== null && Bun.spawnSync(["strace", "-o", "/dev/null", "true"]).exitCode === 0;

/** Letters that stand in the body of a send, and in the acknowledgement: a request id of four letters. */
const body = "PARLEY-BODY-OF-THE-TRACED-SEND";
const ackId = 0x51515151;
const ackLetters = "QQQQ";

/** Sends one message to a server under strace and answers what the kernel saw, in order. */
async function traceOneSend(environment: Readonly<Record<string, string>>): Promise<readonly TracedEvent[]> {
  await using server = new ServerProcess();
  const file = join(server.dataDir, "trace");
  const calls = "trace=fsync,fdatasync,write,writev,pwrite64,pwritev,sendto,sendmsg";
  await server.start({ environment, under: ["strace", "-D", "-f", "-q", "-s", "4096", "-e", calls, "-o", file] });
  const other = await Connection.open(server.url, server.token("bob"), "d", () => undefined);
  const connection = await Connection.open(server.url, server.token("ann"), "d", () => undefined);
  const [conversation] = await connection.ask("create", ["direct", "c", null, ["bob"]]);
  const acked = connection.answerTo(ackId);
  connection.sendBytes(encode([frameTypes.request, ackId, "send", [conversation, [["m1", [body]]]]]));
  expect(await acked).toEqual([expect.any(Number)]);
  connection.close();
  other.close();
  // The tracer runs on its own (-D), so that the server is the child that is stopped; its last line says that the server ended.
  const ended = new RegExp(`^${server.pid} +\\+\\+\\+ exited`, "m");
  await server.stop();
  let trace = "";
  while (!ended.test(trace)) trace = await Bun.file(file).text();
  return orderOfSyncs(trace, body, ackLetters);
}

test("a trace in which the answer leaves before the sync is told from one in which it leaves after", () => {
  const writes = `12 pwrite64(9, "${body}", 4096, 32) = 4096`;
  const [begins, ends] = ["12 fdatasync(9 <unfinished ...>", "12 <... fdatasync resumed>) = 0"];
  const leaves = `11 sendto(20, "\\202\\n\\223\\1\\316${ackLetters}\\221\\3", 12, MSG_NOSIGNAL, NULL, 0) = 12`;

  expect(orderOfSyncs([writes, begins, ends, leaves].join("\n"), body, ackLetters)).toEqual([
    "written",
    "synced",
    "answered",
  ]);
  expect(orderOfSyncs([writes, begins, leaves, ends].join("\n"), body, ackLetters)).toEqual([
    "written",
    "answered",
    "synced",
  ]);
});

if (canTrace) {
  test("the kernel has synced a message before its acknowledgement leaves", async () => {
    expect(await traceOneSend({})).toEqual(["written", "synced", "answered"]);
  }, 120_000);

  test("negative control: with synchronous=OFF nothing is synced before the acknowledgement, and the trace shows it", async () => {
    const order = await traceOneSend({ PARLEY_FAILPOINTS: "negative.synchronousOff" });
    expect(order.slice(0, 2)).toEqual(["written", "answered"]);
  }, 120_000);
}
