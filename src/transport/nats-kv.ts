// One bucket of a cluster's placement, over JetStream. Implements the port that leases and claims are written through.
// Compare-and-set alone decides; there is no reading of one key but to write over what was deleted.
import type { KeyValue, KvWatch, KvWatcher, KvWritten } from "../actors/placement-kv";
import { ensureBucket } from "./nats-bucket";
import type { BucketPlan } from "./nats-bucket";
import type { NatsLink } from "./nats-connection";
import { jetStreamErrors, recordOf } from "./nats-jetstream";
import type { JetStream, JetStreamAnswer } from "./nats-jetstream";
import { BucketWatch } from "./nats-watch";

/** What a bucket's handle is made of. */
export interface NatsKeyValueOptions {
  readonly link: NatsLink;
  readonly jetStream: JetStream;
  readonly plan: BucketPlan;
  /** A subject of this handle's own, under which its watch hears. */
  readonly inbox: string;
}

/** What stands under a key; a deleted one has a revision, and no value. */
export interface KvEntry {
  readonly value: string | null;
  readonly revision: number;
}

/** A bucket in which a note stands beside what placement keeps there. */
export interface NotedKeyValue extends KeyValue {
  /** What the bucket's leader says stands there; null: nothing. It may be old: nothing may be decided by it without a comparison. */
  read(key: string): Promise<KvEntry | null | "unknown">;
  /** Tells, with every later watch, what stands under the key and becomes of it; null: nothing. One follower a bucket. */
  follow(key: string, listener: (value: string | null) => void): void;
}

const encoder = new TextEncoder();
const nothing = new Uint8Array(0);
/** A bucket that was lost waits this long for as many servers as it has copies, milliseconds; then fewer have to do. */
const fewerCopiesMs = 10_000;
const conflicts: readonly number[] = [jetStreamErrors.wrongLastSequence, jetStreamErrors.wrongLastSequenceToBe];
const expected = "Nats-Expected-Last-Subject-Sequence";

/** See the head of this file. */
export class NatsKeyValue implements NotedKeyValue {
  readonly #options: NatsKeyValueOptions;
  #ensuring: Promise<boolean> | null = null;
  #follower: { readonly key: string; readonly listener: (value: string | null) => void } | null = null;
  #watches = 0;
  /** Since when it has been looked for in vain; null: it is there, as far as is known. */
  #missingSince: number | null = null;

  constructor(options: NatsKeyValueOptions) {
    this.#options = options;
  }

  async update(key: string, value: string, revision: number): Promise<KvWritten> {
    const bytes = encoder.encode(value);
    const written = await this.#write(key, bytes, { [expected]: String(revision) });
    if (revision !== 0 || written.outcome !== "conflict") return written;
    // A deleted key leaves a mark, and a revision. The comparison decides, also where the mark is not the newest any more.
    const there = await this.read(key);
    if (there === null || there === "unknown" || there.value !== null) return written;
    return this.#write(key, bytes, { [expected]: String(there.revision) });
  }

  put(key: string, value: string): Promise<KvWritten> {
    return this.#write(key, encoder.encode(value), {});
  }

  async delete(key: string, revision: number | null): Promise<void> {
    const at = revision === null ? {} : { [expected]: String(revision) };
    await this.#write(key, nothing, { "KV-Operation": "DEL", ...at });
  }

  watch(watcher: KvWatcher): KvWatch {
    const { link, jetStream, plan, inbox } = this.#options;
    this.#watches += 1;
    return new BucketWatch({
      link,
      jetStream,
      bucket: plan.name,
      inbox: `${inbox}.${this.#watches}`,
      watcher: this.#followed(watcher),
      ensure: (isMissed) => this.#ensure(isMissed),
    });
  }

  follow(key: string, listener: (value: string | null) => void): void {
    this.#follower = { key, listener };
  }

  async read(key: string): Promise<KvEntry | null | "unknown"> {
    const { jetStream, plan } = this.#options;
    const body = { last_by_subj: this.#subject(key) };
    const answer = await jetStream.call(`STREAM.MSG.GET.KV_${plan.name}`, body);
    if (answer.outcome === "refused" && answer.number === jetStreamErrors.messageNotFound) return null;
    const message = answer.outcome === "done" ? recordOf(answer.value["message"]) : null;
    if (message === null) return "unknown";
    const marks = Buffer.from(String(message["hdrs"] ?? ""), "base64").toString();
    const value = Buffer.from(String(message["data"] ?? ""), "base64").toString();
    const deleted = /^(KV-Operation|Nats-Marker-Reason):/im.test(marks);
    return { value: deleted ? null : value, revision: Number(message["seq"]) };
  }

  /** What the watcher is told, the follower is told as well. */
  #followed(watcher: KvWatcher): KvWatcher {
    let seen = false;
    return {
      restarted: () => {
        seen = false;
        watcher.restarted();
      },
      entry: (key, value, revision) => {
        watcher.entry(key, value, revision);
        if (key !== this.#follower?.key) return;
        seen = true;
        this.#follower.listener(value);
      },
      current: () => {
        watcher.current();
        if (!seen) this.#follower?.listener(null);
      },
    };
  }

  async #write(key: string, bytes: Uint8Array, marks: Readonly<Record<string, string>>): Promise<KvWritten> {
    const answer = await this.#options.jetStream.write(this.#subject(key), bytes, marks);
    if (answer.outcome === "done") return { outcome: "written", revision: Number(answer.value["seq"]) };
    if (answer.outcome === "refused" && conflicts.includes(answer.number)) return { outcome: "conflict" };
    if (answer.outcome !== "silent") this.#missed(key, answer);
    return { outcome: "unknown" };
  }

  /** Nobody takes what is written: the bucket is gone, or without a leader. */
  #missed(key: string, answer: JetStreamAnswer): void {
    if (answer.outcome === "absent") void this.#ensure();
    else if (answer.outcome === "refused")
      this.#options.link.log.warn({ bucket: this.#options.plan.name, key, reason: answer.says }, "a write was refused");
  }

  /** One at a time. */
  #ensure(isMissed = false): Promise<boolean> {
    this.#ensuring ??= this.#remake(isMissed).finally(() => {
      this.#ensuring = null;
    });
    return this.#ensuring;
  }

  async #remake(isMissed: boolean): Promise<boolean> {
    const { jetStream, plan, link } = this.#options;
    const now = link.clock.monotonic();
    this.#missingSince ??= now;
    const ensured = await ensureBucket(jetStream, plan, now - this.#missingSince < fewerCopiesMs, isMissed);
    if (ensured.outcome === "ready") {
      this.#missingSince = null;
      if (ensured.created) link.log.warn({ bucket: plan.name }, "a bucket was gone and is made anew");
    }
    if (ensured.outcome === "unfit") link.log.error({ reason: ensured.says }, "a bucket cannot be used");
    return ensured.outcome === "ready";
  }

  #subject(key: string): string {
    return `$KV.${this.#options.plan.name}.${key}`;
  }
}
