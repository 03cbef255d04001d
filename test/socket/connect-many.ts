// A process of its own that opens many sockets and never says hello. Arguments: port, how many.
// Prints `open` when all are upgraded, and `gone` when the server has closed every one of them.
import { connect } from "node:net";
import { socketPath, subprotocol } from "../../src/protocol/frames";

const [port, count] = process.argv.slice(2).map(Number) as [number, number];
const atOnce = 200;
const request =
  `GET ${socketPath} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
  `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ${subprotocol}\r\n\r\n`;

let started = 0;
let upgraded = 0;
let gone = 0;

function next(): void {
  if (started++ >= count) return;
  const socket = connect(port, "127.0.0.1", () => socket.write(request));
  socket.once("data", () => {
    next();
    if (++upgraded === count) process.stdout.write("open\n");
  });
  socket.on("error", () => socket.destroy());
  socket.on("close", () => {
    if (++gone === count) process.stdout.write("gone\n");
  });
}

for (let i = 0; i < atOnce; i++) next();
