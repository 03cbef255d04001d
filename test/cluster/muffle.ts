// Nodes that believe they speak while nobody hears them: what they publish is lost, silently, as on a link that broke unnoticed.
// Requests and their answers go through, so that only what is told unasked is missed.
import type { Bus } from "../../src/actors/bus";
import { systemClock } from "../../src/lib/clock";
import { silentLog } from "../../src/lib/log";
import type { Config } from "../../src/lib/settings";
import { openNats } from "../../src/transport/nats";
import type { NatsNode } from "../../src/transport/nats";

/** Hand {@link Muffle.open} to every node that is to be silenced. */
export class Muffle {
  /** Whether what is published is lost. */
  on = false;
  /** Messages that were lost. */
  lost = 0;

  readonly openNats = async (config: Config): Promise<NatsNode> => {
    const nats = await openNats({ settings: config, clock: systemClock, log: silentLog() });
    const { bus, claims, members, server, serverVersion, clustered, maxBytes } = nats;
    const constant = { claims, members, server, serverVersion, clustered, maxBytes };
    return { ...constant, bus: this.#over(bus), stats: () => nats.stats(), close: () => nats.close() };
  };

  #over(bus: Bus): Bus {
    return {
      get connected() {
        return bus.connected;
      },
      get connection() {
        return bus.connection;
      },
      publish: (subject, bytes) => {
        if (!this.on) return bus.publish(subject, bytes);
        this.lost++;
        return true;
      },
      request: (subject, bytes, timeoutMs) => bus.request(subject, bytes, timeoutMs),
      subscribe: (subject, handle) => bus.subscribe(subject, handle),
      flush: () => bus.flush(),
      onConnection: (listener) => bus.onConnection(listener),
    };
  }
}
