// The MongoDB driver's connection, with writes that do not outlast their socket: recovery needs no restart.
// Owned by mongo-connection.ts. A socket whose peer died takes no bytes, and under Bun it then closes without an error, while the
// driver waits for it to drain, for ever: a command is never answered, its place in the pool never freed, and a monitor never
// looks at its server again.
import { Connection } from "mongodb/lib/cmap/connection.js";
import type { Socket } from "node:net";

/** What the driver makes its connections of: its own, woken when the socket closes; it then sees by itself that it is lost. */
export class WakingConnection extends Connection {
  constructor(socket: Socket, options: object) {
    super(socket, options);
    // Behind the driver's own listener, which has noted by then that the connection is closed.
    socket.once("close", () => socket.emit("drain"));
  }
}
