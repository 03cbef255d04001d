// Keeps the present token and knows when the provider may be asked for another: when there is none, when it is about to
// expire, or when the server refused it. Owned by Connection.

/** Below this much life left, a token is not worth a sign-in. */
const expiryMarginMs = 30_000;

/** The present token and when to ask for another. */
export class TokenSource {
  readonly #provider: () => Promise<string | null>;
  readonly #now: () => number;
  #token: string | null = null;
  /** On this device's clock. */
  #expiresAt: number | null = null;
  #asking: Promise<string | null> | null = null;
  /** Counts sign-outs. */
  #life = 0;

  constructor(provider: () => Promise<string | null>, now: () => number) {
    this.#provider = provider;
    this.#now = now;
  }

  /** The present token, or a fresh one where it is missing, refused or about to expire. Null: signed out. */
  async current(): Promise<string | null> {
    const usable = this.#token !== null && (this.#expiresAt === null || this.#expiresAt - this.#now() > expiryMarginMs);
    return usable ? this.#token : this.fresh();
  }

  /** Asks the provider, once at a time: whoever asks meanwhile gets the same answer. Rejects when the provider does. */
  fresh(): Promise<string | null> {
    if (this.#asking) return this.#asking;
    const asking = this.#ask(this.#life).finally(() => {
      if (this.#asking === asking) this.#asking = null;
    });
    this.#asking = asking;
    return asking;
  }

  /** What the server said of the present token; null where it does not expire. */
  expires(at: number | null): void {
    this.#expiresAt = at;
  }

  /** Forgets `token` if it is still the present one. */
  refuse(token: string): void {
    if (this.#token === token) this.#token = null;
  }

  /** Forgets the token, and what the provider is about to answer: it may be somebody else's by then. */
  clear(): void {
    this.#life++;
    this.#asking = null;
    this.#token = null;
    this.#expiresAt = null;
  }

  async #ask(life: number): Promise<string | null> {
    const token: unknown = await this.#provider();
    if (token !== null && typeof token !== "string") throw new TypeError("the token provider answers a string or null");
    if (life !== this.#life) return token;
    this.#token = token;
    this.#expiresAt = null;
    return token;
  }
}
