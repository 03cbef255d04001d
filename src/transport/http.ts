// Everything that is spoken over HTTP: health, metrics, the server API and the page. Owned by the composition.
// Every answer that is not a success is the one envelope of http-errors.ts; bodies and tokens never reach the log.
import { Hono } from "hono";
import type { Context } from "hono";
import { bodyLimit } from "hono/body-limit";
import { HTTPException } from "hono/http-exception";
import { routePath } from "hono/route";
import { AppError, toAppError } from "../lib/errors";
import type { Log } from "../lib/log";
import type { Metrics } from "../lib/metrics";
import { createApi } from "./api";
import type { ApiParts } from "./api";
import { errorResponse, noSuchRoute, statusOf } from "./http-errors";
import type { Page } from "./static";

/** Whether new connections are welcome; `reason` says why not, or what else there is to know. */
export interface Readiness {
  readonly ready: boolean;
  readonly reason: string | null;
}

/** What HTTP needs of the rest. */
export interface HttpParts extends ApiParts {
  readonly bodyBytesMax: number;
  /** Asked by load balancers through `/readyz`. */
  readonly readiness: () => Readiness;
  readonly page: Page;
  readonly metrics: Pick<Metrics, "contentType" | "expose" | "httpDone">;
  readonly log: Log;
}

/** Answers one request; never rejects. */
export type HandleHttp = (request: Request) => Response | Promise<Response>;

/** The HTTP side of one server. */
export function createHttp(parts: HttpParts): HandleHttp {
  const app = new Hono();
  app.use(observe(parts));
  app.use(
    bodyLimit({
      maxSize: parts.bodyBytesMax,
      onError: () => {
        throw new AppError("too_large", `the body is over ${parts.bodyBytesMax} bytes`);
      },
    }),
  );
  app.onError((thrown, c) => answerError(thrown, c, parts.log));
  app.notFound((c) => errorResponse(noSuchRoute(c.req.method, c.req.path)));
  addOperationalRoutes(app, parts);
  app.route("/", createApi(parts));
  app.get("*", (c) => parts.page.respond(c.req.raw, c.req.path) ?? missingPage(c, parts.page));
  return (request) => app.fetch(request);
}

function observe({ metrics, log }: HttpParts) {
  return async (c: Context, next: () => Promise<void>): Promise<void> => {
    const startedAt = performance.now();
    await next();
    const ms = performance.now() - startedAt;
    // Patterns, not paths: their number is fixed.
    const route = routePath(c);
    metrics.httpDone(route, c.res.status, ms);
    log.debug({ method: c.req.method, route, status: c.res.status, ms: Math.round(ms) }, "http request");
  };
}

function answerError(thrown: unknown, c: Context, log: Log): Response {
  // The framework's own refusals (unreadable JSON, wrong content type) are the request's fault.
  const known = thrown instanceof HTTPException && thrown.status < 500;
  const error = known ? new AppError("bad_request", thrown.message) : toAppError(thrown);
  if (statusOf(error) === 500) log.error({ err: error.cause ?? error, route: routePath(c) }, "http request failed");
  return errorResponse(error);
}

function addOperationalRoutes(app: Hono, { readiness, metrics }: HttpParts): void {
  app.get("/healthz", (c) => c.json({ ok: true }));
  app.get("/readyz", (c) => {
    const { ready, reason } = readiness();
    return c.json({ ready, reason }, ready ? 200 : 503);
  });
  app.get("/metrics", async (c) => c.body(await metrics.expose(), 200, { "content-type": metrics.contentType }));
}

function missingPage(c: Context, page: Page): Response {
  if (c.req.path !== "/" || page.fileCount > 0) return errorResponse(noSuchRoute(c.req.method, c.req.path));
  return c.text("Parley is running. Its web page is not built: npm run build\n");
}
