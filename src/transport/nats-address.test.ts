import { describe, expect, test } from "bun:test";
import { loadConfig, maskConfig } from "../lib/config";
import { addressOptions, serversOf } from "./nats-address";
import type { NatsSettings } from "./nats-address";

const bare: NatsSettings = {
  nats: null,
  natsPrefix: "parley",
  natsCredentials: null,
  natsTlsCa: null,
  natsTlsCert: null,
  natsTlsKey: null,
};

function loaded(environment: Record<string, string>) {
  return loadConfig({ environment, file: null });
}

describe("addresses of NATS", () => {
  test("servers are named without scheme and password, in their order", () => {
    expect(serversOf("nats://a:b@one:4222, tls://a:b@[::1]:4223,nats://two")).toEqual([
      "one:4222",
      "[::1]:4223",
      "two",
    ]);
  });

  test("a name with a password is a user, a name alone a token, and escapes are undone", async () => {
    expect(await addressOptions({ ...bare, nats: "nats://me:p%40s@one,nats://me:p%40s@two" })).toEqual({
      servers: ["one", "two"],
      user: "me",
      pass: "p@s",
    });
    expect(await addressOptions({ ...bare, nats: "nats://t%20k@one" })).toEqual({ servers: ["one"], token: "t k" });
    expect(await addressOptions({ ...bare, nats: "nats://me:50%@one" })).toMatchObject({ pass: "50%" });
    expect(await addressOptions({ ...bare, nats: "nats://one" })).toEqual({ servers: ["one"] });
  });

  test("TLS is asked for by an address or by a certificate", async () => {
    expect(await addressOptions({ ...bare, nats: "nats://one,tls://two" })).toMatchObject({ tls: {} });
  });

  test.each([
    "http://one",
    "one:4222",
    "nats://",
    "nats://one/path",
    "nats://one?x=1",
    "nats://one,",
    "nats://a:b@one,nats://a:c@two",
    "nats://one,nats://a:b@two",
    "nats://one,,two",
    "nats://one,http://two",
    "one,nats://two",
    "nats://one:x",
  ])("%s is no such address", (text) => {
    const result = loaded({ PARLEY_NATS: text });
    expect(result.ok ? "taken" : result.problem).toMatch(/^PARLEY_NATS: given a hidden text/);
  });

  test.each(["nats://one", "nats://me:p@one:4222,two:4222, three", "tls://t@one,nats://t@two", "nats://[::1]:4222"])(
    "%s is taken",
    (text) => {
      expect(loaded({ PARLEY_NATS: text }).ok).toBe(true);
    },
  );

  test("what is shown of them has no password and no token", () => {
    const shown = (nats: string): unknown => {
      const result = loaded({ PARLEY_NATS: nats });
      return result.ok ? maskConfig(result.config).nats : result.problem;
    };
    expect(shown("nats://me:secret@one:1, tls://me:secret@two")).toBe("nats://me:***@one:1, tls://me:***@two");
    expect(shown("nats://secret@one")).toBe("nats://***@one");
    expect(shown("nats://me:secret@one,me:secret@two,three:4222")).toBe("nats://me:***@one,me:***@two,three:4222");
    expect(shown("nats://one:4222")).toBe("nats://one:4222");
    const alone = loaded({});
    expect(alone.ok && maskConfig(alone.config).nats).toBeNull();
  });

  test("a certificate goes with its key, and credentials with no password", () => {
    const problem = (environment: Record<string, string>): string => {
      const result = loaded({ PARLEY_NATS: "nats://a:b@one", ...environment });
      return result.ok ? "taken" : result.problem;
    };
    expect(problem({ PARLEY_NATS_TLS_CERT: "c.pem" })).toBe(
      "PARLEY_NATS_TLS_CERT: given alone; allowed: natsTlsCert and natsTlsKey together",
    );
    expect(problem({ PARLEY_NATS_CREDENTIALS: "c" })).toBe(
      "PARLEY_NATS_CREDENTIALS: given with a password or token in PARLEY_NATS; allowed: one of them",
    );
    expect(problem({ PARLEY_NATS_PREFIX: "a.b" })).toContain("PARLEY_NATS_PREFIX");
  });
});
