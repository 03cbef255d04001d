// Holds the Compose files to the Compose Specification and to what docs/OPERATIONS.md says of them: limits, health, secrets,
// nothing of the databases published, every variable known.
import { expect, test } from "bun:test";
import Ajv2020 from "ajv/dist/2020";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { loadConfig } from "../../src/lib/config";
import { exampleVariables, load, parse, readText, root, textsIn, usesIn } from "./compose-file";
import type { ComposeFile, Service } from "./compose-file";

const stackFile = "docker-compose.yml";
const singleFile = "docker-compose.single.yml";
const files = [stackFile, singleFile];
const example = exampleVariables();
const secrets = Object.keys(example).filter((name) => example[name] === "");
/** As the command in .env.example fills them. */
const filled = { ...example, ...Object.fromEntries(secrets.map((name, i) => [name, String(i).repeat(64)])) };

const stack = load(stackFile, filled);
const all = files.flatMap((file) =>
  Object.entries(load(file, filled).services).map(([name, service]) => ({ name: `${file}: ${name}`, service })),
);

const schemaText = readText("test/ops/fixtures/compose-spec.json");
const validate = new Ajv2020({ allErrors: true, strict: false }).compile(JSON.parse(schemaText));

function problemsOf(file: unknown): readonly string[] {
  validate(file);
  return (validate.errors ?? []).map(({ instancePath, message, params }) =>
    [instancePath, message, JSON.stringify(params)].join(" "),
  );
}

/** Names the services that do not fulfil something. */
function expectOfAll(fulfils: (service: Service) => boolean): void {
  expect(all.filter(({ service }) => !fulfils(service)).map(({ name }) => name)).toEqual([]);
}

/** Runs, ends, and others wait for its success. */
const isOneShot = (service: Service): boolean => service.restart === "no";

/** The networks by which a service is reached, also where it lives in another's. */
function networksOf({ services }: ComposeFile, service: Service): readonly string[] {
  const host = /^service:(.+)$/.exec(service.network_mode ?? "")?.[1];
  const target = host === undefined ? service : services[host];
  return target?.networks ?? ["default"];
}

test("the schema is the one of the Compose Specification, unchanged", () => {
  const sum = new Bun.CryptoHasher("sha256").update(schemaText).digest("hex");
  expect(readText("test/ops/fixtures/README.md")).toContain(sum);
});

test("the Compose files follow the schema, as written and with their variables put in", () => {
  for (const file of files) {
    expect([file, problemsOf(parse(file))]).toEqual([file, []]);
    expect([file, problemsOf(load(file, filled))]).toEqual([file, []]);
  }
});

test("the schema refuses a name that is misspelt and a value of another kind", () => {
  const misspelt = { services: { parley: { image: "parley", healthchek: {} } } };
  const wrong = { services: { parley: { image: "parley", restart: ["always"] } } };
  expect(problemsOf(misspelt).join()).toContain("healthchek");
  expect(problemsOf(wrong).join()).toContain("/services/parley/restart");
});

test("every service has limits, a restart policy, logs that rotate, and a tag that is pinned", () => {
  expectOfAll(({ deploy }) => {
    const limits = deploy?.resources?.limits ?? {};
    return ["cpus", "memory", "pids"].every((name) => limits[name] !== undefined);
  });
  expectOfAll(({ restart }) => restart === "unless-stopped" || restart === "no");
  expectOfAll(({ logging }) => ["max-size", "max-file"].every((name) => logging?.options?.[name] !== undefined));
  expectOfAll(({ image, build }) =>
    build === undefined ? /:v?\d+\.\d+\.\d+(-\w+)?$/.test(image ?? "") : build === ".",
  );
});

test("every service that stays has a health check; one that ends is waited for by whoever needs it", () => {
  expectOfAll((service) => isOneShot(service) || service.healthcheck?.test[0]?.startsWith("CMD") === true);
  const waits = Object.values(stack.services).flatMap(({ depends_on = {} }) => Object.entries(depends_on));
  for (const [name, { condition }] of waits) {
    const wanted = isOneShot(stack.services[name] as Service)
      ? ["service_completed_successfully"]
      : ["service_healthy"];
    // The proxy answers for servers that start or are gone, so it waits for none.
    expect([name, [...wanted, "service_started"]]).toEqual([name, expect.arrayContaining([condition])]);
  }
});

test("no service may do more than it must", () => {
  expectOfAll(({ read_only }) => read_only === true);
  expectOfAll(({ cap_drop }) => cap_drop?.includes("ALL") === true);
  expectOfAll(({ security_opt }) => security_opt?.includes("no-new-privileges:true") === true);
  expectOfAll(({ privileged, network_mode }) => privileged === undefined && network_mode !== "host");
});

test("what holds data is on inner networks and publishes nothing; what is published is on this machine alone by default", () => {
  for (const [name, service] of Object.entries(stack.services)) {
    if (!/^(mongo|redis|nats|prometheus)/.test(name)) continue;
    const open = networksOf(stack, service).filter((network) => stack.networks?.[network]?.internal !== true);
    expect([name, service.ports ?? [], open]).toEqual([name, [], []]);
  }
  const published = files.flatMap((file) =>
    Object.values(load(file, filled).services).flatMap(({ ports = [] }) => ports),
  );
  expect(published.length).toBeGreaterThan(0);
  expect(published.filter((port) => !port.startsWith("127.0.0.1:"))).toEqual([]);
});

test("every network, volume and mounted file that is named is there, and none is left over", () => {
  for (const file of files) {
    const { services, networks = {}, volumes = {} } = load(file, filled);
    const used = Object.values(services);
    const joined = new Set(used.flatMap(({ networks = [] }) => networks));
    expect([...joined].toSorted()).toEqual(Object.keys(networks).toSorted());
    const sources = used.flatMap((service) => service.volumes ?? []).map((mount) => mount.split(":")[0] as string);
    const mounted = sources.filter((source) => source.startsWith("."));
    expect(mounted.filter((path) => !existsSync(join(root, path)))).toEqual([]);
    const named = new Set(sources.filter((source) => !source.startsWith(".")));
    expect([...named].toSorted()).toEqual(Object.keys(volumes).toSorted());
  }
});

test("nothing starts while a secret is unset or empty, and the refusal says what to do", () => {
  expect(secrets.length).toBeGreaterThan(5);
  for (const name of secrets) {
    for (const variables of [
      { ...filled, [name]: "" },
      Object.fromEntries(Object.entries(filled).filter(([key]) => key !== name)),
    ]) {
      expect(() => load(stackFile, variables)).toThrow(
        new RegExp(`^required variable ${name} is missing a value: set it`),
      );
    }
  }
  expect(() => load(singleFile, {})).toThrow(/^required variable PARLEY_AUTH_SECRET is missing a value: set it/);
});

test("a secret has no default, and every other variable has the one of .env.example", () => {
  const uses = files.flatMap((file) => textsIn(parse(file)).flatMap(usesIn));
  const looksSecret = (name: string): boolean => /SECRET|PASSWORD|KEY|TOKEN/.test(name);
  expect(uses.filter(({ name, message }) => looksSecret(name) && !message)).toEqual([]);
  expect([...new Set(uses.map(({ name }) => name))].toSorted()).toEqual(Object.keys(example).toSorted());
  for (const { name, fallback, message } of uses) {
    expect([name, message ? "" : fallback]).toEqual([name, example[name] as string]);
  }
});

test("no secret is written into a file: what looks like one comes from a variable", () => {
  const written = all.flatMap(({ name, service }) =>
    Object.entries(service.environment ?? {})
      .filter(([variable, value]) => /SECRET|PASSWORD|KEY/.test(variable) && !Object.values(filled).includes(value))
      .map(([variable]) => `${name}: ${variable}`),
  );
  expect(written).toEqual([]);
});

test("the operations page explains every service and every variable", () => {
  const page = readText("docs/OPERATIONS.md");
  const names = [...Object.keys(stack.services), ...Object.keys(example)];
  expect(names.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
});

test("Parley takes the settings that the files give it", () => {
  const servers = all.filter(({ service }) => service.build !== undefined);
  expect(servers).toHaveLength(3);
  for (const { name, service } of servers) {
    const inImage = {
      PARLEY_HOST: "0.0.0.0",
      PARLEY_PORT: "7700",
      PARLEY_DATA_DIR: "/data",
      PARLEY_LOG_FORMAT: "json",
    };
    const loaded = loadConfig({
      environment: { ...inImage, ...service.environment },
      file: null,
    });
    expect([name, loaded.ok ? "" : loaded.problem]).toEqual([name, ""]);
  }
});

test("two equal nodes stand behind the proxy, with data of their own and names that stay", () => {
  const { parley, "parley-2": second, proxy, nats } = stack.services;
  const { volumes: _, hostname: first, ...one } = parley ?? {};
  const { volumes: __, hostname: other, ...two } = second ?? {};
  expect(one).toEqual(two);
  expect([first, other]).toEqual(["parley", "parley-2"]);
  expect(readText("ops/Caddyfile")).toMatch(/reverse_proxy parley:7700 parley-2:7700 \{\n\t+lb_policy least_conn\n/);
  expect(textsIn(proxy).join()).toContain("./ops/Caddyfile:");
  expect(textsIn(nats).join()).toContain("./ops/nats.conf:/etc/nats.conf:ro");
  expect(readText("ops/nats.conf")).toContain('store_dir: "/data"');
});
