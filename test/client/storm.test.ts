// A server is gone and comes back, and everybody wants in at once, through a narrow door: all get in, and nobody lacks a message (G6, G11).
import { expect, test } from "bun:test";
import { entryKinds } from "../../src/protocol/entry";
import { Home, until } from "./real";

const count = 60;

test("sixty clients come back to a server that lets two in at a time, and each has every message once and in order", async () => {
  await using home = await Home.open({
    PARLEY_CONNECTIONS_SIGN_INS_MAX: "2",
    PARLEY_CONNECTIONS_SYNCS_MAX: "1",
    PARLEY_CONNECTIONS_TURN_QUEUE_MAX: "4",
  });
  await using clients = new AsyncDisposableStack();
  const names = Array.from({ length: count }, (_, i) => `p${i}`);
  const people = names.map((name) => clients.use(home.client(name)));
  await Promise.all(people.map((client) => client.ready()));
  const [writer, ...others] = people as [(typeof people)[0], ...typeof people];
  const id = await writer.createGroup({ name: "Room" }, names.slice(1));
  await Promise.all(others.map((client) => until(client.conversations, (rows) => rows.length === 1)));
  const heard = people.map((client) => {
    const seqs: number[] = [];
    client.on("entry", ({ entry }) => void (entry[2] === entryKinds.message && seqs.push(entry[0])));
    return seqs;
  });
  const sent: Promise<number>[] = [];
  const send = (text: string): void => void sent.push(writer.conversation(id).send(text).acked);
  for (let round = 0; round < 3; round++) {
    send(`before ${round}`);
    await home.stop();
    send(`while down ${round}`);
    await home.start();
    send(`after ${round}`);
    await Promise.all(people.map((client) => client.ready()));
  }
  const seqs = await Promise.all(sent);
  const last = seqs.at(-1) as number;
  await Promise.all(people.map((client) => until(client.conversation(id), ({ row }) => row?.headSeq === last)));
  await Promise.all(
    heard.map((_, i) => until((people[i] as (typeof people)[0]).conversations, () => heard[i]?.at(-1) === last)),
  );
  for (const one of heard) expect(one).toEqual(seqs);
}, 60_000);
