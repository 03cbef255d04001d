// The part of the server API by which an operator sees the nodes of the cluster and has one drained. Owned by api.ts; every
// route asks for an operator first (G12). Any node answers for all.
import { createRoute, z } from "@hono/zod-openapi";
import type { OpenAPIHono } from "@hono/zod-openapi";
import { AppError } from "../lib/errors";
import { nodeReport } from "./cluster-nodes";
import type { ClusterNodes } from "./cluster-nodes";

/** The cluster, once this node is in it; null where the server is alone. */
export type ReadNodes = () => Pick<ClusterNodes, "self" | "unclaimed" | "list" | "drain"> | null;

const node = z
  .object({
    id: z.string().describe("of this life of its process"),
    claims: z.number().describe("partitions whose claim names it"),
    report: nodeReport.nullable().describe("null: it did not answer within a second"),
  })
  .openapi("Node");
const listed = z.object({
  self: z.string().describe("the node that answered"),
  unclaimed: z.number().describe("partitions whose claim names nobody"),
  nodes: z.array(node),
});

/** A description and a schema, as the body of an answer. */
type Json = <S extends z.ZodType>(
  description: string,
  schema: S,
) => { description: string; content: { "application/json": { schema: S } } };

function routesOf(json: Json, failed: ReturnType<Json>) {
  const operatorOnly = { security: [{ operator: [] }] };
  return {
    list: createRoute({
      method: "get",
      path: "/v1/nodes",
      summary: "The nodes of the cluster: what each owns, how it is, who does not answer",
      ...operatorOnly,
      responses: { 200: json("All nodes that are heard or own something", listed), default: failed },
    }),
    drain: createRoute({
      method: "post",
      path: "/v1/nodes/{id}/drain",
      summary:
        "Has a node give its partitions and clients to the others; it stays up, not ready, until it is restarted",
      ...operatorOnly,
      request: { params: z.object({ id: z.string().min(1).max(300).describe("an id, a name, or host/name") }) },
      responses: { 202: json("It has begun", z.object({ id: z.string() })), default: failed },
    }),
  };
}

/** Adds the routes; whoever calls has seen to it that only operators get there. */
export function addNodeRoutes(api: OpenAPIHono, read: ReadNodes, json: Json, failed: ReturnType<Json>): void {
  const routes = routesOf(json, failed);
  api.openapi(routes.list, async (c) => {
    const nodes = clusterOf(read);
    const { self, unclaimed } = nodes;
    return c.json({ self, unclaimed, nodes: [...(await nodes.list())] }, 200);
  });
  api.openapi(routes.drain, async (c) => {
    const id = await clusterOf(read).drain(c.req.valid("param").id);
    return c.json({ id }, 202);
  });
}

function clusterOf(read: ReadNodes) {
  const nodes = read();
  if (nodes === null) throw new AppError("not_supported", "this server is alone: PARLEY_NATS is not set");
  return nodes;
}
