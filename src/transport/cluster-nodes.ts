// The nodes of a cluster as an operator sees them, whichever of them is asked, and how one is told to give its partitions away.
// Owned by the composition of each node; they ask each other over their links. Nothing is kept: every answer is of now.
import { z } from "zod";
import type { Incarnation } from "../actors/placement-shares";
import { AppError } from "../lib/errors";

const count = z.number().int().nonnegative();

/** What a node says of itself: to the others in this form, which a later release may add to, and in the server API. */
export const nodeReport = z
  .object({
    name: z.string().describe("as the operator calls it; not unique among hosts"),
    host: z.string(),
    version: z.string(),
    uptimeSeconds: count,
    state: z.string().describe("`starting`, `ready`, `draining`, `drained`, or why it cannot go on"),
    ready: z.boolean().describe("whether clients are welcome"),
    reason: z.string().nullable().describe("if not, why"),
    adminUrl: z.string().nullable().describe("where it alone is reached on its host, where its port is shared"),
    featureLevel: count,
    natsConnected: z.boolean(),
    sessions: count,
    connections: count,
    actors: count.describe("conversations and people in memory"),
    asksWaiting: count.describe("requests that wait for an actor's answer"),
    lagMs: count.describe("how late its event loop came to its work at most, in the last seconds"),
    owned: z
      .array(z.tuple([count, count]))
      .max(65_536)
      .describe("partitions that it owns, and their epochs"),
  })
  .readonly();

/** See {@link nodeReport}. */
export type NodeReport = z.infer<typeof nodeReport>;

/** A node; without a report where it did not answer in time. */
export interface ListedNode {
  readonly id: Incarnation;
  /** Partitions whose claim names it, as the node sees it that was asked. */
  readonly claims: number;
  readonly report: NodeReport | null;
}

/** What nodes can ask each other: see {@link import("../actors/node-links").NodeLinks}. */
export interface NodeCalls {
  on(kind: string, take: (args: readonly unknown[], from: Incarnation) => unknown): void;
  request(
    node: Incarnation,
    kind: string,
    args: readonly unknown[],
    timeoutMs: number,
  ): Promise<
    | { readonly outcome: "answered"; readonly value: unknown }
    | { readonly outcome: "refused"; readonly error: AppError }
    | { readonly outcome: "absent" | "silent" | "away" }
  >;
  /** Other nodes that were heard lately. */
  peers(): readonly Incarnation[];
}

/** What the directory is made of. */
export interface ClusterNodesOptions {
  readonly self: Incarnation;
  readonly calls: NodeCalls;
  /** All partitions' owners, as their claims name them. */
  readonly owners: () => readonly (Incarnation | null)[];
  readonly report: () => NodeReport;
  /** Gives this node's partitions and clients away; its process stays. Idempotent. */
  readonly giveUp: () => Promise<void>;
}

/** How long a node may take to say how it is, milliseconds. */
const askMs = 1_000;

/** See the head of this file. */
export class ClusterNodes {
  readonly #options: ClusterNodesOptions;

  constructor(options: ClusterNodesOptions) {
    this.#options = options;
    const { calls, report, giveUp } = options;
    calls.on("report", () => report());
    // Answered at once: it takes seconds, and shows in the reports.
    calls.on("drain", () => void giveUp());
  }

  /** This node. */
  get self(): Incarnation {
    return this.#options.self;
  }

  /** All nodes that are heard or that own something, by name. Takes a second at most. */
  async list(): Promise<readonly ListedNode[]> {
    const { self, calls, owners } = this.#options;
    const claims = new Map<Incarnation, number>([self, ...calls.peers()].map((id) => [id, 0]));
    for (const owner of owners()) if (owner !== null) claims.set(owner, (claims.get(owner) ?? 0) + 1);
    const nodes = [...claims].map(async ([id, count]): Promise<readonly ListedNode[]> => {
      const report = await this.#ask(id);
      // Whoever has left was heard a moment ago; nobody listens in its place.
      return report === "absent" && count === 0
        ? []
        : [{ id, claims: count, report: report === "absent" ? null : report }];
    });
    const nameOf = ({ id, report }: ListedNode): string => `${report?.host ?? ""} ${report?.name ?? ""} ${id}`;
    return (await Promise.all(nodes)).flat().toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  }

  /** Partitions whose claim names nobody. */
  get unclaimed(): number {
    return this.#options.owners().filter((owner) => owner === null).length;
  }

  /**
   * Has a node give up its partitions and its clients; resolves with its id once it begins. Rejects with an AppError: there is no such
   * node, several have the name, it is the only one that is ready, it did not answer.
   * @param wanted an id, a name, or `host/name`
   */
  async drain(wanted: string): Promise<Incarnation> {
    const nodes = await this.list();
    const found = nodes.filter(({ id, report }) => id === wanted || namesOf(report).includes(wanted));
    const [node, another] = found;
    if (node === undefined) throw new AppError("unknown_operation", `there is no node ${wanted.slice(0, 200)}`);
    if (another !== undefined) {
      const details = found.map(({ id, report }) => ({ id, host: report?.host ?? null }));
      throw new AppError("bad_request", "several nodes have this name; say which by its id", { details });
    }
    if (!nodes.some(({ id, report }) => id !== node.id && report?.ready === true)) {
      throw new AppError("limit_reached", "no other node is ready to take over; stop this one instead");
    }
    await this.#tellToDrain(node.id);
    return node.id;
  }

  async #tellToDrain(id: Incarnation): Promise<void> {
    const { self, calls, giveUp } = this.#options;
    if (id === self) {
      void giveUp();
      return;
    }
    const reply = await calls.request(id, "drain", [], askMs);
    if (reply.outcome === "refused") throw reply.error;
    if (reply.outcome !== "answered")
      throw new AppError("outcome_unknown", `the node did not answer (${reply.outcome})`);
  }

  /** Null: no answer that is understood; `absent`: nobody listens for it. */
  async #ask(id: Incarnation): Promise<NodeReport | "absent" | null> {
    const { self, calls, report } = this.#options;
    if (id === self) return report();
    const reply = await calls.request(id, "report", [], askMs);
    if (reply.outcome === "absent") return "absent";
    return reply.outcome === "answered" ? (nodeReport.safeParse(reply.value).data ?? null) : null;
  }
}

function namesOf(report: NodeReport | null): readonly string[] {
  return report === null ? [] : [report.name, `${report.host}/${report.name}`];
}
