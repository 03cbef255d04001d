// Which servers tests and development can start, on which ports, and through which variables their addresses travel.
// Read by `npm run services`, by `npm test` and by the tests themselves.

/** The servers, by the name a person types. `mongodb` is FerretDB, which speaks MongoDB's wire protocol, over PostgreSQL. */
export const serviceNames = ["nats", "mongodb", "redis"] as const;

/** One of {@link serviceNames}. */
export type ServiceName = (typeof serviceNames)[number];

/** The port each listens on where no other is asked for and nobody has it. */
export const usualPorts: Readonly<Record<ServiceName, number>> = { nats: 4222, mongodb: 27017, redis: 6379 };

/** The variable that points tests at a server; set by a person, or by `npm test` for the servers it started. */
export const testVariables: Readonly<Record<ServiceName, string>> = {
  nats: "PARLEY_TEST_NATS",
  mongodb: "PARLEY_TEST_MONGODB",
  redis: "PARLEY_TEST_REDIS",
};

/** The setting of Parley that takes the address, where there is one. */
export const settingVariables: Readonly<Partial<Record<ServiceName, string>>> = {
  mongodb: "PARLEY_STORE",
  redis: "PARLEY_CACHE",
};

/** A server that cannot be had on this machine; the message says what is missing and how to get it. */
export class Unavailable extends Error {
  override readonly name = "Unavailable";
}

/** Tells the person at the terminal how it goes. */
export function say(text: string): void {
  process.stderr.write(`parley: ${text}\n`);
}
