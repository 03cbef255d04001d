// The little of JetStream's API that the buckets need, as requests and answers in JSON.
// Written out rather than taken from a library, as what is decided by is in the details: which error, from which server.
import type { NatsRequests } from "./nats-requests";

/** What became of a request to JetStream. */
export type JetStreamAnswer =
  | { readonly outcome: "done"; readonly value: Readonly<Record<string, unknown>> }
  /** It said no. `number` is JetStream's own, 0 where it gave none. */
  | { readonly outcome: "refused"; readonly number: number; readonly says: string }
  /** Nobody serves it: JetStream is off here, or has no leader now. */
  | { readonly outcome: "absent" }
  | { readonly outcome: "silent" };

/** JetStream's own numbers of the errors that are told apart. */
export const jetStreamErrors = {
  tooFewServers: 10_005,
  insufficientResources: 10_023,
  notEnabledForAccount: 10_039,
  nameInUse: 10_058,
  streamNotFound: 10_059,
  messageNotFound: 10_037,
  wrongLastSequence: 10_071,
  /** The same of a cluster, where another write of the key is under way. */
  wrongLastSequenceToBe: 10_164,
  notClustered: 10_074,
  notEnabled: 10_076,
} as const;

/** How long JetStream has for an answer, milliseconds: each write is answered within about a second. */
const jetStreamMs = 900;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** See the head of this file. Nothing rejects. */
export class JetStream {
  readonly #requests: NatsRequests;

  constructor(requests: NatsRequests) {
    this.#requests = requests;
  }

  /** @param request such as `STREAM.INFO.KV_parley-claims` */
  call(request: string, body: object | null = null, timeoutMs: number = jetStreamMs): Promise<JetStreamAnswer> {
    const bytes = encoder.encode(body === null ? "" : JSON.stringify(body));
    return this.#ask(`$JS.API.${request}`, bytes, timeoutMs);
  }

  /** Appends to the stream that has the subject. @param marks headers */
  write(subject: string, bytes: Uint8Array, marks: Readonly<Record<string, string>>): Promise<JetStreamAnswer> {
    return this.#ask(subject, bytes, jetStreamMs, marks);
  }

  async #ask(
    subject: string,
    bytes: Uint8Array,
    timeoutMs: number,
    marks?: Readonly<Record<string, string>>,
  ): Promise<JetStreamAnswer> {
    const answer = await this.#requests.ask(subject, bytes, timeoutMs, marks);
    if (answer.outcome === "absent") return { outcome: "absent" };
    if (answer.outcome !== "answered") return { outcome: "silent" };
    const value = recordOf(parse(answer.bytes));
    if (value === null) return { outcome: "refused", number: 0, says: "an answer that is not JetStream's" };
    const error = recordOf(value["error"]);
    if (error === null) return { outcome: "done", value };
    return { outcome: "refused", number: Number(error["err_code"] ?? 0), says: String(error["description"] ?? "") };
  }
}

/** An object of JSON; null where it is something else. */
export function recordOf(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as never) : null;
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch {
    return null;
  }
}
