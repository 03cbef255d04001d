// Where the keys that check tokens come from: a shared secret, a JWK set in a file, or one at an address.
// While the address does not answer, the keys that are known go on.
import { createLocalJWKSet, errors } from "jose";
import type { CryptoKey, FlattenedJWSInput, JSONWebKeySet, JWSHeaderParameters } from "jose";
import type { Config } from "../lib/settings";

/** The algorithm that tokens are pinned to, and the key of one token. */
export interface TokenKeys {
  readonly algorithm: NonNullable<Config["auth"]["algorithm"]>;
  /** Rejects with {@link KeysUnavailable} where asking again may help, with an error of jose where it will not. */
  find(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey>;
}

/** The keys cannot be fetched and the one asked for is not known; asking again later may help. */
export class KeysUnavailable extends Error {}

/** Keys by shared secret: HS256. */
export async function secretKeys(secret: string): Promise<TokenKeys> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", new TextEncoder().encode(secret), algorithm, false, ["verify"]);
  return { algorithm: "HS256", find: () => Promise.resolve(key) };
}

/**
 * Keys of a JWK set at hand. Rejects with an error that says what is wrong with it.
 * @param text the set as JSON
 */
export function fixedKeys(algorithm: TokenKeys["algorithm"], text: string): TokenKeys {
  const find = createLocalJWKSet(JSON.parse(text) as JSONWebKeySet);
  return { algorithm, find };
}

/** How often and how patiently a JWK set is fetched. */
export interface RemoteKeysOptions {
  /** A set older than this is fetched anew in the background, milliseconds. */
  readonly refreshMs: number;
  /** Least time between two fetches for keys that the set does not hold, milliseconds. */
  readonly cooldownMs: number;
  /** Longest wait for one fetch, milliseconds. */
  readonly timeoutMs: number;
  /** Milliseconds that never step back. */
  readonly monotonic: () => number;
  /** Told of every fetch that failed. */
  readonly onFailure: (error: unknown) => void;
}

/** Largest JWK set that is read. */
const setBytesMax = 1024 * 1024;

/**
 * Keys of a JWK set at an address, fetched when first needed, refreshed in the background, and at once for an unknown key
 * (rotation), though not more often than the cool-down allows. One fetch at a time, whoever waits for it.
 */
export class RemoteKeys implements TokenKeys {
  readonly algorithm: TokenKeys["algorithm"];
  readonly #url: string;
  readonly #options: RemoteKeysOptions;
  #find: ReturnType<typeof createLocalJWKSet> | null = null;
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #attemptedAt = Number.NEGATIVE_INFINITY;
  #lastFailed = false;
  #fetching: Promise<void> | null = null;

  constructor(algorithm: TokenKeys["algorithm"], url: string, options: RemoteKeysOptions) {
    this.algorithm = algorithm;
    this.#url = url;
    this.#options = options;
  }

  async find(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey> {
    if (this.#find === null) await this.#fetchUnlessJustTried();
    else this.#refreshWhenOld();
    try {
      return await this.#known()(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await this.#fetchUnlessJustTried();
      return this.#known()(header, token).catch((again: unknown) => this.#explain(again));
    }
  }

  #known(): ReturnType<typeof createLocalJWKSet> {
    if (this.#find === null) throw new KeysUnavailable("the JWK set has not been fetched yet");
    return this.#find;
  }

  /** A key that is missing from an old set may be in the one we could not fetch: that is not the token's fault. */
  #explain(error: unknown): never {
    if (this.#lastFailed && error instanceof errors.JWKSNoMatchingKey) {
      throw new KeysUnavailable("the JWK set could not be fetched anew");
    }
    throw error;
  }

  #refreshWhenOld(): void {
    const { monotonic, refreshMs } = this.#options;
    if (monotonic() - this.#fetchedAt > refreshMs) void this.#fetchUnlessJustTried();
  }

  /** Never rejects: what became of the fetch shows in the set. */
  #fetchUnlessJustTried(): Promise<void> {
    if (this.#fetching !== null) return this.#fetching;
    const { monotonic, cooldownMs } = this.#options;
    if (monotonic() - this.#attemptedAt < cooldownMs) return Promise.resolve();
    this.#attemptedAt = monotonic();
    this.#fetching = this.#fetch().finally(() => {
      this.#fetching = null;
    });
    return this.#fetching;
  }

  async #fetch(): Promise<void> {
    const { monotonic, timeoutMs, onFailure } = this.#options;
    try {
      const response = await fetch(this.#url, { redirect: "error", signal: AbortSignal.timeout(timeoutMs) });
      if (!response.ok) throw new Error(`HTTP status ${response.status}`);
      this.#find = createLocalJWKSet(JSON.parse(await readBounded(response)) as JSONWebKeySet);
      this.#fetchedAt = monotonic();
      this.#lastFailed = false;
    } catch (error) {
      this.#lastFailed = true;
      onFailure(error);
    }
  }
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > setBytesMax) throw new Error(`the JWK set is over ${setBytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
