// The TCP connection to a NATS server, written to once a turn of the event loop. The client by itself writes after every callback, and
// each write is a system call that wakes the server: a fifth of the CPU of NATS, and some of ours. Used by nats-connection.ts.
import { NatsConnectionImpl, setTransportFactory } from "@nats-io/transport-node/lib/nats-base-client";
import { NodeTransport, nodeResolveHost } from "@nats-io/transport-node/lib/node_transport";
import type { ConnectionOptions, NatsConnection } from "@nats-io/transport-node";

/** Keeps the order of what is sent; what was not written when the connection ends is lost with it, as the client expects. */
class TurnTransport extends NodeTransport {
  #frames: Uint8Array[] = [];
  #written: Promise<void> | null = null;

  override _send(frame: Uint8Array): Promise<void> {
    this.#frames.push(frame);
    this.#written ??= new Promise((resolve, reject) => {
      setImmediate(() => {
        const frames = this.#frames.splice(0);
        this.#written = null;
        super._send(frames.length === 1 ? (frames[0] as Uint8Array) : Buffer.concat(frames)).then(resolve, reject);
      });
    });
    return this.#written;
  }
}

/** Connects as `connect` of `@nats-io/transport-node` does, and rejects as it does. */
export function connect(options: ConnectionOptions): Promise<NatsConnection> {
  setTransportFactory({ factory: () => new TurnTransport(), dnsResolveFn: nodeResolveHost });
  return NatsConnectionImpl.connect(options);
}
