// nats-servers of a test's own: one with a configuration of its own, or several that are a cluster with JetStream.
// Each may be killed, stopped, and started again on its port and folder; a folder may be wiped while its server is down.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { dataFolder } from "../../scripts/services/folders";
import { accepts } from "../../scripts/services/daemon";
import { goProgram } from "../../scripts/services/go-program";
import { freePort, Service } from "../../scripts/services/service";

const startTries = 3;
const lookEveryMs = 50;
const readyTimeoutMs = 60_000;

/** What JetStream keeps, on disk and in memory, goes with a killed server whose folder is wiped: as after a lost disk. */
export function wipeJetStream(server: Service): void {
  if (server.pid !== 0) throw new Error("a folder is wiped while its server is down");
  rmSync(join(server.folder, "jetstream"), { recursive: true, force: true });
}

/** A server with a configuration file: what it says, beside port and folder. Addressed as its clients would without TLS and users. */
export async function startNatsWith(
  config: string,
  logs: string,
  arguments_: readonly string[] = [],
): Promise<Service> {
  for (let left = startTries; ; left--) {
    const port = await freePort();
    const folder = dataFolder("nats");
    const file = join(folder, "nats.conf");
    writeFileSync(file, config);
    const service = await planned(port, folder, logs, ["-c", file, ...arguments_]);
    try {
      await service.start();
      return service;
    } catch (error) {
      await service[Symbol.asyncDispose]();
      if (left <= 1) throw error;
    }
  }
}

async function planned(port: number, folder: string, logs: string, more: readonly string[]): Promise<Service> {
  const command = [await goProgram("nats-server"), "-a", "127.0.0.1", "-p", String(port), "-sd", folder, ...more];
  const log = join(logs, `nats-${port}.log`);
  const daemon = { name: "nats-server", command, log, ready: () => accepts(port) };
  return new Service({ name: "nats", port, uri: `nats://127.0.0.1:${port}`, folder, logs: [log], daemons: [daemon] });
}

/** See the head of this file. */
export class NatsCluster implements AsyncDisposable {
  readonly servers: readonly Service[];
  readonly #monitors: readonly number[];

  private constructor(servers: readonly Service[], monitors: readonly number[]) {
    this.servers = servers;
    this.#monitors = monitors;
  }

  /** Starts them; resolves once JetStream takes requests. */
  static async start(size: number, logs: string): Promise<NatsCluster> {
    for (let left = startTries; ; left--) {
      const cluster = await NatsCluster.#plan(size, logs);
      try {
        await Promise.all(cluster.servers.map((server) => server.start()));
        await cluster.ready();
        return cluster;
      } catch (error) {
        await cluster[Symbol.asyncDispose]();
        if (left <= 1) throw error;
      }
    }
  }

  static async #plan(size: number, logs: string): Promise<NatsCluster> {
    const ports = await distinctPorts(3 * size);
    const routes = ports.slice(0, size);
    const monitors = ports.slice(size, 2 * size);
    const servers = routes.map((route, i) => {
      const folder = join(dataFolder("nats"), "data");
      mkdirSync(folder);
      const others = routes.filter((other) => other !== route).map((other) => `nats://127.0.0.1:${other}`);
      const more = ["-js", "-n", `n${i + 1}`, "-m", String(monitors[i]), "--cluster_name", "parley-test"];
      more.push("--cluster", `nats://127.0.0.1:${route}`, "--no_advertise", "--routes", others.join(","));
      return planned(ports[2 * size + i] ?? 0, folder, logs, more);
    });
    return new NatsCluster(await Promise.all(servers), monitors);
  }

  /** Addresses of all of them, as `PARLEY_NATS` takes them. */
  get uri(): string {
    return this.servers.map(({ uri }) => uri).join(",");
  }

  /** Resolves once every running server says that JetStream is current: a leader is there, and it has caught up. */
  async ready(): Promise<void> {
    const deadline = performance.now() + readyTimeoutMs;
    for (const [i, server] of this.servers.entries()) {
      while (server.pid !== 0 && !(await this.#isHealthy(i))) {
        if (performance.now() > deadline) throw new Error(`a nats-server did not become ready; see ${server.logs[0]}`);
        await Bun.sleep(lookEveryMs);
      }
    }
  }

  /** Whether every running server says so now. */
  async isReady(): Promise<boolean> {
    const healthy = await Promise.all(this.servers.map(({ pid }, i) => pid === 0 || this.#isHealthy(i)));
    return healthy.every(Boolean);
  }

  async #isHealthy(index: number): Promise<boolean> {
    try {
      return (await fetch(`http://127.0.0.1:${this.#monitors[index]}/healthz`)).ok;
    } catch {
      return false; // it listens later, or not any more
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.servers.map((server) => server[Symbol.asyncDispose]()));
    for (const { folder } of this.servers) rmSync(join(folder, ".."), { recursive: true, force: true });
  }
}

async function distinctPorts(count: number): Promise<readonly number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}
