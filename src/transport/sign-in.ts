// Opens whatever the configuration says about signing in: keys of the operator, or the demo's secret on loopback.
import { readFile } from "node:fs/promises";
import { hasSigningKey } from "../lib/config";
import type { Log } from "../lib/log";
import { isLoopback } from "../lib/settings";
import type { Config } from "../lib/settings";
import { createTokenVerifier } from "./auth";
import type { VerifyToken } from "./auth";
import { demoSecret, offersDemo } from "./demo";
import { fixedKeys, RemoteKeys, secretKeys } from "./keys";
import type { TokenKeys } from "./keys";

/** How people sign in to one server. */
export interface SignIn {
  readonly verify: VerifyToken;
  /** The secret of demo sign-in; null where it is not offered. */
  readonly demoSecret: string | null;
}

const remoteKeyTimes = { refreshMs: 600_000, cooldownMs: 10_000, timeoutMs: 5_000 } as const;

/**
 * Rejects with a sentence for the operator where the keys cannot be read, and where anybody who reaches the port could sign
 * in as anybody: a host that is not loopback without a key.
 */
export async function openSignIn(config: Config, log: Log): Promise<SignIn> {
  if (!isLoopback(config.host) && !hasSigningKey(config)) throw new Error(openDoor(config.host));
  const demo = offersDemo(config) ? await demoSecret(config.dataDir) : null;
  const keys = demo === null ? await openKeys(config.auth, log) : await secretKeys(demo);
  return { verify: createTokenVerifier(keys, config.auth), demoSecret: demo };
}

function openDoor(host: string): string {
  return (
    `host is ${host}, which others can reach, and no signing key is configured: set PARLEY_AUTH_SECRET (32 bytes or more, ` +
    "the one your application signs with) or PARLEY_AUTH_JWKS_URL and PARLEY_AUTH_ALGORITHM, or listen on 127.0.0.1"
  );
}

async function openKeys(auth: Config["auth"], log: Log): Promise<TokenKeys> {
  const { secret, jwksUrl, jwksFile, algorithm } = auth;
  if (secret !== null) return secretKeys(secret);
  if (algorithm === null) throw new Error("auth.algorithm must be set with a JWK set");
  if (jwksUrl !== null) {
    const onFailure = (err: unknown): void => log.warn({ err }, "the JWK set could not be fetched; known keys go on");
    return new RemoteKeys(algorithm, jwksUrl, { ...remoteKeyTimes, monotonic: () => performance.now(), onFailure });
  }
  return readKeys(jwksFile ?? "", algorithm);
}

async function readKeys(file: string, algorithm: TokenKeys["algorithm"]): Promise<TokenKeys> {
  try {
    return fixedKeys(algorithm, await readFile(file, "utf8"));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`auth.jwksFile: ${file} cannot be used (${why}); allowed: a file with a JWK set`, { cause: error });
  }
}
