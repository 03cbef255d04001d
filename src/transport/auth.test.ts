import { describe, expect, test } from "bun:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import type { CryptoKey } from "jose";
import { createTokenVerifier } from "./auth";
import { fixedKeys, RemoteKeys, secretKeys } from "./keys";
import type { RemoteKeysOptions, TokenKeys } from "./keys";

const secret = "a secret of at least thirty-two bytes";
const secretBytes = new TextEncoder().encode(secret);
const nowMs = 1_800_000_000_000;
const now = nowMs / 1000;
const rules = { issuer: null, audience: null, toleranceSeconds: 5 };

interface Claims {
  readonly sub?: string;
  readonly iat?: number;
  readonly exp?: number;
  readonly nbf?: number;
  readonly [name: string]: unknown;
}

function sign(claims: Claims, key: CryptoKey | Uint8Array = secretBytes, alg = "HS256", kid?: string): Promise<string> {
  const header = kid === undefined ? { alg } : { alg, kid };
  return new SignJWT({ sub: "alice", iat: now, ...claims }).setProtectedHeader(header).sign(key);
}

async function hs256(overrides: Partial<typeof rules> | { issuer: string; audience: string } = {}) {
  return createTokenVerifier(await secretKeys(secret), { ...rules, ...overrides }, () => nowMs);
}

/** A key pair and the JWK of its public half. */
async function keyPair(alg: string, kid: string) {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return { privateKey, publicKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
}

describe("a token signed with the secret", () => {
  test("proves its person, its issue and its end", async () => {
    const verify = await hs256();
    expect(await verify(await sign({ exp: now + 60 }))).toEqual({
      ok: true,
      user: "alice" as never,
      issuedAt: now,
      expiresAt: now + 60,
      operator: false,
    });
    expect(await verify(await sign({}))).toMatchObject({ ok: true, expiresAt: null });
  });

  test("carries the operator's claim only as true", async () => {
    const verify = await hs256();
    expect(await verify(await sign({ "parley:operator": true }))).toMatchObject({ operator: true });
    expect(await verify(await sign({ "parley:operator": "true" }))).toMatchObject({ operator: false });
  });

  test("is refused once it has expired, beyond the tolerance", async () => {
    const verify = await hs256();
    expect(await verify(await sign({ iat: now - 99, exp: now - 4 }))).toMatchObject({ ok: true });
    expect(await verify(await sign({ iat: now - 99, exp: now - 6 }))).toMatchObject({
      ok: false,
      code: "token_expired",
    });
  });

  const bad: Readonly<Record<string, Claims>> = {
    "before its time": { nbf: now + 60 },
    "without an issue time": { iat: undefined as never },
    "issued in the future": { iat: now + 60 },
    "issued before all time": { iat: -5 },
    "without a subject": { sub: undefined as never },
    "of a subject that is no user id": { sub: "two words" },
    "of a reserved subject": { sub: "parley:system" },
    "of an over-long subject": { sub: "x".repeat(129) },
  };
  for (const [what, claims] of Object.entries(bad)) {
    test(`is refused ${what}`, async () => {
      const verify = await hs256();
      expect(await verify(await sign(claims))).toMatchObject({ ok: false, code: "bad_token" });
    });
  }

  test("is refused with another secret, a changed payload, or as no token at all", async () => {
    const verify = await hs256();
    const [header, , signature] = (await sign({})).split(".");
    const payload = Buffer.from(JSON.stringify({ sub: "mallory", iat: now })).toString("base64url");
    const tokens = [
      await sign({}, new TextEncoder().encode(`${secret}?`)),
      `${header}.${payload}.${signature}`,
      "",
      "a.b.c",
      "....",
      `{"alg":"none"}`,
      "x".repeat(9000),
    ];
    for (const token of tokens) expect(await verify(token)).toMatchObject({ ok: false, code: "bad_token" });
  });

  test("must come from the configured issuer, for the configured audience", async () => {
    const verify = await hs256({ issuer: "https://id.example", audience: "chat" });
    const good = { iss: "https://id.example", aud: ["mail", "chat"] };
    expect(await verify(await sign(good))).toMatchObject({ ok: true });
    for (const claims of [{}, { ...good, iss: "https://evil.example" }, { ...good, aud: "mail" }]) {
      expect(await verify(await sign(claims))).toMatchObject({ ok: false, code: "bad_token" });
    }
  });
});

describe("the algorithm is pinned", () => {
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

  test("none is refused, whatever its spelling", async () => {
    const verify = await hs256();
    for (const alg of ["none", "None", "NONE", ""]) {
      const token = `${encode({ alg })}.${encode({ sub: "alice", iat: now })}.`;
      expect(await verify(token)).toMatchObject({ ok: false, code: "bad_token" });
    }
  });

  test("a public key used as an HMAC secret is refused", async () => {
    const { jwk } = await keyPair("RS256", "k");
    const verify = createTokenVerifier(fixedKeys("RS256", JSON.stringify({ keys: [jwk] })), rules, () => nowMs);
    const forged = await sign({}, new TextEncoder().encode(JSON.stringify(jwk)), "HS256", "k");
    expect(await verify(forged)).toMatchObject({ ok: false, code: "bad_token" });
  });

  test("a stronger variant of the same family is refused too", async () => {
    const verify = await hs256();
    expect(await verify(await sign({}, secretBytes, "HS512"))).toMatchObject({ ok: false, code: "bad_token" });
  });

  test("a key in the token's own header is not looked at", async () => {
    const { privateKey, jwk } = await keyPair("ES256", "mine");
    const { jwk: known } = await keyPair("ES256", "known");
    const verify = createTokenVerifier(fixedKeys("ES256", JSON.stringify({ keys: [known] })), rules, () => nowMs);
    const token = await new SignJWT({ sub: "alice", iat: now })
      .setProtectedHeader({ alg: "ES256", jwk, jku: "http://127.0.0.1:1/keys" })
      .sign(privateKey);
    expect(await verify(token)).toMatchObject({ ok: false, code: "bad_token" });
  });

  for (const alg of ["RS256", "ES256", "EdDSA"] as const) {
    test(`${alg} verifies by the key of its set and refuses every other`, async () => {
      const [ours, theirs] = [await keyPair(alg, "k"), await keyPair(alg, "k")];
      const verify = createTokenVerifier(fixedKeys(alg, JSON.stringify({ keys: [ours.jwk] })), rules, () => nowMs);
      expect(await verify(await sign({}, ours.privateKey, alg, "k"))).toMatchObject({ ok: true });
      expect(await verify(await sign({}, theirs.privateKey, alg, "k"))).toMatchObject({ code: "bad_token" });
      expect(await verify(await sign({}, secretBytes, "HS256", "k"))).toMatchObject({ code: "bad_token" });
    });
  }
});

/** A JWK set on a real socket whose content and health the test decides. */
class KeyHost implements Disposable {
  keys: readonly object[] = [];
  status = 200;
  requests = 0;
  monotonicMs = 0;
  readonly failures: unknown[] = [];
  readonly #server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => {
      this.requests += 1;
      return Response.json({ keys: this.keys }, { status: this.status });
    },
  });

  open(alg: TokenKeys["algorithm"], options: Partial<RemoteKeysOptions> = {}) {
    const keys = new RemoteKeys(alg, `http://127.0.0.1:${this.#server.port}/keys`, {
      refreshMs: 600_000,
      cooldownMs: 1000,
      timeoutMs: 5000,
      monotonic: () => this.monotonicMs,
      onFailure: (error) => this.failures.push(error),
      ...options,
    });
    return createTokenVerifier(keys, rules, () => nowMs);
  }

  [Symbol.dispose](): void {
    void this.#server.stop(true);
  }
}

describe("keys at an address", () => {
  test("are fetched once for everybody who waits", async () => {
    using host = new KeyHost();
    const pair = await keyPair("ES256", "k");
    host.keys = [pair.jwk];
    const verify = host.open("ES256");
    const token = await sign({}, pair.privateKey, "ES256", "k");
    const results = await Promise.all(Array.from({ length: 20 }, () => verify(token)));
    expect(results.every((result) => result.ok)).toBe(true);
    expect(host.requests).toBe(1);
  });

  test("that rotate are found, though a made-up key id does not ask again within the cool-down", async () => {
    using host = new KeyHost();
    const [before, after] = [await keyPair("ES256", "before"), await keyPair("ES256", "after")];
    host.keys = [before.jwk];
    const verify = host.open("ES256");
    expect(await verify(await sign({}, before.privateKey, "ES256", "before"))).toMatchObject({ ok: true });

    host.keys = [after.jwk];
    const token = await sign({}, after.privateKey, "ES256", "after");
    expect(await verify(token)).toMatchObject({ ok: false, code: "bad_token" });
    expect(host.requests).toBe(1);
    host.monotonicMs += 1001;
    expect(await verify(token)).toMatchObject({ ok: true });
    expect(await verify(await sign({}, before.privateKey, "ES256", "before"))).toMatchObject({ code: "bad_token" });
    expect(host.requests).toBe(2);
  });

  test("that are known go on while the address is down; those that are not are worth asking again", async () => {
    using host = new KeyHost();
    const [known, other] = [await keyPair("EdDSA", "known"), await keyPair("EdDSA", "other")];
    host.keys = [known.jwk];
    const verify = host.open("EdDSA");
    const token = await sign({}, known.privateKey, "EdDSA", "known");
    expect(await verify(token)).toMatchObject({ ok: true });

    host.status = 500;
    host.monotonicMs += 3_600_000;
    expect(await verify(token)).toMatchObject({ ok: true });
    const unknown = await sign({}, other.privateKey, "EdDSA", "other");
    expect(await verify(unknown)).toMatchObject({ ok: false, code: "auth_unavailable" });
    expect(host.failures.length).toBeGreaterThan(0);
    expect(await verify(token)).toMatchObject({ ok: true });
  });

  test("that were never fetched make every token retryable until they are", async () => {
    using host = new KeyHost();
    const pair = await keyPair("RS256", "k");
    const token = await sign({}, pair.privateKey, "RS256", "k");
    host.status = 503;
    const verify = host.open("RS256");
    expect(await verify(token)).toMatchObject({ ok: false, code: "auth_unavailable" });
    expect(await verify(token)).toMatchObject({ ok: false, code: "auth_unavailable" });
    expect(host.requests).toBe(1);

    host.status = 200;
    host.keys = [pair.jwk];
    host.monotonicMs += 1001;
    expect(await verify(token)).toMatchObject({ ok: true });
  });
});
