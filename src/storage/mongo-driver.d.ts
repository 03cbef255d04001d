// The part of the MongoDB driver's inside that waking-connection.ts builds on; the driver's own types leave it out.
// The driver's version is pinned: a new one that changes this fails the test of that file.
declare module "mongodb/lib/cmap/connection.js" {
  import type { Socket } from "node:net";

  export class Connection {
    constructor(socket: Socket, options: object);
    readonly closed: boolean;
    command(namespace: object, command: object, options: object): Promise<unknown>;
  }
}
