// The cache that nodes share, in Redis: each call is one pipeline on one connection, and every reply is checked and bounded.
// Keeps G10 by passing cache.case.ts: garbage under our keys is a miss and is removed; errors are counted, never thrown.
import { cacheLimits, checkKeys, seal, unseal } from "./cache";
import type { Addition, Cache, CacheEntry, CacheState, Place } from "./cache";
import { RedisLink } from "./redis-link";
import type { Answer, Command, RedisLinkOptions } from "./redis-link";

/** What a Redis cache is made of, beside its link. */
export interface RedisCacheOptions extends RedisLinkOptions {
  /** Begins every key, such as `parley:4f1c…`: the deployment and the generation of its data. */
  readonly namespace: string;
}

/** Replies that show another type, or no number, under a key of ours. */
const garbage = /^(WRONGTYPE|ERR value is not an integer|ERR increment or decrement would overflow)/;

/** See the head of this file. */
export class RedisCache implements Cache {
  readonly shared = true;
  readonly #link: RedisLink;
  readonly #options: RedisCacheOptions;

  constructor(options: RedisCacheOptions) {
    this.#options = options;
    this.#link = new RedisLink(options);
  }

  async get(keys: readonly string[]): Promise<readonly unknown[]> {
    checkKeys(keys);
    const last = cacheLimits.valueBytesMax; // one byte more than a value has: a longer one shows itself
    const answers = await this.#link.run(keys.map((key) => ["getrangeBuffer", this.#name(key), 0, last]));
    const wrong: string[] = [];
    const values = keys.map((key, i) => {
      const bytes = this.#valueOf(answers?.[i], key, wrong);
      if (!(bytes instanceof Uint8Array) || bytes.length === 0) return null;
      const value = unseal(this.#name(key), bytes);
      if (value === null) wrong.push(key);
      return value;
    });
    this.#clear(wrong);
    return values;
  }

  async put(entries: readonly CacheEntry[], lifeMs: number): Promise<void> {
    checkKeys(entries.map(({ key }) => key));
    const commands = entries.flatMap(({ key, value }): Command[] => {
      const sealed = seal(this.#name(key), value);
      return sealed === null ? [] : [["set", this.#name(key), sealed, "PX", lifeMs]];
    });
    this.#note(await this.#link.run(commands));
  }

  async drop(keys: readonly string[]): Promise<void> {
    checkKeys(keys);
    this.#note(await this.#link.run(keys.map((key) => ["unlink", this.#name(key)])));
  }

  async count(additions: readonly Addition[], lifeMs: number): Promise<readonly (number | null)[]> {
    checkKeys(additions.map(({ key }) => key));
    const answers = await this.#link.run(
      additions.flatMap(({ key, by }): Command[] => [
        ["incrby", this.#name(key), by],
        ["pexpire", this.#name(key), lifeMs],
      ]),
    );
    const wrong: string[] = [];
    const sums = additions.map(({ key, by }, i) => {
      const sum = this.#valueOf(answers?.[2 * i], key, wrong);
      if (typeof sum !== "number") return null;
      if (Number.isSafeInteger(sum) && sum >= by) return sum;
      wrong.push(key);
      return null;
    });
    this.#clear(wrong);
    return sums;
  }

  async enter(places: readonly Place[], lifeMs: number): Promise<void> {
    checkKeys(places.map(({ key }) => key));
    const answers = await this.#link.run(
      places.flatMap(({ key, member }): Command[] => [
        ["sadd", this.#name(key), member],
        ["pexpire", this.#name(key), lifeMs],
      ]),
    );
    const wrong: string[] = [];
    for (const [i, { key }] of places.entries()) this.#valueOf(answers?.[2 * i], key, wrong);
    this.#clear(wrong);
  }

  async exit(places: readonly Place[]): Promise<void> {
    checkKeys(places.map(({ key }) => key));
    this.#note(await this.#link.run(places.map(({ key, member }) => ["srem", this.#name(key), member])));
  }

  async members(keys: readonly string[]): Promise<readonly (readonly string[] | null)[]> {
    checkKeys(keys);
    // At random, because that alone is bounded: all of them where there are no more than we allow.
    const most = cacheLimits.membersMax + 1;
    const answers = await this.#link.run(keys.map((key) => ["srandmember", this.#name(key), most]));
    const wrong: string[] = [];
    const places = keys.map((key, i) => {
      const members = this.#valueOf(answers?.[i], key, wrong);
      if (!Array.isArray(members)) return null;
      if (members.length < most) return members as readonly string[];
      wrong.push(key);
      return null;
    });
    this.#clear(wrong);
    return places;
  }

  state(): CacheState {
    return this.#link.state;
  }

  async close(): Promise<void> {
    this.#link.close();
  }

  #name(key: string): string {
    return `${this.#options.namespace}:${key}`;
  }

  /** The reply's value; undefined where there is none. Notes keys that hold what is not ours. */
  #valueOf(answer: Answer | undefined, key: string, wrong: string[]): unknown {
    if (answer === undefined || answer.ok) return answer?.value;
    if (garbage.test(answer.error.message)) wrong.push(key);
    else this.#options.observer.failed("refused", 1);
    return undefined;
  }

  #note(answers: readonly Answer[] | null): void {
    const refused = answers?.filter((answer) => !answer.ok && !garbage.test(answer.error.message)).length ?? 0;
    if (refused > 0) this.#options.observer.failed("refused", refused);
  }

  /** Removes what is not ours, behind the answer. */
  #clear(wrong: readonly string[]): void {
    if (wrong.length === 0) return;
    this.#options.observer.failed("garbage", wrong.length);
    void this.drop([...new Set(wrong)]);
  }
}
