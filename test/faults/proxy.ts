// A TCP proxy that spoils the line between a client and a server of this machine: delay, black hole, reset, cut, refusal.
// Knows nothing of what it carries, so it stands before MongoDB, Redis, NATS and Parley alike. Tests own it.
import { connect, createServer, type Server, type Socket } from "node:net";
import { freePort } from "../../scripts/services/service";
import { Flow } from "./flow";
import { afterBytes, beforeReply, beforeRequest, type Trap, type Way } from "./traps";

/** Delay each way, in milliseconds; 0 where nothing is said. */
export interface Delays {
  readonly toServerMs?: number;
  readonly toClientMs?: number;
}

/** One connection through the proxy. */
interface Line {
  readonly client: Socket;
  readonly server: Socket;
  readonly flows: Flow[];
}

/** A trap that is set, with whoever waits for it. */
interface SetTrap {
  readonly trap: Trap;
  settle(sprung: boolean): void;
}

/** Starts a proxy before a port of this machine, or before the server that a URI names. Resolves once it listens. */
export async function startProxy(target: number | string): Promise<FaultProxy> {
  const proxy = new FaultProxy(typeof target === "number" ? target : portOf(target), await freePort());
  await proxy.heal();
  return proxy;
}

/** The port in a URI with one host. Throws where it names none. */
export function portOf(uri: string): number {
  const port = /^[a-z+]+:\/\/[^/?]*:(\d+)(?:[/?]|$)/.exec(uri)?.[1];
  if (port === undefined) throw new Error(`${uri} names no port`);
  return Number(port);
}

/**
 * The same address at another port. A MongoDB driver is told to stay there: a replica set would name its members, and the
 * driver would go to them past the proxy.
 */
export function atPort(uri: string, port: number): string {
  const moved = uri.replace(`:${portOf(uri)}`, `:${port}`);
  if (!moved.startsWith("mongodb:") || /[?&]directConnection=/.test(moved)) return moved;
  const pathed = /^mongodb:\/\/[^/?]+$/.test(moved) ? `${moved}/` : moved;
  return `${pathed}${pathed.includes("?") ? "&" : "?"}directConnection=true`;
}

/** A line that can be spoiled and mended. Faults add up until {@link heal}; disposing resets what is connected. */
export class FaultProxy implements AsyncDisposable {
  readonly port: number;
  readonly #target: number;
  readonly #lines = new Set<Line>();
  readonly #held = { toServer: false, toClient: false };
  readonly #delayMs = { toServer: 0, toClient: 0 };
  #traps: readonly SetTrap[] = [];
  #listener: Server | null = null;

  constructor(target: number, port: number) {
    this.#target = target;
    this.port = port;
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#lines.size;
  }

  /** Bytes on their way that have not left the proxy: what a black hole or a delay holds back just now. */
  waitingBytes(way: Way): number {
    const flows = [...this.#lines].map(({ flows }) => flows[way === "toServer" ? 0 : 1]);
    return flows.reduce((sum, flow) => sum + (flow?.waitingBytes ?? 0), 0);
  }

  /** The address of the server by way of the proxy. */
  through(uri: string): string {
    return atPort(uri, this.port);
  }

  /** Delays everything that comes in from now on; order is kept. */
  delay({ toServerMs = 0, toClientMs = 0 }: Delays): void {
    this.#delayMs.toServer = toServerMs;
    this.#delayMs.toClient = toClientMs;
  }

  /**
   * Lets nothing pass, ends of connections included, while connections stay and new ones are taken. What was held back is
   * delivered after {@link heal}, as a network that comes back delivers what was sent again.
   */
  blackHole(way: Way | "both"): void {
    if (way !== "toClient") this.#held.toServer = true;
    if (way !== "toServer") this.#held.toClient = true;
  }

  /** Resets the first connection that carries this many bytes towards its client, right after them; see {@link cutAfter}. */
  resetAfter(bytes: number): Promise<boolean> {
    return this.#set(afterBytes(bytes));
  }

  /**
   * Forwards the first request that holds `needle`, and resets its connection when the server begins to answer: it was
   * carried out, and its sender cannot know. For protocols with one request at a time on a connection.
   *
   * @returns settles with true once that happened, with false where the proxy was healed or closed first
   */
  cutAfter(needle: string | Uint8Array): Promise<boolean> {
    return this.#set(beforeReply(needle));
  }

  /** Resets the connection of the first request that holds `needle` before the server has all of it; see {@link cutAfter}. */
  cutBefore(needle: string | Uint8Array): Promise<boolean> {
    return this.#set(beforeRequest(needle));
  }

  /** Resets everything that is connected; new connections are welcome. */
  cut(): void {
    for (const line of [...this.#lines]) this.#reset(line);
  }

  /** Resets everything that is connected, and refuses connections until {@link heal}. Resolves once the port is closed. */
  async refuse(): Promise<void> {
    const listener = this.#listener;
    this.#listener = null;
    const closed = new Promise<void>((resolve) => (listener === null ? resolve() : listener.close(() => resolve())));
    this.cut();
    await closed;
  }

  /** Ends all faults: what was held back passes on, traps are taken away, connections are taken again. Resolves when they are. */
  async heal(): Promise<void> {
    this.#held.toServer = false;
    this.#held.toClient = false;
    this.delay({});
    for (const { settle } of this.#traps) settle(false);
    this.#traps = [];
    for (const { flows } of this.#lines) for (const flow of flows) flow.pump();
    if (this.#listener === null) this.#listener = await this.#listen();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.refuse();
    for (const { settle } of this.#traps) settle(false);
    this.#traps = [];
  }

  async #listen(): Promise<Server> {
    const listener = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
    const { promise, resolve, reject } = Promise.withResolvers<Server>();
    listener.once("error", reject);
    listener.listen(this.port, "127.0.0.1", () => resolve(listener));
    return await promise;
  }

  #accept(client: Socket): void {
    const server = connect({ port: this.#target, host: "127.0.0.1", allowHalfOpen: true });
    const line: Line = { client, server, flows: [] };
    this.#lines.add(line);
    line.flows.push(this.#flow(line, "toServer"), this.#flow(line, "toClient"));
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      // What failed shows as the close that follows; the flow passes it on.
      socket.on("error", () => undefined);
      socket.on("close", () => this.#forgetIfOver(line));
    }
  }

  #flow(line: Line, way: Way): Flow {
    const [source, sink] = way === "toServer" ? [line.client, line.server] : [line.server, line.client];
    const conditions = () => ({ held: this.#held[way], delayMs: this.#delayMs[way] });
    return new Flow({ source, sink }, conditions, (bytes) => this.#deliver(line, way, bytes));
  }

  #deliver(line: Line, way: Way, bytes: Buffer): void {
    const sink = way === "toServer" ? line.server : line.client;
    for (const set of this.#traps) {
      const verdict = set.trap(line, way, bytes);
      if (verdict === "pass") continue;
      this.#traps = this.#traps.filter((each) => each !== set);
      const snap = (): void => {
        this.#reset(line);
        set.settle(true);
      };
      if (verdict.keep > 0) sink.write(bytes.subarray(0, verdict.keep), snap);
      else snap();
      return;
    }
    if (!sink.destroyed) sink.write(bytes);
  }

  #set(trap: Trap): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#traps = [...this.#traps, { trap, settle: resolve }];
    return promise;
  }

  #reset(line: Line): void {
    for (const flow of line.flows) flow.drop();
    line.client.resetAndDestroy();
    line.server.resetAndDestroy();
    this.#lines.delete(line);
  }

  #forgetIfOver(line: Line): void {
    if (line.client.destroyed && line.server.destroyed) this.#lines.delete(line);
  }
}
