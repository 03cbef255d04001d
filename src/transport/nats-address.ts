// What the settings say of NATS, in the words of its client: servers, who we are, and TLS.
// Owned by the connection. Files are read once, at start, so that a missing one is told then and not at some reconnect.
import { readFile } from "node:fs/promises";
import { credsAuthenticator } from "@nats-io/transport-node";
import type { ConnectionOptions } from "@nats-io/transport-node";
import type { Config } from "../lib/settings";
import { ClusterRefusal } from "./cluster-refusal";

/** The settings that say how to reach NATS. */
export type NatsSettings = Pick<
  Config,
  "nats" | "natsPrefix" | "natsCredentials" | "natsTlsCa" | "natsTlsCert" | "natsTlsKey"
>;

/** `host:port` of every server, without what else stands in the addresses. */
export function serversOf(nats: string): readonly string[] {
  return nats.split(",").map((address) => address.trim().replace(/^(?:[a-z]+:\/\/)?(?:[^@]*@)?/i, ""));
}

/** The part of the client's options that the settings decide. Rejects with a {@link ClusterRefusal} where a file cannot be read. */
export async function addressOptions(settings: NatsSettings): Promise<ConnectionOptions> {
  const nats = settings.nats ?? "";
  return {
    servers: [...serversOf(nats)],
    ...whoWeAre(nats),
    ...(await credentialsOf(settings)),
    ...(await tlsOf(settings)),
  };
}

function whoWeAre(nats: string): ConnectionOptions {
  const [, name, password] = /^\s*[a-z]+:\/\/([^@,:]*)(?::([^@,]*))?@/i.exec(nats) ?? [];
  if (name === undefined) return {};
  return password === undefined ? { token: plain(name) } : { user: plain(name), pass: plain(password) };
}

/** A stray `%` stands for itself. */
function plain(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function credentialsOf({ natsCredentials: file }: NatsSettings): Promise<ConnectionOptions> {
  if (file === null) return {};
  return { authenticator: credsAuthenticator(await read(file, "natsCredentials")) };
}

/** A server that offers TLS gets it anyway; what is named here, or a `tls://`, makes it a condition. */
async function tlsOf({ nats, natsTlsCa, natsTlsCert, natsTlsKey }: NatsSettings): Promise<ConnectionOptions> {
  const wanted = /(^|,)\s*tls:/i.test(nats ?? "") || natsTlsCa !== null || natsTlsCert !== null;
  if (!wanted) return {};
  const decoder = new TextDecoder();
  const files = { ca: [natsTlsCa, "natsTlsCa"], cert: [natsTlsCert, "natsTlsCert"], key: [natsTlsKey, "natsTlsKey"] };
  const tls: Record<string, string> = {};
  for (const [name, [file, setting]] of Object.entries(files))
    if (file) tls[name] = decoder.decode(await read(file, String(setting)));
  return { tls };
}

async function read(file: string, setting: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClusterRefusal(`cannot read ${file}: ${reason}; correct ${setting}, see OPERATIONS.md`);
  }
}
