// A watch of one bucket: all keys, then every change, and the whole afresh after whatever may have lost something of it.
// Owned by a KeyValue. It counts what its consumer sends and listens to its heartbeat, so that it cannot die in silence.
import type { Msg } from "@nats-io/transport-node";
import type { Cancel } from "../lib/clock";
import type { KvWatch, KvWatcher } from "../actors/placement-kv";
import { jetStreamErrors } from "./nats-jetstream";
import type { JetStream, JetStreamAnswer } from "./nats-jetstream";
import type { NatsLink, NatsSubscription } from "./nats-connection";

/** How a watch finds out that it is dead, and tries again. */
const watchTimes = {
  /** The consumer says this often that it lives, where it has nothing else to say. */
  heartbeatMs: 500,
  /** Heard nothing for this long, it is begun afresh. */
  silentMs: 2000,
  lookMs: 250,
  /** Between tries to begin, doubled up to the second. */
  retryMs: 100,
  retryMsMax: 1000,
  /** How long the server keeps a consumer that nobody listens to. */
  inactiveMs: 5000,
} as const;

/** What a watch is made of. */
export interface WatchOptions {
  readonly link: NatsLink;
  readonly jetStream: JetStream;
  /** The bucket's name. */
  readonly bucket: string;
  /** A subject of this watch's own to begin its inboxes with. */
  readonly inbox: string;
  readonly watcher: KvWatcher;
  /** Makes the bucket where it is gone. True: it is there. @param isMissed whether the servers that place streams do not know it */
  readonly ensure: (isMissed: boolean) => Promise<boolean>;
}

const nanosAMilli = 1_000_000;
const decoder = new TextDecoder();

/** See the head of this file. It begins by itself, and again with every connection. */
export class BucketWatch implements KvWatch {
  readonly #options: WatchOptions;
  readonly #prefixLength: number;
  #subscription: NatsSubscription | null = null;
  #consumer: string | null = null;
  /** Counts beginnings: nothing of an older one is told. */
  #life = 0;
  #told = false;
  #isCurrent = false;
  /** The consumer's own count of what it sent. */
  #received = 0;
  #heardAt = 0;
  #retryMs: number = watchTimes.retryMs;
  #cancelRetry: Cancel = () => {};
  #cancelLook: Cancel = () => {};
  #stopped = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#prefixLength = `$KV.${options.bucket}.`.length;
    options.link.afterConnection((stands) => (stands ? this.restart() : this.#end()));
    this.restart();
  }

  restart(): void {
    this.#end();
    const { link, inbox } = this.#options;
    if (this.#stopped || !link.connected) return;
    const life = this.#life;
    const subject = `${inbox}.${life.toString(36)}`;
    this.#consumer = `parley-${crypto.randomUUID()}`;
    this.#heardAt = link.clock.monotonic();
    this.#subscription = link.subscribe(subject, (message) => {
      if (life === this.#life) this.#take(message);
    });
    void this.#begin(life, subject, this.#consumer);
    this.#look();
  }

  stop(): void {
    this.#stopped = true;
    this.#end();
  }

  /** What was begun is over; what it still says is not heard. */
  #end(): void {
    const { link, jetStream, bucket } = this.#options;
    this.#life += 1;
    this.#told = false;
    this.#isCurrent = false;
    this.#received = 0;
    this.#cancelRetry();
    this.#cancelLook();
    this.#subscription?.unsubscribe();
    this.#subscription = null;
    // Best effort: it ends by itself as well, for nobody listens.
    if (this.#consumer !== null && link.connected)
      void jetStream.call(`CONSUMER.DELETE.KV_${bucket}.${this.#consumer}`);
    this.#consumer = null;
  }

  async #begin(life: number, subject: string, name: string): Promise<void> {
    const { jetStream, bucket, ensure } = this.#options;
    const filter = `$KV.${bucket}.>`;
    const config = {
      name,
      deliver_subject: subject,
      deliver_policy: "last_per_subject",
      filter_subject: filter,
      ack_policy: "none",
      replay_policy: "instant",
      idle_heartbeat: watchTimes.heartbeatMs * nanosAMilli,
      inactive_threshold: watchTimes.inactiveMs * nanosAMilli,
      mem_storage: true,
      num_replicas: 1,
    };
    const stream = `KV_${bucket}`;
    const answer = await jetStream.call(`CONSUMER.CREATE.${stream}.${name}.${filter}`, { stream_name: stream, config });
    if (life !== this.#life) return;
    if (answer.outcome === "done") return this.#begun(Number(answer.value["num_pending"] ?? 0));
    this.#complain(answer);
    await ensure(answer.outcome === "refused" && answer.number === jetStreamErrors.streamNotFound);
    if (life === this.#life) this.#again();
  }

  /** @param pending keys that stood when it began */
  #begun(pending: number): void {
    this.#retryMs = watchTimes.retryMs;
    this.#tellBegin();
    if (pending === 0) this.#tellCurrent();
  }

  #again(): void {
    const { clock } = this.#options.link;
    this.#cancelRetry = clock.after(this.#retryMs, () => this.restart());
    this.#retryMs = Math.min(this.#retryMs * 2, watchTimes.retryMsMax);
  }

  #complain(answer: JetStreamAnswer): void {
    const { link, bucket } = this.#options;
    const reason = answer.outcome === "refused" ? answer.says : answer.outcome;
    // Told once for each row of failures: the first of them waits for the shortest time.
    if (this.#retryMs === watchTimes.retryMs) link.log.warn({ bucket, reason }, "a bucket cannot be watched now");
  }

  /** Whether it is still heard, as often as that matters. */
  #look(): void {
    const { clock } = this.#options.link;
    this.#cancelLook = clock.after(watchTimes.lookMs, () => {
      const life = this.#life;
      // After a pause of this process the timer comes before what has arrived meanwhile.
      clock.endOfTurn(() => {
        if (life !== this.#life) return;
        if (clock.monotonic() - this.#heardAt < watchTimes.silentMs) this.#look();
        else this.#lost("nothing was heard of it");
      });
    });
  }

  #take(message: Msg): void {
    this.#heardAt = this.#options.link.clock.monotonic();
    const { headers } = message;
    const place = placeOf(message.reply ?? "");
    if (place !== null) this.#entry(message, place);
    else if (headers?.code === 100) this.#heartbeat(Number(headers.get("Nats-Last-Consumer") || this.#received));
    // Its consumer or its server ends: it says so, in several ways.
    else if (headers && headers.code >= 400) this.#lost(headers.description || "it was ended");
  }

  #entry(message: Msg, { revision, count, pending }: Place): void {
    if (count !== this.#received + 1) return this.#lost("an entry was lost on the way");
    this.#received = count;
    this.#tellBegin();
    const key = message.subject.slice(this.#prefixLength);
    const { headers } = message;
    const life = this.#life;
    // What expires is nobody's doing: servers that tell it are not listened to.
    if (!headers?.has("Nats-Marker-Reason")) {
      const value = headers?.has("KV-Operation") ? null : decoder.decode(message.data);
      this.#options.watcher.entry(key, value, revision);
    }
    if (life === this.#life && pending === 0) this.#tellCurrent();
  }

  /** Sent only where nothing waits to be sent. */
  #heartbeat(sent: number): void {
    if (sent !== this.#received) return this.#lost("an entry was lost on the way");
    this.#tellBegin();
    this.#tellCurrent();
  }

  #tellBegin(): void {
    if (this.#told) return;
    this.#told = true;
    this.#options.watcher.restarted();
  }

  #tellCurrent(): void {
    if (this.#isCurrent) return;
    this.#isCurrent = true;
    this.#options.watcher.current();
  }

  #lost(reason: string): void {
    const { link, bucket } = this.#options;
    link.log.info({ bucket, reason }, "the watch of a bucket begins afresh");
    this.restart();
  }
}

/** Where an entry stands. */
interface Place {
  readonly revision: number;
  /** The consumer's count of what it sent, from 1. */
  readonly count: number;
  /** Entries behind it, so far. */
  readonly pending: number;
}

/** `$JS.ACK.<stream>.<consumer>.<delivered>.<revision>.<count>.<time>.<pending>`, or with domain and account before the stream. */
function placeOf(reply: string): Place | null {
  if (!reply.startsWith("$JS.ACK.")) return null;
  const parts = reply.split(".");
  const at = parts.length === 9 ? 5 : 7;
  if (parts.length < at + 4) return null;
  return { revision: Number(parts[at]), count: Number(parts[at + 1]), pending: Number(parts[at + 3]) };
}
