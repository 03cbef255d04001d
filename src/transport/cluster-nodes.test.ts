import { expect, test } from "bun:test";
import { AppError } from "../lib/errors";
import { decode, encode } from "../protocol/codec";
import { ClusterNodes } from "./cluster-nodes";
import type { NodeCalls, NodeReport } from "./cluster-nodes";

const base: NodeReport = {
  ...{ name: "node-1", host: "here", version: "1.2.3", uptimeSeconds: 60, state: "ready", ready: true, reason: null },
  ...{ adminUrl: null, featureLevel: 1, natsConnected: true, sessions: 5, connections: 6, actors: 7 },
  ...{ asksWaiting: 0, lagMs: 2, owned: [[0, 12]] },
};

/** Nodes that hear each other, but for those that are said to be silent; what they say travels as bytes. */
class Company {
  readonly silent = new Set<string>();
  /** Heard a moment ago, and gone. */
  readonly left = new Set<string>();
  readonly drained: string[] = [];
  owners: (string | null)[] = [];
  readonly #takes = new Map<string, Map<string, Parameters<NodeCalls["on"]>[1]>>();

  join(self: string, report: Partial<NodeReport> = {}, more: object = {}): ClusterNodes {
    const takes = new Map<string, Parameters<NodeCalls["on"]>[1]>();
    this.#takes.set(self, takes);
    return new ClusterNodes({
      self,
      owners: () => this.owners,
      report: () => ({ ...base, ...report, ...more }),
      giveUp: async () => void this.drained.push(self),
      calls: {
        on: (kind, take) => void takes.set(kind, take),
        peers: () => [...this.#takes.keys(), ...this.left].filter((id) => id !== self),
        request: async (node, kind, args) => {
          const take = this.#takes.get(node)?.get(kind);
          if (this.silent.has(node)) return { outcome: "silent" };
          if (take === undefined) return { outcome: "absent" };
          return { outcome: "answered", value: decode(encode(take(args, self))) };
        },
      },
    });
  }
}

test("whichever node is asked, all are listed with what they own, also those that do not answer", async () => {
  const company = new Company();
  company.owners = ["a", "b", "b", "gone", null];
  const one = company.join("a");
  const other = company.join("b", { name: "node-2" });
  company.join("hung", { name: "node-3" });
  company.silent.add("hung");
  company.left.add("left");
  const expected = [
    { id: "gone", claims: 1, report: null },
    { id: "hung", claims: 0, report: null },
    { id: "a", claims: 1, report: base },
    { id: "b", claims: 2, report: { ...base, name: "node-2" } },
  ];
  expect([await one.list(), await other.list()]).toEqual([expected, expected]);
  expect(one.unclaimed).toBe(1);
});

test("what a later release adds to a report is passed over; what is none counts as no answer", async () => {
  const company = new Company();
  const one = company.join("a");
  company.join("later", { name: "node-2" }, { mood: "good" });
  company.join("odd", {}, { owned: "everything" });
  const nodes = await one.list();
  expect(nodes.map(({ id, report }) => [id, report && Object.keys(report).length])).toEqual([
    ["odd", null],
    ["a", Object.keys(base).length],
    ["later", Object.keys(base).length],
  ]);
});

test("a node is drained by id, by name or by host and name, through any node, and by itself", async () => {
  const company = new Company();
  const one = company.join("a");
  company.join("b", { name: "node-2", host: "there" });
  expect(await one.drain("b")).toBe("b");
  expect(await one.drain("node-2")).toBe("b");
  expect(await one.drain("there/node-2")).toBe("b");
  expect(await one.drain("a")).toBe("a");
  expect(company.drained).toEqual(["b", "b", "b", "a"]);
});

test("none is drained that is not there, that could be two, or that nobody could take over from", async () => {
  const company = new Company();
  const one = company.join("a");
  const refusal = (wanted: string): Promise<unknown> =>
    one.drain(wanted).catch((error: unknown) => (error instanceof AppError ? error.code : error));
  expect(await refusal("a")).toBe("limit_reached");
  company.join("b", { name: "node-2", ready: false, reason: "drained" });
  expect(await refusal("a")).toBe("limit_reached");
  company.join("c", { host: "there" });
  expect(await refusal("node-1")).toBe("bad_request");
  expect(await refusal("nobody")).toBe("unknown_operation");
  company.silent.add("c");
  expect(await refusal("c")).toBe("outcome_unknown");
  expect(company.drained).toEqual([]);
});
