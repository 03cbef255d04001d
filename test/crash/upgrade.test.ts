import { expect, test } from "bun:test";
import { Connection } from "./connection";
import { ServerProcess } from "./server-process";

test("a server killed amid a migration starts again on the same file", async () => {
  await using server = new ServerProcess();
  const started = server.start({ environment: { PARLEY_FAILPOINTS: "migrate.middle=exit@1" } });
  await expect(started).rejects.toThrow("did not become ready");

  await server.start();
  const connection = await Connection.open(server.url, server.token("ann"), "d", () => undefined);
  const [, rows] = await connection.ask("sync", [null, []]);
  connection.close();

  expect(rows).toEqual([]);
});
