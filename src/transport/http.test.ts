import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "../lib/errors";
import { createLog } from "../lib/log";
import { createMetrics } from "../lib/metrics";
import type { UserId } from "../protocol/ids";
import { createTokenVerifier } from "./auth";
import { createHttp } from "./http";
import type { HttpParts } from "./http";
import { secretKeys } from "./keys";
import { createOperatorCheck } from "./operators";
import { openPage } from "./static";
import { signToken } from "./tokens";

const adminSecret = "the-secret-of-operators-in-these-tests";
const tokenSecret = "the tokens' secret, at least thirty-two bytes";

/** A real HTTP server over parts that a test can look into. */
class HttpWorld implements AsyncDisposable {
  readonly asked: unknown[] = [];
  readonly logged: string[] = [];
  answer: (message: unknown) => unknown = () => ({ created: true });
  ready = true;
  readonly #server: Bun.Server<undefined>;

  private constructor(make: (world: HttpWorld) => HttpParts) {
    const handle = createHttp(make(this));
    this.#server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: handle });
  }

  static async open(overrides: Partial<HttpParts> = {}, folder = "/nowhere"): Promise<HttpWorld> {
    const page = await openPage(folder);
    const rules = { issuer: null, audience: null, toleranceSeconds: 5 };
    const verify = createTokenVerifier(await secretKeys(tokenSecret), rules);
    return new HttpWorld((world) => ({
      router: {
        ask: async (kind, key, message) => {
          world.asked.push([kind, key, message]);
          return world.answer(message);
        },
      },
      checkOperator: createOperatorCheck(adminSecret, verify),
      demoSecret: null,
      version: "1.2.3",
      nodes: () => null,
      bodyBytesMax: 2048,
      readiness: () => ({ ready: world.ready, reason: world.ready ? null : "draining" }),
      page,
      metrics: createMetrics(),
      log: createLog({ logLevel: "debug", logFormat: "json" }, { write: (line) => void world.logged.push(line) }),
      ...overrides,
    }));
  }

  get host(): string {
    return `127.0.0.1:${this.#server.port}`;
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`http://${this.host}${path}`, init);
  }

  /** As the operator. */
  operate(method: string, path: string, body?: unknown): Promise<Response> {
    const headers: Record<string, string> = { authorization: `Bearer ${adminSecret}` };
    if (body !== undefined) headers["content-type"] = "application/json";
    return this.fetch(path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}

async function codeOf(response: Response): Promise<readonly [number, string]> {
  const { error } = (await response.json()) as { readonly error: { readonly code: string } };
  return [response.status, error.code];
}

describe("operations", () => {
  test("health always answers, readiness says why not", async () => {
    await using world = await HttpWorld.open();
    expect(await (await world.fetch("/healthz")).json()).toEqual({ ok: true });
    expect((await world.fetch("/readyz")).status).toBe(200);
    world.ready = false;
    const response = await world.fetch("/readyz");
    expect([response.status, await response.json()]).toEqual([503, { ready: false, reason: "draining" }]);
  });

  test("metrics count requests by route, not by path", async () => {
    await using world = await HttpWorld.open();
    await world.operate("PUT", "/v1/users/alice");
    await world.operate("PUT", "/v1/users/bob");
    for (const path of ["/healthz", "/v1/about", "/index.css"]) await world.fetch(path);
    const text = await (await world.fetch("/metrics")).text();
    expect(text).toContain(`parley_http_request_seconds_count{route="/v1/users/:id",status="200"} 2`);
    expect(text).toContain(`parley_http_request_seconds_count{route="/healthz",status="200"} 1`);
    expect(text).toContain(`parley_http_request_seconds_count{route="/v1/about",status="200"} 1`);
    expect(text).toContain(`parley_http_request_seconds_count{route="/*",status="404"} 1`);
    expect(text).not.toContain("alice");
  });

  test("an unknown route is one envelope, as every error", async () => {
    await using world = await HttpWorld.open();
    const response = await world.fetch("/v2/nothing", { method: "POST" });
    expect([response.status, await response.json()]).toEqual([
      404,
      {
        error: {
          code: "unknown_operation",
          message: "there is no POST /v2/nothing",
          outcome: "final",
          retryAfterMs: null,
          details: null,
        },
      },
    ]);
  });
});

describe("the server API", () => {
  test("makes a person exist", async () => {
    await using world = await HttpWorld.open();
    const response = await world.operate("PUT", "/v1/users/alice%40example.com");
    expect([response.status, await response.json()]).toEqual([200, { user: "alice@example.com", created: true }]);
    expect(world.asked).toEqual([["user", "alice@example.com", { op: "ensure" }]]);
  });

  test("signs out one device or all of them", async () => {
    await using world = await HttpWorld.open();
    world.answer = () => undefined;
    const statuses = [
      (await world.operate("POST", "/v1/users/alice/sign-out")).status,
      (await world.operate("POST", "/v1/users/alice/sign-out", { device: "phone" })).status,
      (await world.operate("POST", "/v1/users/alice/sign-out", { device: null })).status,
    ];
    expect(statuses).toEqual([204, 204, 204]);
    expect(world.asked.map((asked) => (asked as unknown[])[2])).toEqual([
      { op: "signOut", device: null },
      { op: "signOut", device: "phone" },
      { op: "signOut", device: null },
    ]);
  });

  test("refuses whoever is no operator, and asks nobody", async () => {
    await using world = await HttpWorld.open();
    const plain = await signToken(tokenSecret, "alice" as UserId, { seconds: 60 });
    const refused: readonly (readonly [string | null, number, string])[] = [
      [null, 401, "not_signed_in"],
      ["Basic YTpi", 401, "not_signed_in"],
      [`Bearer ${adminSecret}x`, 401, "bad_token"],
      [`Bearer ${plain}`, 403, "forbidden"],
    ];
    for (const [authorization, status, code] of refused) {
      for (const [method, path] of [
        ["PUT", "/v1/users/bob"],
        ["POST", "/v1/users/bob/sign-out"],
      ] as const) {
        const headers: HeadersInit = authorization === null ? {} : { authorization };
        expect(await codeOf(await world.fetch(path, { method, headers }))).toEqual([status, code]);
      }
    }
    expect(world.asked).toEqual([]);
  });

  test("takes a token with the operator's claim", async () => {
    await using world = await HttpWorld.open();
    const token = await signToken(tokenSecret, "root" as UserId, { seconds: 60, operator: true });
    const response = await world.fetch("/v1/users/bob", {
      method: "PUT",
      headers: { authorization: `Bearer ${token}` },
    });
    expect(response.status).toBe(200);
  });

  test("refuses what is no user id, no device, no JSON, or too large", async () => {
    await using world = await HttpWorld.open();
    expect(await codeOf(await world.operate("PUT", "/v1/users/two%20words"))).toEqual([400, "bad_request"]);
    expect(await codeOf(await world.operate("PUT", "/v1/users/parley:system"))).toEqual([400, "bad_request"]);
    const signOut = "/v1/users/bob/sign-out";
    expect(await codeOf(await world.operate("POST", signOut, { device: "" }))).toEqual([400, "bad_request"]);
    expect(await codeOf(await world.operate("POST", signOut, { devise: "phone" }))).toEqual([400, "bad_request"]);
    const headers = { authorization: `Bearer ${adminSecret}`, "content-type": "application/json" };
    const broken = await world.fetch(signOut, { method: "POST", headers, body: "{" });
    expect(await codeOf(broken)).toEqual([400, "bad_request"]);
    const form = { ...headers, "content-type": "text/plain" };
    expect(
      await codeOf(await world.fetch(signOut, { method: "POST", headers: form, body: `{"device":"phone"}` })),
    ).toEqual([400, "bad_request"]);
    const large = await world.operate("POST", signOut, { device: "x".repeat(4000) });
    expect(await codeOf(large)).toEqual([413, "too_large"]);
    expect(world.asked).toEqual([]);
  });

  test("passes on what the actor answers, with the time to wait", async () => {
    await using world = await HttpWorld.open();
    world.answer = () => {
      throw new AppError("overloaded", undefined, { retryAfterMs: 1500 });
    };
    const response = await world.operate("PUT", "/v1/users/bob");
    expect([response.headers.get("retry-after"), ...(await codeOf(response))]).toEqual(["2", 503, "overloaded"]);
  });

  test("hides a fault from the caller and shows it to the log", async () => {
    await using world = await HttpWorld.open();
    world.answer = () => {
      throw new Error("the pump is dry");
    };
    const response = await world.operate("PUT", "/v1/users/bob");
    const text = await response.text();
    expect([response.status, text.includes("pump"), text.includes(`"internal"`)]).toEqual([500, false, true]);
    expect(world.logged.some((line) => line.includes("the pump is dry"))).toBe(true);
    expect(world.logged.join("")).not.toContain(adminSecret);
  });

  test("shows the nodes of the cluster to operators, and has one drained", async () => {
    const drained: string[] = [];
    const nodes = {
      ...{ self: "one", unclaimed: 2 },
      list: async () => [{ id: "one", claims: 254, report: null }],
      drain: async (id: string) => {
        drained.push(id);
        return "one";
      },
    };
    await using world = await HttpWorld.open({ nodes: () => nodes });
    expect(await (await world.operate("GET", "/v1/nodes")).json()).toEqual({
      ...{ self: "one", unclaimed: 2, nodes: [{ id: "one", claims: 254, report: null }] },
    });
    const answer = await world.operate("POST", "/v1/nodes/host%2Fnode-1/drain");
    expect([answer.status, await answer.json(), drained]).toEqual([202, { id: "one" }, ["host/node-1"]]);
    expect(await codeOf(await world.fetch("/v1/nodes"))).toEqual([401, "not_signed_in"]);
    expect(await codeOf(await world.fetch("/v1/nodes/one/drain", { method: "POST" }))).toEqual([401, "not_signed_in"]);
    expect(drained).toHaveLength(1);
  });

  test("says of a server that is alone that it has no nodes", async () => {
    await using world = await HttpWorld.open();
    expect(await codeOf(await world.operate("GET", "/v1/nodes"))).toEqual([400, "not_supported"]);
  });

  test("describes itself in OpenAPI", async () => {
    await using world = await HttpWorld.open();
    const document = (await (await world.fetch("/v1/openapi.json")).json()) as { openapi: string; paths: object };
    expect(document.openapi).toBe("3.1.0");
    expect(Object.keys(document.paths).sort()).toEqual([
      "/v1/about",
      "/v1/demo/token",
      "/v1/nodes",
      "/v1/nodes/{id}/drain",
      "/v1/users/{id}",
      "/v1/users/{id}/sign-out",
    ]);
  });
});

describe("demo sign-in", () => {
  const init = (headers: Record<string, string> = {}): RequestInit => ({
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ user: "alice" }),
  });

  test("is off where a key is configured, and the page can tell", async () => {
    await using world = await HttpWorld.open();
    expect(await (await world.fetch("/v1/about")).json()).toMatchObject({ demo: false, version: "1.2.3" });
    expect(await codeOf(await world.fetch("/v1/demo/token", init()))).toEqual([403, "forbidden"]);
  });

  test("answers a token that signs the person in", async () => {
    await using world = await HttpWorld.open({ demoSecret: tokenSecret });
    expect(await (await world.fetch("/v1/about")).json()).toMatchObject({ demo: true });
    const response = await world.fetch("/v1/demo/token", init({ origin: `http://${world.host}` }));
    const { token } = (await response.json()) as { readonly token: string };
    const rules = { issuer: null, audience: null, toleranceSeconds: 5 };
    const verify = createTokenVerifier(await secretKeys(tokenSecret), rules);
    expect(await verify(token)).toMatchObject({ ok: true, user: "alice", operator: false });
  });

  test("is refused to other pages and to names that only point here", async () => {
    await using world = await HttpWorld.open({ demoSecret: tokenSecret });
    for (const headers of [{ origin: "https://evil.example" }, { origin: "null" }, { host: "rebound.example" }]) {
      expect(await codeOf(await world.fetch("/v1/demo/token", init(headers)))).toEqual([403, "forbidden"]);
    }
  });
});

describe("the page", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "parley-page-"));
    await mkdir(join(folder, "fonts"));
    await writeFile(join(folder, "index.html"), "<!doctype html><title>page</title>");
    await writeFile(join(folder, "app.js"), "export {};");
    await writeFile(join(folder, "fonts", "a.woff2"), "font");
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("is served with its types under a strict policy", async () => {
    await using world = await HttpWorld.open({}, folder);
    const index = await world.fetch("/");
    expect([index.status, index.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    const policy = index.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain(`connect-src 'self' ws://${world.host} wss://${world.host};`);
    expect(policy).not.toContain("unsafe");
    expect((await world.fetch("/app.js")).headers.get("content-type")).toBe("text/javascript; charset=utf-8");
    expect((await world.fetch("/fonts/a.woff2")).headers.get("content-type")).toBe("font/woff2");
  });

  test("is not sent again to a browser that has it", async () => {
    await using world = await HttpWorld.open({}, folder);
    const etag = (await world.fetch("/app.js")).headers.get("etag") ?? "";
    const again = await world.fetch("/app.js", { headers: { "if-none-match": etag } });
    expect([again.status, await again.text()]).toEqual([304, ""]);
  });

  test("gives nothing outside its folder", async () => {
    await using world = await HttpWorld.open({}, folder);
    for (const path of ["/../package.json", "/%2e%2e/package.json", "/fonts", "/app.js/", "/..%2fetc/passwd"]) {
      expect((await world.fetch(path)).status).toBe(404);
    }
  });

  test("says how to build it where it is missing", async () => {
    await using world = await HttpWorld.open();
    expect(await (await world.fetch("/")).text()).toContain("npm run build");
  });
});
