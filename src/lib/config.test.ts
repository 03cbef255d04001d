import { describe, expect, test } from "bun:test";
import { hasSigningKey, listSettings, loadConfig, maskConfig, maskPassword } from "./config";
import type { Config } from "./settings";

const secret = "a secret of at least thirty-two bytes";

function load(environment: Record<string, string>, text?: string) {
  return loadConfig({ environment, file: text === undefined ? null : { name: "parley.json", text } });
}

function configOf(environment: Record<string, string>, text?: string): Config {
  const loaded = load(environment, text);
  if (!loaded.ok) throw new Error(loaded.problem);
  return loaded.config;
}

function problemOf(environment: Record<string, string>, text?: string): string {
  const loaded = load(environment, text);
  return loaded.ok ? "" : loaded.problem;
}

describe("sources", () => {
  test("nothing given is a server on loopback with its data in ./data", () => {
    const { host, port, dataDir, store } = configOf({});
    expect({ host, port, dataDir, store }).toEqual({
      host: "127.0.0.1",
      port: 7700,
      dataDir: "./data",
      store: "sqlite",
    });
  });

  test("the environment wins over the file, the file over the defaults", () => {
    const file = `{"port": 1, "host": "localhost", "connections": {"max": 7, "perUser": 3}}`;
    const config = configOf({ PARLEY_PORT: "2", PARLEY_CONNECTIONS_PER_USER: "4" }, file);
    expect([config.port, config.host, config.connections.max, config.connections.perUser]).toEqual([
      2,
      "localhost",
      7,
      4,
    ]);
    expect(config.connections.helloTimeoutMs).toBe(configOf({}).connections.helloTimeoutMs);
  });

  test("other variables are none of ours, and those of commands are no settings", () => {
    expect(load({ HOME: "/root", PARLEYX: "1", PARLEY_TOKEN: "t", PARLEY_URL: "u" }).ok).toBe(true);
  });

  test("lists and flags are read from text", () => {
    const config = configOf({
      PARLEY_ORIGINS: "https://a.example, https://b.example:8443",
      PARLEY_HTTP_TRUST_FORWARDED: "true",
    });
    expect(config.origins).toEqual(["https://a.example", "https://b.example:8443"]);
    expect(config.http.trustForwarded).toBe(true);
  });

  test("conversation types come from the file", () => {
    const config = configOf({}, `{"types": {"support": {"receipts": false, "membersMax": 5}}}`);
    expect(config.types).toEqual({ support: { receipts: false, membersMax: 5 } });
  });

  test("every setting has a default", () => {
    for (const { path, initial } of listSettings()) expect([path, initial]).not.toEqual([path, undefined]);
    expect(listSettings().length).toBeGreaterThan(30);
  });
});

/** Environment, file, and what is said of them. */
const wrong: readonly (readonly [Record<string, string>, string | undefined, string])[] = [
  [{ PARLEY_PORT: "abc" }, undefined, `PARLEY_PORT: given "abc"; allowed: a whole number from 0 to 65535`],
  [{ PARLEY_PORT: "65536" }, undefined, `PARLEY_PORT: given 65536; allowed: a whole number from 0 to 65535`],
  [{ PARLEY_PORT: "" }, undefined, `PARLEY_PORT: given ""; allowed: a whole number from 0 to 65535`],
  [{ PARLEY_PORT: "1e3" }, undefined, `PARLEY_PORT: given "1e3"; allowed: a whole number from 0 to 65535`],
  [
    { PARLEY_PROT: "1" },
    undefined,
    "PARLEY_PROT: unknown setting (given: 1 bytes); allowed: PARLEY_PORT, perhaps; `parley config` lists every setting",
  ],
  [
    { PARLEY_STORE: "mongo://x" },
    undefined,
    `PARLEY_STORE: given a hidden text of 9 bytes; allowed: sqlite, sqlite:PATH, mongodb://[USER:PASSWORD@]HOST[:PORT][,HOST…][/DATABASE][?OPTIONS], mongodb+srv://…`,
  ],
  [
    { PARLEY_CACHE: "redis" },
    undefined,
    "PARLEY_CACHE: given a hidden text of 5 bytes; allowed: memory, redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], rediss://…",
  ],
  [
    { PARLEY_LOG_LEVEL: "loud" },
    undefined,
    `PARLEY_LOG_LEVEL: given "loud"; allowed: trace, debug, info, warn, error, fatal, silent`,
  ],
  [
    { PARLEY_AUTH_SECRET: "hunter2" },
    undefined,
    "PARLEY_AUTH_SECRET: given a hidden text of 7 bytes; allowed: a text of at least 32 bytes",
  ],
  [
    { PARLEY_AUTH_ALGORITHM: "none" },
    undefined,
    `PARLEY_AUTH_ALGORITHM: given "none"; allowed: HS256, RS256, ES256, EdDSA`,
  ],
  [
    { PARLEY_AUTH_JWKS_URL: "http://keys.example" },
    undefined,
    `PARLEY_AUTH_JWKS_URL: given "http://keys.example"; allowed: an https:// address (http:// on loopback only)`,
  ],
  [
    { PARLEY_ORIGINS: "chat.example" },
    undefined,
    `PARLEY_ORIGINS: given ["chat.example"]; allowed: origins such as https://chat.example.com, separated by commas (a list in the file), or *`,
  ],
  [
    { PARLEY_HTTP_TRUST_FORWARDED: "yes" },
    undefined,
    `PARLEY_HTTP_TRUST_FORWARDED: given "yes"; allowed: true or false`,
  ],
  [
    {},
    `{"prot": 1}`,
    "parley.json: prot: unknown setting; allowed: port, perhaps; `parley config` lists every setting",
  ],
  [
    {},
    `{"auth": {"secrte": 1}}`,
    "parley.json: auth.secrte: unknown setting; allowed: auth.secret, perhaps; `parley config` lists every setting",
  ],
  [{}, `{"auth": 5}`, "parley.json: auth: given 5; allowed: an object of settings"],
  [{}, `{"port": "7700"}`, `parley.json: port: given "7700"; allowed: a whole number from 0 to 65535`],
  [
    {},
    `{"auth": {"secret": 5}}`,
    "parley.json: auth.secret: given a hidden number; allowed: a text of at least 32 bytes",
  ],
  [{}, "[]", "parley.json: holds []; allowed: a JSON object of settings"],
  [{}, `{"types": {"direct": {}}}`, "types.direct: given; allowed: every name but direct, whose rules are fixed"],
];

describe("one line says which, what was given, what is allowed", () => {
  for (const [environment, file, problem] of wrong) {
    test(problem, () => expect(problemOf(environment, file)).toBe(problem));
  }

  test("a file that is not JSON is named", () => {
    expect(problemOf({}, "port = 1")).toMatch(/^parley\.json: is not JSON \(.*\); allowed: a JSON object of settings$/);
  });

  test("a type with an impossible limit says what types look like", () => {
    expect(problemOf({}, `{"types": {"a": {"membersMax": 1}}}`)).toMatch(
      /^parley\.json: types\.a\.membersMax: given .*; allowed: an object of \{joinable, /,
    );
  });
});

describe("combinations", () => {
  test("two sources of keys are refused", () => {
    expect(problemOf({ PARLEY_AUTH_SECRET: secret, PARLEY_AUTH_JWKS_FILE: "keys.json" })).toBe(
      "PARLEY_AUTH_SECRET and PARLEY_AUTH_JWKS_FILE: given together; allowed: one source of keys",
    );
  });

  test("a secret goes with HS256 only", () => {
    expect(problemOf({ PARLEY_AUTH_SECRET: secret, PARLEY_AUTH_ALGORITHM: "RS256" })).toBe(
      `PARLEY_AUTH_ALGORITHM: given "RS256" with PARLEY_AUTH_SECRET; allowed: HS256 with a secret`,
    );
  });

  test("a JWK set needs its algorithm named, and not HS256", () => {
    const url = "https://id.example/keys";
    expect(problemOf({ PARLEY_AUTH_JWKS_URL: url })).toBe(
      "auth.algorithm: given null with PARLEY_AUTH_JWKS_URL; allowed: RS256, ES256, EdDSA with a JWK set",
    );
    expect(problemOf({ PARLEY_AUTH_JWKS_URL: url, PARLEY_AUTH_ALGORITHM: "HS256" })).toContain("allowed: RS256");
    expect(load({ PARLEY_AUTH_JWKS_URL: url, PARLEY_AUTH_ALGORITHM: "ES256" }).ok).toBe(true);
  });

  test("an algorithm without a key is refused", () => {
    expect(problemOf({ PARLEY_AUTH_ALGORITHM: "ES256" })).toContain("without a key");
  });
});

test("masking hides every secret and nothing else", () => {
  const config = configOf({ PARLEY_AUTH_SECRET: secret, PARLEY_ADMIN_SECRET: "x".repeat(32), PARLEY_PORT: "9" });
  const masked = maskConfig(config);
  expect(JSON.stringify(masked)).not.toMatch(/a secret of|xxxx/);
  expect([masked.auth.secret, masked.adminSecret, masked.port]).toEqual(["***", "***", 9]);
  expect(config.auth.secret).toBe(secret);
  expect([hasSigningKey(config), hasSigningKey(configOf({}))]).toEqual([true, false]);
});

test("an address of a cache is shown without its password, and taken only whole", () => {
  const shown = (address: string): string => maskConfig(configOf({ PARLEY_CACHE: address })).cache;
  expect(shown("memory")).toBe("memory");
  expect(shown("redis://cache.example:6380/2")).toBe("redis://cache.example:6380/2");
  expect(shown("rediss://parley:s3cr%40t@cache.example")).toBe("rediss://parley:***@cache.example");
  expect(shown("redis://:s3cret@[::1]:6379")).toBe("redis://:***@[::1]:6379");
  expect(maskPassword("mongodb://a:odd@pass:word@one,two/db")).toBe("mongodb://a:***@one,two/db");
  const options =
    "tls=true&tlsCertificateKeyFilePassword=s3cr%40t&authMechanismProperties=AWS_SESSION_TOKEN:s3cret&w=1";
  expect(maskPassword(`mongodb://one/db?${options}`)).toBe(
    "mongodb://one/db?tls=true&tlsCertificateKeyFilePassword=***&authMechanismProperties=***&w=1",
  );
  const bad = ["redis:", "redis://", "http://host", "redis://host/name", "redis://host/0?family=6", "redis://host#1"];
  for (const address of bad) expect(problemOf({ PARLEY_CACHE: address })).toContain("allowed: memory, redis://");
});
