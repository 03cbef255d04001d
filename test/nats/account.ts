// An operator and an account of NATS with one user, made for a test: what the server is configured with, and the user's file.
import { nkeys } from "@nats-io/transport-node";

type Pair = ReturnType<typeof nkeys.createAccount>;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** JetStream without bounds, for the account. */
const limits = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1, subs: -1, data: -1, payload: -1 };
const exported = { imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };

/** One server, one account, one user. */
export function account(): { readonly config: string; readonly credentials: string } {
  const [operator, owner, system, user] = [
    nkeys.createOperator(),
    nkeys.createAccount(),
    nkeys.createAccount(),
    nkeys.createUser(),
  ];
  const named = (subject: Pair, issuer: Pair, nats: object): string => token(subject, issuer, { version: 2, ...nats });
  const operatorToken = named(operator, operator, { type: "operator", system_account: system.getPublicKey() });
  const ownerToken = named(owner, operator, { type: "account", limits: { ...limits, ...exported } });
  const systemToken = named(system, operator, {
    type: "account",
    limits: { ...exported, subs: -1, data: -1, payload: -1 },
  });
  const userToken = named(user, owner, { type: "user", subs: -1, data: -1, payload: -1 });
  const config = `
jetstream {}
operator: ${operatorToken}
system_account: ${system.getPublicKey()}
resolver: MEMORY
resolver_preload: {
  ${owner.getPublicKey()}: ${ownerToken}
  ${system.getPublicKey()}: ${systemToken}
}`;
  const credentials = [
    block("NATS USER JWT", userToken),
    block("USER NKEY SEED", decoder.decode(user.getSeed())),
    "",
  ].join("\n");
  return { config, credentials };
}

function token(subject: Pair, issuer: Pair, nats: object): string {
  const claims = {
    jti: crypto.randomUUID(),
    iat: Math.floor(Date.now() / 1000),
    iss: issuer.getPublicKey(),
    name: "test",
    sub: subject.getPublicKey(),
    nats,
  };
  const body = [{ typ: "JWT", alg: "ed25519-nkey" }, claims].map((part) =>
    base64(encoder.encode(JSON.stringify(part))),
  );
  const signed = body.join(".");
  return `${signed}.${base64(issuer.sign(encoder.encode(signed)))}`;
}

function block(name: string, content: string): string {
  return `-----BEGIN ${name}-----\n${content}\n------END ${name}------\n`;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}
