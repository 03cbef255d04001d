// Messages between the nodes of a cluster: the little of NATS that routing and fan-out need. A port, types only.
// Nothing sent here is promised to arrive: safety is the store's, and whoever must know repeats or looks again.

/** What became of a request. */
export type BusAnswer =
  | { readonly outcome: "answered"; readonly bytes: Uint8Array }
  /** Nobody listens on the subject: certainly not handled. */
  | { readonly outcome: "absent" }
  /** No answer in time, or the connection was lost: perhaps handled, now or later. */
  | { readonly outcome: "silent" }
  /** Nothing left this node: it is not connected, or too many bytes wait already. */
  | { readonly outcome: "away" };

/** One message that arrived. */
export interface BusMessage {
  /** Valid during the call of the handler only; whoever keeps them copies them. */
  readonly bytes: Uint8Array;
  /** Answers a request, once; does nothing where none is wanted or this node is not connected. */
  answer(bytes: Uint8Array): void;
}

/** A plain subscription: every message of the subject arrives, in the order of its sender's connection. */
export interface BusSubscription {
  /** Takes no more and resolves once what the server had for it was handed to the handler. Bounded by about a second. */
  drain(): Promise<void>;
  /** Hands out nothing more from now on. Idempotent. */
  unsubscribe(): void;
}

/**
 * One node's connection. Subjects are without the deployment's prefix: `p.<partition>`, `gw.<incarnation>`, `gw.all`.
 * Nothing throws or rejects. A sender's messages to one receiver arrive in order while neither reconnects.
 */
export interface Bus {
  readonly connected: boolean;
  /** Counts the connections of this process, from 1: a message of an older one may still arrive after a newer one's. */
  readonly connection: number;
  /** False: not sent, as not connected or with too many bytes waiting for the network already. */
  publish(subject: string, bytes: Uint8Array): boolean;
  request(subject: string, bytes: Uint8Array, timeoutMs: number): Promise<BusAnswer>;
  subscribe(subject: string, handle: (message: BusMessage) => void): BusSubscription;
  /** True once the server has everything that was sent before; false where that was not learnt within about a second. */
  flush(): Promise<boolean>;
  /** Called at once with the present state, then at every change, before anything of the new connection is handed out. */
  onConnection(listener: (stands: boolean) => void): void;
}
