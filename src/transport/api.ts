// The server API: what the integrator's own servers may do, described in OpenAPI from the schemas that check it.
// Default is deny (G12): every route but the demo's asks for an operator first.
import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { Router } from "../actors/actor";
import { AppError } from "../lib/errors";
import { isDeviceId, isUserId } from "../protocol/ids";
import type { DeviceId, UserId } from "../protocol/ids";
import { protocolVersion, socketPath, subprotocol } from "../protocol/frames";
import { addNodeRoutes } from "./api-nodes";
import type { ReadNodes } from "./api-nodes";
import { demoTokenSeconds } from "./demo";
import type { CheckOperator } from "./operators";
import { signToken } from "./tokens";

/** What the API needs of the rest. */
export interface ApiParts {
  readonly router: Pick<Router, "ask">;
  readonly checkOperator: CheckOperator;
  /** The secret of demo sign-in; null where it is not offered. */
  readonly demoSecret: string | null;
  readonly version: string;
  /** The cluster that this server is a node of. */
  readonly nodes: ReadNodes;
}

const userId = z
  .custom<UserId>(isUserId, "not a user id")
  .openapi("UserId", { type: "string", pattern: "^[A-Za-z0-9._@:|+=-]{1,128}$", example: "alice" });
const deviceId = z
  .custom<DeviceId>(isDeviceId, "not a device id")
  .openapi("DeviceId", { type: "string", pattern: "^[A-Za-z0-9._@:|+=-]{1,64}$" });
const failure = z
  .object({
    error: z.object({
      code: z.string(),
      message: z.string(),
      outcome: z.enum(["final", "retry", "unknown"]),
      retryAfterMs: z.number().nullable(),
      details: z.unknown(),
    }),
  })
  .openapi("Failure");

function json<S extends z.ZodType>(description: string, schema: S) {
  return { description, content: { "application/json": { schema } } };
}

const failed = json("What went wrong; act on `outcome` for a code you do not know", failure);
const operatorOnly = { security: [{ operator: [] }] };
const userParams = z.object({ id: userId });

const routes = {
  about: createRoute({
    method: "get",
    path: "/v1/about",
    summary: "What a client or the page must know before it connects",
    responses: {
      200: json(
        "About this server",
        z.object({
          version: z.string(),
          protocol: z.number(),
          subprotocol: z.string(),
          socketPath: z.string(),
          demo: z.boolean(),
        }),
      ),
    },
  }),
  demoToken: createRoute({
    method: "post",
    path: "/v1/demo/token",
    summary: "A token for anybody; only on loopback without a signing key",
    request: { body: { required: true, ...json("Who", z.strictObject({ user: userId })) } },
    responses: {
      200: json("Signs this person in", z.object({ token: z.string(), expiresAt: z.number() })),
      default: failed,
    },
  }),
  putUser: createRoute({
    method: "put",
    path: "/v1/users/{id}",
    summary: "Makes a person exist, so that others may name them; idempotent",
    ...operatorOnly,
    request: { params: userParams },
    responses: {
      200: json("The person exists", z.object({ user: userId, created: z.boolean() })),
      default: failed,
    },
  }),
  signOut: createRoute({
    method: "post",
    path: "/v1/users/{id}/sign-out",
    summary: "Voids every token issued until now, of one device or of all, and closes their connections",
    ...operatorOnly,
    request: {
      params: userParams,
      body: { required: false, ...json("Which device; none: all", z.strictObject({ device: deviceId.nullish() })) },
    },
    responses: { 204: { description: "Done, durably" }, default: failed },
  }),
};

/** The API's routes; errors are thrown as AppError for the app that mounts them. */
export function createApi(parts: ApiParts): OpenAPIHono {
  const api = new OpenAPIHono({
    defaultHook: (result) => {
      if (!result.success) throw new AppError("bad_request", undefined, { details: problemsOf(result.error) });
    },
  });
  addOpenRoutes(api, parts);
  addOperatorRoutes(api, parts);
  api.openAPIRegistry.registerComponent("securitySchemes", "operator", { type: "http", scheme: "bearer" });
  api.doc31("/v1/openapi.json", { openapi: "3.1.0", info: { title: "Parley server API", version: parts.version } });
  return api;
}

function addOpenRoutes(api: OpenAPIHono, parts: ApiParts): void {
  const demo = parts.demoSecret !== null;
  const about = { version: parts.version, protocol: protocolVersion, subprotocol, socketPath, demo };
  api.openapi(routes.about, (c) => c.json(about, 200));
  api.openapi(routes.demoToken, async (c) => {
    if (parts.demoSecret === null) throw new AppError("forbidden", "demo sign-in is off: a signing key is configured");
    requireOwnPage(c.req.raw);
    const { user } = c.req.valid("json");
    const token = await signToken(parts.demoSecret, user, { seconds: demoTokenSeconds });
    return c.json({ token, expiresAt: Math.floor(Date.now() / 1000) + demoTokenSeconds }, 200);
  });
}

function addOperatorRoutes(api: OpenAPIHono, { router, checkOperator, nodes }: ApiParts): void {
  for (const path of ["/v1/users/*", "/v1/nodes", "/v1/nodes/*"]) {
    api.use(path, async (c, next) => {
      await checkOperator(c.req.header("authorization") ?? null);
      await next();
    });
  }
  addNodeRoutes(api, nodes, json, failed);
  api.openapi(routes.putUser, async (c) => {
    const { id } = c.req.valid("param");
    const { created } = (await router.ask("user", id, { op: "ensure" })) as { readonly created: boolean };
    return c.json({ user: id, created }, 200);
  });
  api.openapi(routes.signOut, async (c) => {
    const { id } = c.req.valid("param");
    const body = c.req.header("content-type") === undefined ? {} : c.req.valid("json");
    await router.ask("user", id, { op: "signOut", device: body.device ?? null });
    return c.body(null, 204);
  });
}

/**
 * Keeps other pages in the operator's browser, and names that were rebound to loopback, from minting tokens.
 * The request must carry a loopback `host`, and no `origin` but its own.
 */
function requireOwnPage(request: Request): void {
  const host = request.headers.get("host") ?? "";
  const name = host.replace(/:\d+$/, "");
  const origin = request.headers.get("origin");
  const ownHost = name === "localhost" || name === "[::1]" || /^127(\.\d{1,3}){3}$/.test(name);
  if (!ownHost || (origin !== null && origin !== `http://${host}`)) {
    throw new AppError("forbidden", "demo tokens are for pages and programs of this machine only");
  }
}

function problemsOf(error: z.ZodError): readonly { readonly path: string; readonly problem: string }[] {
  return error.issues.slice(0, 20).map((issue) => ({ path: issue.path.join("."), problem: issue.message }));
}
