// A primary that dies takes with it what no majority had. A scripted wire plays it: what was written with write concern 1 in its
// last moments is answered and never arrives; what waits for a majority arrives before its answer.
import { expect, test } from "bun:test";
import { startMongoProxy } from "../faults/mongo-proxy";
import type { Command } from "../faults/mongo-proxy";
import { Recorder } from "../history/recorder";
import type { Violation } from "../history/checker";
import { describeWith, shareMongo } from "../services/services";
import { Connection } from "./connection";
import { readLog } from "./read-logs";
import { ServerProcess } from "./server-process";

/** Whether the answer comes before a majority has it. */
function isHasty({ name, body }: Command): boolean {
  return name === "insert" && body["insert"] === "entries" && body["writeConcern"]?.w !== "majority";
}

/** Sends until a primary dies with its tail, kills the server with it, and judges what the next primary holds. */
async function loseTail(failpoints: string): Promise<readonly Violation[]> {
  await using share = await shareMongo();
  await using proxy = await startMongoProxy(share.uri);
  await using server = new ServerProcess({ PARLEY_STORE: proxy.uri });
  await server.start({ environment: { PARLEY_FAILPOINTS: failpoints } });
  const recorder = new Recorder();
  const open = (user: string) => Connection.open(server.url, server.token(user), "d", () => undefined);
  (await open("bob")).close();
  const ann = await open("ann");
  const [conv] = await ann.ask("create", ["group", "g", null, ["bob"]]);
  const send = async (count: number, cid: string): Promise<void> => {
    for (let at = 0; at < count; at++) {
      recorder.invoke("ann/d", "ann", conv, `${cid}-${at}`, `${cid} ${at}`);
      const [seq] = await ann.ask("send", [conv, [[`${cid}-${at}`, [`${cid} ${at}`]]]]);
      recorder.ack("ann/d", "ann", conv, `${cid}-${at}`, seq as number);
    }
  };

  await send(3, "kept");
  proxy.onCommand(async (command, forward) =>
    isHasty(command) ? { ok: 1, n: command.body["documents"].length } : forward(),
  );
  await send(5, "last");
  await server.kill();
  proxy.onCommand(null);
  await server.start();
  const auditor = await open("ann");
  await readLog(auditor, conv, recorder, new Map());
  auditor.close();
  return recorder.finish();
}

describeWith("mongodb", "a primary that dies with what no majority had", () => {
  test("takes nothing that was acknowledged", async () => {
    expect(await loseTail("")).toEqual([]);
  });

  test("negative control: with write concern 1 it takes what was acknowledged, and the checker names it", async () => {
    const violations = await loseTail("negative.writeConcernOne");
    expect(violations.map(({ name }) => name)).toEqual(["I1", "I1", "I1", "I1", "I1"]);
  });
});
