// The way in: createClient. Composes connection, sync, outbox and state; importing it does nothing.
import type { ClientOptions, ParleyClient } from "./types";

/** Makes a client and begins to connect. Throws ClientError `bad_request` for a URL that is none. */
export declare function createClient(options: ClientOptions): ParleyClient;
