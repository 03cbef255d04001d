import { expect, test } from "bun:test";
import { MongoNetworkError } from "mongodb";
import { Socket } from "node:net";
import { WakingConnection } from "./waking-connection";

test("a command whose socket takes no bytes and closes without an error is answered as lost", async () => {
  const socket = new Socket();
  socket.write = () => false;
  const options = { id: 1, generation: 0, monitorCommands: false, hostAddress: { toString: () => "nowhere:1" } };
  const connection = new WakingConnection(socket, options);

  const answer = connection.command({ db: "admin" }, { hello: 1 }, { socketTimeoutMS: 0 }).catch((error) => error);
  setImmediate(() => socket.emit("close"));

  expect(await answer).toBeInstanceOf(MongoNetworkError);
  expect(connection.closed).toBe(true);
});
