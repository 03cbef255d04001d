// What a client said over a connection that it has given up since: a network may deliver it when another owner serves the conversation,
// who knows nothing of what the client was answered elsewhere in between.
import { expect, test } from "bun:test";
import { allPartitions } from "../../src/actors/local-placement";
import { frameTypes, socketPath } from "../../src/protocol/frames";
import type { Results } from "../../src/protocol/operations";
import type { RunningServer } from "../../src/server";
import { portOf, startProxy } from "../faults/proxy";
import { describeWith } from "../services/services";
import { RawClient } from "../socket/raw-client";
import { until } from "../until";
import { ClusterWorld } from "./cluster-world";

const timeoutMs = 60_000;
/** Conversations: owned by either node, some by each. */
const many = 8;

/** How many sends the node has answered, and how. */
async function sends(node: RunningServer): Promise<Readonly<Record<string, number>>> {
  const text = await (await fetch(`${node.url}/metrics`)).text();
  const refused = text.matchAll(/^parley_errors_total\{operation="send",code="(\w+)"\} (\d+)/gm);
  const stored = Number(/^parley_sends_total (\d+)/m.exec(text)?.[1]);
  return {
    ...Object.fromEntries([...refused].map(([, code, count]) => [code, Number(count)])),
    ...(stored > 0 ? { stored } : {}),
  };
}

describeWith("nats", "a message that comes late over a connection that its client gave up", () => {
  test(
    "is not stored behind what the client said since, also where another owner refused it before",
    async () => {
      await using world = await ClusterWorld.open(2);
      const [first] = world.nodes as [RunningServer];
      const ann = await world.signIn(1, "ann");
      const made = Array.from({ length: many }, (_, at) => ann.request("create", "group", `g${at}`, null, []));
      const groups = (await Promise.all(made)).map(([conversation]) => conversation);
      await using proxy = await startProxy(portOf(first.url));
      const before = await RawClient.connect(`ws://127.0.0.1:${proxy.port}${socketPath}`);
      await before.request("hello", 1, await world.token("eve"), "phone");

      // Held back on its way, and given up by its client, who says the same elsewhere and is refused.
      proxy.blackHole("toServer");
      for (const [at, group] of groups.entries())
        before.send([frameTypes.request, 100 + at, "send", [group, [["x", ["too late"]]]], { deadlineMs: 1_000 }]);
      before.close();
      const eve = await world.signIn(1, "eve", "phone");
      for (const group of groups)
        await expect(eve.refusal("send", group, [["x", ["too late"]]])).resolves.toBe("no_access");

      // Every owner begins anew, and lets her in.
      await first.store.claim(allPartitions);
      for (const group of groups) {
        await ann.request("add", group, "let her in", ["eve"]);
        expect(await eve.refusal("send", group, [["y", ["since then"]]])).toBe(null);
      }
      await proxy.heal();
      await until(async () => Object.values(await sends(first)).reduce((sum, count) => sum + count, 0) >= many);
      expect(await sends(first)).not.toHaveProperty("stored");
      for (const group of groups) {
        const [messages] = (await ann.request("history", group, "before", null, 10, null)) as Results["history"];
        expect(messages.map(([entry]) => entry[9])).toEqual([["since then"]]);
      }

      // Somebody who is there is served on.
      await first.store.claim(allPartitions);
      for (const group of groups) expect(await eve.refusal("send", group, [["z", ["still here"]]])).toBe(null);
    },
    timeoutMs,
  );
});
