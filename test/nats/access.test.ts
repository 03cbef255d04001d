// Who may join by NATS: users, tokens, credentials of an account, TLS; and what a node says that may not.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWith, startNats, startNatsConfigured } from "../services/services";
import type { Service } from "../services/services";
import { account } from "./account";
import { until } from "../until";
import { byte, NatsWorld } from "./world";

const file = (name: string): string => join(import.meta.dir, "fixtures", name);

/** Opens and proves that both ports work. */
async function joins(world: NatsWorld, settings: Parameters<NatsWorld["open"]>[0]): Promise<void> {
  const node = await world.open(settings);
  node.bus.subscribe("p.1", ({ bytes, answer }) => answer(bytes));
  expect(await node.bus.request("p.1", byte(1), 5_000)).toMatchObject({ outcome: "answered" });
  expect(await node.claims.put("1", "a")).toMatchObject({ outcome: "written" });
}

const users = `
jetstream {}
authorization {
  users: [
    { user: "node", password: "p:a,s@s" }
    { user: "mute", password: "x", permissions: { publish: ["_INBOX.>"], subscribe: [">"] } }
    { user: "narrow", password: "x", permissions: { publish: ["parley.>"], subscribe: ["parley.>"] } }
    { user: "enough", password: "x", permissions: {
        publish: ["parley.>", "$JS.API.>", "$KV.parley-claims.>", "$KV.parley-members.>"], subscribe: ["parley.>"] } }
  ]
}`;

describeWith("own nats", "access by user and password", () => {
  let service: Service;
  beforeAll(async () => {
    service = await startNatsConfigured(users);
  });
  afterAll(() => service[Symbol.asyncDispose]());
  const as = (user: string): string => service.uri.replace("//", `//${user}@`);

  test("a node joins with a name and a password, whatever characters it has", async () => {
    await using world = new NatsWorld(as("node:p%3Aa%2Cs%40s"));
    await joins(world, {});
  });

  test("the permissions that the operations page names are enough", async () => {
    await using world = new NatsWorld(as("enough:x"));
    await joins(world, {});
    expect(world.lines.filter((line) => line.includes("refused"))).toEqual([]);
  });

  test("a wrong password is refused at once, and is in no message and no log line", async () => {
    await using world = new NatsWorld(as("node:secret-of-mine"));
    const says = await world.refusal();
    expect(says).toContain("authorization violation; check the user, password, token or credentials file");
    expect(says + world.lines.join("")).not.toContain("secret-of-mine");
  });

  test.concurrent("an account that may not send messages is refused, with what NATS said", async () => {
    await using world = new NatsWorld(as("mute:x"));
    expect(await world.refusal()).toMatch(
      /^this NATS account cannot be used: Permissions Violation for Publish to "parley\.p\.[^"]+"; allow it to publish and subscribe parley\.>/,
    );
  });

  test.concurrent("an account that may not use JetStream is refused, with what NATS said", async () => {
    await using world = new NatsWorld(as("narrow:x"));
    expect(await world.refusal()).toMatch(
      /^this NATS account cannot be used: Permissions Violation for Publish to "\$JS\.API\.[^"]+"; allow it to publish \$JS\.API\.> and \$KV\.parley-claims\.>/,
    );
  });
});

describeWith("own nats", "access by other means", () => {
  test.concurrent("a node joins with a token, and not with another one", async () => {
    await using service = await startNatsConfigured('jetstream {}\nauthorization { token: "open-sesame" }');
    await using world = new NatsWorld(service.uri.replace("//", "//open-sesame@"));
    await joins(world, {});
    expect(await world.refusal({ nats: service.uri })).toContain("authorization violation");
  });

  test.concurrent("a node joins with the credentials file of an account", async () => {
    const { config, credentials } = account();
    await using service = await startNatsConfigured(config);
    const folder = mkdtempSync(join(tmpdir(), "parley-nats-"));
    const natsCredentials = join(folder, "node.creds");
    writeFileSync(natsCredentials, credentials);
    await using world = new NatsWorld(service.uri);
    await joins(world, { natsCredentials });
    expect(await world.refusal()).toContain("authorization violation");
    expect(await world.refusal({ natsCredentials: join(folder, "none") })).toMatch(
      /^cannot read .*ENOENT.*; correct natsCredentials/,
    );
    rmSync(folder, { recursive: true });
  });

  test.concurrent("a server without JetStream is refused, with what to do", async () => {
    await using service = await startNatsConfigured("");
    await using world = new NatsWorld(service.uri);
    expect(await world.refusal()).toStartWith("JetStream is not enabled on the NATS server");
  });

  test.concurrent("a server that takes only small messages is refused, with what to set", async () => {
    await using service = await startNatsConfigured("jetstream {}\nmax_payload: 65536");
    await using world = new NatsWorld(service.uri);
    expect(await world.refusal()).toBe(
      "the NATS server takes messages of 65536 bytes at most; set its max_payload to 1048576 or more",
    );
  });
});

const tls = (verify: boolean, name = "server"): string => `
jetstream {}
tls { cert_file: "${file(`${name}.pem`)}", key_file: "${file(`${name}.key`)}", ca_file: "${file("ca.pem")}", verify: ${verify} }`;

describeWith("own nats", "access over TLS", () => {
  const ca = { natsTlsCa: file("ca.pem") };

  test("a node joins, and joins again after a restart, where it knows who signs", async () => {
    await using service = await startNatsConfigured(tls(false));
    await using world = new NatsWorld(service.uri.replace("nats:", "tls:"), ca);
    await joins(world, {});
    await joins(world, { nats: service.uri.replace("nats:", "tls:").replace("127.0.0.1", "localhost") });
    const node = await world.open();
    await service.restart();
    await until(() => node.bus.connected && node.bus.connection === 2);
    expect(await node.bus.flush()).toBe(true);
  });

  test("a certificate of somebody unknown, or of another name, is refused", async () => {
    await using service = await startNatsConfigured(tls(false));
    await using world = new NatsWorld(service.uri.replace("nats:", "tls:"), ca);
    const fix = "the certificate is not one this node trusts for that address";
    expect(await world.refusal({ natsTlsCa: null })).toContain(fix);
    expect(await world.refusal({ natsTlsCa: file("client.pem") })).toContain(fix);
    await using other = await startNatsConfigured(tls(false, "other"));
    for (const host of ["127.0.0.1", "localhost"])
      expect(await world.refusal({ nats: `tls://${host}:${other.port}` })).toContain(
        "does not match certificate's altnames",
      );
  });

  test("a server that asks for a certificate gets this node's, and refuses a node without one", async () => {
    await using service = await startNatsConfigured(tls(true));
    await using world = new NatsWorld(service.uri.replace("nats:", "tls:"), ca);
    await joins(world, { natsTlsCert: file("client.pem"), natsTlsKey: file("client.key") });
    expect(await world.refusal({}, 0)).toContain("a server that asks for this node's certificate");
  });

  test("a server without TLS is refused where TLS is asked for", async () => {
    await using service = await startNats();
    await using world = new NatsWorld(service.uri.replace("nats:", "tls:"));
    expect(await world.refusal()).toContain("this node asks for TLS and the server has none");
  });
});
