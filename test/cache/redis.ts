// A Redis of a test's own, with a connection for what a server of ours would never do.
import { Redis } from "ioredis";
import { startRedis } from "../services/services";
import type { Service } from "../services/services";

export class TestRedis implements AsyncDisposable {
  readonly service: Service;
  readonly client: Redis;

  private constructor(service: Service) {
    this.service = service;
    this.client = new Redis(service.uri, { lazyConnect: true, retryStrategy: () => 20 });
    this.client.on("error", () => undefined);
  }

  static async start(): Promise<TestRedis> {
    const redis = new TestRedis(await startRedis());
    await redis.client.connect();
    return redis;
  }

  get url(): string {
    return this.service.uri;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.disconnect();
    await this.service[Symbol.asyncDispose]();
  }
}
