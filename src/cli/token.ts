// `parley token USER`: signs a token with the configured secret, or with the demo's.
import { signToken } from "../transport/tokens";
import { demoSecret, offersDemo } from "../transport/demo";
import type { Config } from "../lib/settings";
import { isUserId } from "../protocol/ids";
import type { UserId } from "../protocol/ids";
import { CommandFailure, exitCodes, readConfig } from "./context";
import type { CommandContext, CommonOptions } from "./context";

/** Options of the command. */
export interface TokenOptions extends CommonOptions {
  /** Life of the token: a number with s, m, h or d. */
  readonly ttl: string;
  /** Whether it may use the server API too. */
  readonly operator?: boolean;
}

/** Prints the token; `--json`: `{token,user,expiresAt}`. */
export async function runToken(context: CommandContext, user: string, options: TokenOptions): Promise<void> {
  const config = await readConfig(context, options);
  const seconds = parseDuration("--ttl", options.ttl);
  const token = await mintToken(config, parseUser(user), seconds, options.operator === true);
  const expiresAt = Math.floor(Date.now() / 1000) + seconds;
  context.print(options.json ? JSON.stringify({ token, user, expiresAt }) : token);
}

/** A user id from the command line. */
export function parseUser(text: string): UserId {
  if (isUserId(text)) return text;
  throw new CommandFailure(
    `USER: given ${JSON.stringify(text.slice(0, 140))}; allowed: 1 to 128 of A-Z a-z 0-9 . _ @ : | + = -, not beginning with parley:`,
    exitCodes.usage,
  );
}

/** A token for `user`. Fails where tokens are signed elsewhere (a JWK set holds public keys only). */
export async function mintToken(config: Config, user: UserId, seconds: number, operator = false): Promise<string> {
  const { secret, issuer, audience } = config.auth;
  if (secret !== null) return signToken(secret, user, { seconds, issuer, audience, operator });
  if (!offersDemo(config)) {
    const why = "tokens are signed by your identity provider here, or the host is not loopback and has no key";
    throw new CommandFailure(`no secret to sign with: ${why}; give a token with --token or PARLEY_TOKEN`);
  }
  return signToken(await demoSecret(config.dataDir), user, { seconds, operator });
}

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds of `30m`, `12h` and the like; `option` is named where the text is no such thing. */
export function parseDuration(option: string, text: string): number {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const seconds = Number(amount) * (units[unit ?? ""] ?? Number.NaN);
  if (seconds > 0) return seconds;
  const given = JSON.stringify(text);
  throw new CommandFailure(
    `${option}: given ${given}; allowed: a number with s, m, h or d, such as 12h`,
    exitCodes.usage,
  );
}
