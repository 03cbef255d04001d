// The baseline of fan-out, memory and connects: Bun's own socket server, which stores nothing and knows no protocol.
// It publishes each message of a request as a frame of its own, with the bytes that Parley would send.
import { socketPath, subprotocol } from "../src/protocol/frames";
import { PushTemplate, readSends } from "./messages";

interface RawRoom {
  readonly push: PushTemplate;
  seq: number;
}

/** Serves on a free port of the loopback and prints it as a JSON line. */
export function serveRaw(): void {
  const rooms = new Map<string, RawRoom>();
  const server = Bun.serve<{ room: string | null }>({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request, upgrading) {
      const url = new URL(request.url);
      const headers = { "Sec-WebSocket-Protocol": subprotocol };
      const upgraded =
        url.pathname === socketPath &&
        upgrading.upgrade(request, { data: { room: url.searchParams.get("room") }, headers });
      return upgraded ? undefined : new Response("a WebSocket is wanted", { status: 426 });
    },
    websocket: {
      perMessageDeflate: false,
      idleTimeout: 0,
      backpressureLimit: 256 * 1024 * 1024,
      open(socket) {
        const { room } = socket.data;
        if (room === null) return;
        socket.subscribe(room);
        if (!rooms.has(room)) rooms.set(room, { push: new PushTemplate(room), seq: 0 });
      },
      message(socket, bytes) {
        const room = rooms.get(socket.data.room ?? "");
        if (!room || typeof bytes === "string") return;
        const { items, timeAt } = readSends(bytes);
        for (let item = 0; item < items; item++)
          server.publish(socket.data.room!, room.push.fill(++room.seq, timeAt(item)));
      },
    },
  });
  console.log(JSON.stringify({ port: server.port }));
}

if (import.meta.main) serveRaw();
