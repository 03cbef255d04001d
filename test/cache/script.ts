// A script of sign-ins, joins, sends, reads and watches against one server, and everything that it was answered: what two servers
// must answer alike, whatever their caches do.
import type { OperationName } from "../../src/protocol/operations";
import type { RunningServer } from "../../src/server";
import { Refused } from "../socket/raw-client";
import type { RawClient } from "../socket/raw-client";
import type { ServerWorld } from "../server/server-world";

/** Bearer of the server API in these tests. */
export const adminSecret = "operator-".repeat(5);

const people = ["ada", "bob", "cy", "dee"] as const;
const rounds = 12;
/** Server times; nothing else in an answer is as large. */
const earliestMs = 1_500_000_000_000;

/** How often {@link play} calls `onStep`. */
export const steps = rounds;

/** Plays the script; `onStep` is awaited before each round. Answers every answer and refusal in order, without times. */
export async function play(
  world: ServerWorld,
  server: RunningServer,
  onStep: (step: number) => Promise<unknown>,
): Promise<readonly string[]> {
  const told: string[] = [];
  const clients = new Map<string, RawClient>();
  const ask = async (user: string, name: OperationName, ...args: readonly unknown[]): Promise<unknown> => {
    const answer = await answerOf(clients.get(user) as RawClient, name, args);
    const line = `${user} ${name} ${shown(answer)}`;
    // A list that was asked for until it was complete counts once.
    if (name === "list" && told.at(-1)?.startsWith(`${user} list `)) told.pop();
    told.push(line);
    return answer;
  };
  for (let round = 0; round < rounds; round++) {
    await onStep(round);
    await signInAll(world, server, clients);
    await playRound(round, ask, (user) => makeExist(server, user));
    if (round % 4 === 3) await signOutAll(clients);
  }
  await signOutAll(clients);
  return told;
}

async function signOutAll(clients: Map<string, RawClient>): Promise<void> {
  for (const client of clients.values()) await client[Symbol.asyncDispose]();
  clients.clear();
}

type Ask = (user: string, name: OperationName, ...args: readonly unknown[]) => Promise<unknown>;

async function signInAll(world: ServerWorld, server: RunningServer, clients: Map<string, RawClient>): Promise<void> {
  for (const user of people) if (!clients.has(user)) clients.set(user, await world.signIn(server, user));
}

/** A group is made, somebody unknown is named and then comes to exist, everybody talks, reads, joins and leaves. */
async function playRound(round: number, ask: Ask, exist: (user: string) => Promise<void>): Promise<void> {
  const late = `late-${round}`;
  await ask("ada", "create", "group", `with-unknown-${round}`, null, ["bob", late]);
  const [group] = (await ask("ada", "create", "group", `group-${round}`, { name: "g" }, ["bob"])) as [string];
  await ask("ada", "add", group, `add-${round}`, ["cy", late, "nobody"]);
  await ask("cy", "history", group, "before", null, 10);
  await exist(late);
  await ask("ada", "add", group, `add-${round}-again`, ["cy", late]);
  await ask("dee", "join", group, `join-${round}`);
  for (const user of ["ada", "bob", "cy"])
    for (let i = 0; i < 3; i++) await ask(user, "send", group, [[`${user}-${i}`, [`hello ${i}`]]]);
  await ask("bob", "send", group, [["mention", ["hi", null, null, null, [late, "nobody"]]]]);
  await ask("bob", "read", group, "read", 8);
  await ask("bob", "get", group);
  await ask("ada", "remove", group, `remove-${round}`, ["cy"]);
  await ask("cy", "entries", group, 1, 50);
  await ask("ada", "entries", group, 1, 50);
  await ask("ada", "members", group, null, 50);
  await ask("bob", "watch", ["ada", "cy", late]);
  await settled(ask, "bob", group);
}

/** The list follows from the person's feed, which hears of a change behind its answer: asked until it names the group. */
async function settled(ask: Ask, user: string, group: string): Promise<void> {
  const rows = async () => ((await ask(user, "list", null, 50)) as [readonly (readonly [string])[]])[0];
  while (!(await rows()).some(([conversation]) => conversation === group));
}

async function answerOf(client: RawClient, name: OperationName, args: readonly unknown[]): Promise<unknown> {
  try {
    return await client.request(name, ...args);
  } catch (error) {
    if (error instanceof Refused) return error.tuple;
    throw error;
  }
}

async function makeExist(server: RunningServer, user: string): Promise<void> {
  const headers = { authorization: `Bearer ${adminSecret}` };
  const answer = await fetch(`${server.url}/v1/users/${user}`, { method: "PUT", headers });
  if (!answer.ok) throw new Error(`PUT of ${user} was answered ${answer.status}`);
}

function shown(answer: unknown): string {
  return JSON.stringify(answer, (_, value: unknown) => {
    if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
    return typeof value === "number" && value > earliestMs ? "time" : value;
  });
}
