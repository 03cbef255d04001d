// A real server in this process, restartable on its port and data folder, and clients of it; for tests of the client.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { benchSecret, signToken } from "../../bench/tokens";
import { createClient } from "../../src/client";
import type { ClientEvents, ClientOptions, Observable, ParleyClient } from "../../src/client";
import { loadConfig } from "../../src/lib/config";
import { startServer } from "../../src/server";
import type { RunningServer } from "../../src/server";

/** Disposing stops the server and removes its data. */
export class Home implements AsyncDisposable {
  readonly #folder: string;
  readonly #environment: Readonly<Record<string, string>>;
  #port = 0;
  #server: RunningServer | null = null;

  private constructor(folder: string, environment: Readonly<Record<string, string>>) {
    this.#folder = folder;
    this.#environment = environment;
  }

  /** @param environment settings beside those of the place */
  static async open(environment: Readonly<Record<string, string>> = {}): Promise<Home> {
    const home = new Home(await mkdtemp(join(tmpdir(), "parley-client-")), environment);
    await home.start();
    return home;
  }

  get folder(): string {
    return this.#folder;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async start(): Promise<void> {
    const environment = {
      ...this.#environment,
      PARLEY_PORT: String(this.#port),
      PARLEY_DATA_DIR: join(this.#folder, "data"),
      PARLEY_LOG_LEVEL: "silent",
      PARLEY_AUTH_SECRET: benchSecret,
    };
    const loaded = loadConfig({ environment, file: null });
    if (!loaded.ok) throw new Error(loaded.problem);
    this.#server = await startServer(loaded.config);
    this.#port = this.#server.port;
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    this.#server = null;
  }

  /** A client of `user`, with what it was handed. */
  client(user: string, options: Partial<ClientOptions> = {}): ParleyClient {
    return createClient({
      url: this.url,
      token: async () => signToken(user, benchSecret),
      locks: null,
      backoff: { baseMs: 10, capMs: 100 },
      ...options,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Resolves with the first snapshot for which `holds`. */
export async function until<T>(observable: Observable<T>, holds: (snapshot: T) => boolean): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<T>();
  const look = (): void => {
    const snapshot = observable.getSnapshot();
    if (holds(snapshot)) resolve(snapshot);
  };
  const stop = observable.subscribe(look);
  look();
  return promise.finally(stop);
}

/** Resolves with the first event of this name for which `holds`. */
export function next<N extends keyof ClientEvents>(
  client: ParleyClient,
  name: N,
  holds: (event: ClientEvents[N]) => boolean = () => true,
): Promise<ClientEvents[N]> {
  const { promise, resolve } = Promise.withResolvers<ClientEvents[N]>();
  const stop = client.on(name, (event) => {
    if (holds(event)) resolve(event);
  });
  return promise.finally(stop);
}
