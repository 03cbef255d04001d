import { expect, test } from "bun:test";
import { Connection } from "./connection";
import { ServerProcess } from "./server-process";

test("what was acknowledged by a server that died before anybody else was told reaches them when they resume", async () => {
  await using server = new ServerProcess();
  // The second commit of the only conversation that there is; the first one creates it.
  await server.start({ environment: { PARLEY_FAILPOINTS: "ack.before-fanout=exit@2" } });
  const pushed: unknown[] = [];
  const hear = (frame: readonly unknown[]): void => void pushed.push(frame[1]);
  const bob = await Connection.open(server.url, server.token("bob"), "d", hear);
  const ann = await Connection.open(server.url, server.token("ann"), "d", () => undefined);
  const [conversation] = await ann.ask("create", ["group", "g", { name: "Two" }, ["bob"]]);
  await bob.ask("sync", [null, []]);
  const known = (await bob.ask("get", [conversation]))[4][0];
  pushed.length = 0;

  const [acked] = await ann.ask("send", [conversation, [["m", ["told to nobody"]]]]);
  expect(acked).toBe(known + 1);
  await server.exited;
  await bob.closed;
  expect(pushed).not.toContain("entries");

  await server.start();
  const again = await Connection.open(server.url, server.token("bob"), "d", () => undefined);
  const [, , , , , resumed] = await again.ask("sync", [null, [[conversation, known]]]);
  again.close();
  expect(resumed.map(([id, entries]) => [id, entries.map(([seq]) => seq)])).toEqual([[conversation, [known + 1]]]);
});

test("a group whose server died before any feed knew of it reaches its members after the restart", async () => {
  await using server = new ServerProcess();
  await server.start({ environment: { PARLEY_FAILPOINTS: "ack.before-fanout=exit@1" } });
  (await Connection.open(server.url, server.token("bob"), "d", () => undefined)).close();
  const ann = await Connection.open(server.url, server.token("ann"), "d", () => undefined);
  const [conversation] = await ann.ask("create", ["group", "g", { name: "Two" }, ["bob"]]);
  await server.exited;

  await server.start();
  for (const user of ["ann", "bob"]) {
    const reached = Promise.withResolvers<void>();
    const again = await Connection.open(server.url, server.token(user), "d", ([, name, changes]) => {
      if (name === "feed" && JSON.stringify(changes).includes(conversation)) reached.resolve();
    });
    const [, rows] = await again.ask("sync", [null, []]);
    if (!rows.some(([id]) => id === conversation)) await reached.promise;
    expect((await again.ask("get", [conversation]))[2][0]).toBe(user === "ann" ? "owner" : "member");
    again.close();
  }
});
