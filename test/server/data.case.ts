// The composed server and its data, whatever store they are in: what is served, taken over, and there after the next start.
import { expect, test } from "bun:test";
import type { UserId } from "../../src/protocol/ids";
import { signToken } from "../../src/transport/tokens";
import { RawClient } from "../socket/raw-client";
import type { StoreUnderTest } from "../stores";
import { secret, ServerWorld } from "./server-world";

async function createGroup(client: RawClient, clientId = "make"): Promise<string> {
  await client.request("sync");
  const [conversation] = await client.request("create", "group", clientId);
  return conversation;
}

/** Declares these tests for one store. */
export function dataCases(store: StoreUnderTest): void {
  test("fresh data are served at once: health, readiness, a stored message, its metrics", async () => {
    await using world = await ServerWorld.open(await store.fresh());
    const server = await world.start();
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
    await using alice = await world.signIn(server, "alice");
    const conversation = await createGroup(alice);
    const [seq] = await alice.request("send", conversation, [["one", ["hello"]]]);
    expect(typeof seq).toBe("number");
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toContain("parley_sends_total 1");
    expect(metrics).toMatch(/parley_commit_rows_count [1-9]/);
    expect(metrics).toContain(`parley_actors_active{kind="conversation"} 1`);
    expect(metrics).toContain("parley_sessions 1");
  });

  test("a second server on the same data takes over, and the first one knows", async () => {
    await using world = await ServerWorld.open(await store.fresh());
    const first = await world.start();
    await using alice = await world.signIn(first, "alice");
    const conversation = await createGroup(alice);
    const second = await world.start();

    expect(await first.ended).toBe("fenced");
    const answer = await alice.refusal("send", conversation, [["late", ["not here"]]]);
    expect(answer).not.toBeNull();
    expect(await (await fetch(`${first.url}/readyz`)).json()).toEqual({ ready: false, reason: "fenced" });
    await using again = await world.signIn(second, "alice");
    expect(await again.request("send", conversation, [["late", ["here"]]])).toHaveLength(1);
  });

  test("a person made by it can be named by others before their first sign-in", async () => {
    await using world = await ServerWorld.open(await store.fresh());
    const server = await world.start();
    await using alice = await world.signIn(server, "alice");
    await alice.request("sync");
    expect(await alice.refusal("create", "group", "one", null, ["bob"])).toBe("unknown_user");

    const operator = await signToken(secret, "backend" as UserId, { seconds: 60, operator: true });
    const put = () =>
      fetch(`${server.url}/v1/users/bob`, { method: "PUT", headers: { authorization: `Bearer ${operator}` } });
    expect(await (await put()).json()).toEqual({ user: "bob", created: true });
    expect(await (await put()).json()).toEqual({ user: "bob", created: false });
    expect(await alice.refusal("create", "group", "two", null, ["bob"])).toBeNull();
  });

  test("signing a person out closes their sockets for good", async () => {
    await using world = await ServerWorld.open(await store.fresh());
    const server = await world.start();
    const token = await signToken(secret, "alice" as UserId, { seconds: 600 });
    const alice = await world.signIn(server, "alice");
    const operator = await signToken(secret, "backend" as UserId, { seconds: 60, operator: true });
    const headers = { authorization: `Bearer ${operator}` };
    const response = await fetch(`${server.url}/v1/users/alice/sign-out`, { method: "POST", headers });
    expect(response.status).toBe(204);
    expect(await alice.closed).toBe(4502);
    await using again = await RawClient.connect(`${server.url.replace("http", "ws")}/v1/ws`);
    expect(await again.refusal("hello", 1, token, "another")).toBe("signed_out");
  });

  test("what is under way is answered, and what was acknowledged is there after the next start", async () => {
    await using world = await ServerWorld.open(await store.fresh());
    const server = await world.start();
    const alice = await world.signIn(server, "alice");
    const conversation = await createGroup(alice);
    const texts = Array.from({ length: 200 }, (_, i) => [`id-${i}`, [`text ${i}`]]);
    const sending = alice.request("send", conversation, texts);
    await alice.settled();
    await Promise.all([server.stop(), sending]);
    const acknowledged = await sending;
    expect(acknowledged.every((seq) => typeof seq === "number")).toBe(true);

    const next = await world.start();
    await using again = await world.signIn(next, "alice");
    await again.request("sync");
    const seqs: number[] = [];
    for (let from = 1; ; ) {
      const [entries, head] = await again.request("entries", conversation, from);
      seqs.push(...entries.map(([seq]) => seq));
      from = (seqs.at(-1) ?? 0) + 1;
      if (from > head) break;
    }
    expect(seqs).toEqual(expect.arrayContaining(acknowledged as number[]));
  });
}
