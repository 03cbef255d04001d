"""A client of Parley in Python 3.11 and nothing else, written from docs/PROTOCOL.md.

Small rather than fast: MessagePack, a WebSocket, and on top of them a client that signs in, sends each message exactly
once, follows conversations without gaps, counts unread as the server does, and reconnects by itself.
"""

import asyncio
import base64
import hashlib
import os
import random
import ssl
import struct
import uuid
from urllib.parse import urlsplit

REQUEST, REPLY, ERROR, PUSH, PING, PONG = range(6)
SEND_ITEMS_MAX = 256
PAGE_MAX = 200
SYNC_PAGE_MAX = 500

# --- MessagePack --------------------------------------------------------------------------------------------------------


def encode(value) -> bytes:
    """The shortest form of plain data: None, bool, int, float, str, bytes, list, tuple, dict with str keys."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return _encode_int(value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, str):
        data = value.encode("utf-8")
        return _head(len(data), 0xA0, 32, (0xD9, 0xDA, 0xDB)) + data
    if isinstance(value, (bytes, bytearray)):
        return _head(len(value), 0, 0, (0xC4, 0xC5, 0xC6)) + bytes(value)
    if isinstance(value, (list, tuple)):
        return _head(len(value), 0x90, 16, (None, 0xDC, 0xDD)) + b"".join(map(encode, value))
    if isinstance(value, dict):
        items = b"".join(encode(key) + encode(item) for key, item in value.items())
        return _head(len(value), 0x80, 16, (None, 0xDE, 0xDF)) + items
    raise TypeError(f"{type(value).__name__} has no form on the wire")


def _encode_int(value: int) -> bytes:
    if -32 <= value < 128:
        return struct.pack(">b", value) if value < 0 else bytes([value])
    kinds = [(0xCC, "B"), (0xCD, "H"), (0xCE, "I"), (0xCF, "Q")] if value > 0 else [(0xD0, "b"), (0xD1, "h"), (0xD2, "i"), (0xD3, "q")]
    for head, kind in kinds:
        try:
            return struct.pack(">B" + kind, head, value)
        except struct.error:
            continue
    raise OverflowError(value)


def _head(size: int, fix: int, fixed: int, heads) -> bytes:
    if size < fixed:
        return bytes([fix | size])
    for head, kind, limit in zip(heads, "BHI", (0xFF, 0xFFFF, 0xFFFFFFFF)):
        if head is not None and size <= limit:
            return struct.pack(">B" + kind, head, size)
    raise OverflowError(size)


_NUMBERS = {0xCA: "f", 0xCB: "d", 0xCC: "B", 0xCD: "H", 0xCE: "I", 0xCF: "Q", 0xD0: "b", 0xD1: "h", 0xD2: "i", 0xD3: "q"}
_SIZES = {0xC4: "B", 0xC5: "H", 0xC6: "I", 0xD9: "B", 0xDA: "H", 0xDB: "I", 0xDC: "H", 0xDD: "I", 0xDE: "H", 0xDF: "I"}
_PLAIN = {0xC0: None, 0xC2: False, 0xC3: True}


class _Decoder:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise ValueError("the bytes end too soon")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, kind: str):
        return struct.unpack(">" + kind, self.take(struct.calcsize(kind)))[0]

    def value(self):
        head = self.take(1)[0]
        if head < 0x80 or head >= 0xE0:
            return head if head < 0x80 else head - 0x100
        if head in _PLAIN:
            return _PLAIN[head]
        if head in _NUMBERS:
            return self.number(_NUMBERS[head])
        size = self.number(_SIZES[head]) if head in _SIZES else head & (0x0F if head < 0xA0 else 0x1F)
        if head < 0x90 or head in (0xDE, 0xDF):
            return {self.value(): self.value() for _ in range(size)}
        if head < 0xA0 or head in (0xDC, 0xDD):
            return [self.value() for _ in range(size)]
        if head < 0xC0 or head in (0xD9, 0xDA, 0xDB):
            return self.take(size).decode("utf-8")
        if head in (0xC4, 0xC5, 0xC6):
            return self.take(size)
        raise ValueError(f"type {head:#x} is not spoken here")


def decode_frames(message: bytes) -> list:
    """Every frame of one WebSocket message, in order."""
    decoder, frames = _Decoder(message), []
    while decoder.at < len(message):
        frames.append(decoder.value())
    return frames


# --- WebSocket ----------------------------------------------------------------------------------------------------------


class Closed(Exception):
    """The connection ended; `code` is its close code, 1006 where it ended without one."""

    def __init__(self, code: int = 1006):
        super().__init__(f"closed with {code}")
        self.code = code


class WebSocket:
    """One connection (RFC 6455), binary messages only."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, url: str) -> "WebSocket":
        parts = urlsplit(url)
        secure = parts.scheme == "wss"
        port = parts.port or (443 if secure else 80)
        context = ssl.create_default_context() if secure else None
        reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {parts.path or '/v1/ws'} HTTP/1.1", f"Host: {parts.netloc}", "Upgrade: websocket", "Connection: Upgrade",
                 f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: parley.v1", "", ""]
        writer.write("\r\n".join(lines).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        expected = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        if head[0].split(" ")[1] != "101" or headers.get("sec-websocket-accept") != expected:
            writer.close()
            raise ConnectionError(f"no WebSocket here: {head[0]}")
        return cls(reader, writer)

    def send(self, payload: bytes, opcode: int = 2) -> None:
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else struct.pack(">BH", 0xFE, size) if size < 65536 else struct.pack(">BQ", 0xFF, size)
        mask = os.urandom(4)
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        masked = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
        self.writer.write(bytes([0x80 | opcode]) + length + mask + masked)

    async def receive(self) -> bytes:
        """The next message. Raises Closed."""
        message = b""
        try:
            while True:
                first, second = await self.reader.readexactly(2)
                size = second & 0x7F
                if size > 125:
                    size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
                payload, opcode = await self.reader.readexactly(size), first & 0x0F
                if opcode == 8:
                    raise Closed(int.from_bytes(payload[:2], "big") if size >= 2 else 1005)
                if opcode == 9:
                    self.send(payload, 10)
                if opcode in (0, 2):
                    message += payload
                    if first & 0x80:
                        return message
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Closed() from error

    def close(self) -> None:
        self.writer.close()


# --- Client -------------------------------------------------------------------------------------------------------------


class ParleyError(Exception):
    """A refusal. Act on a code you do not know by `outcome`: final, retry or unknown."""

    def __init__(self, code, message, outcome, retry_after_ms=None, details=None, *_later):
        super().__init__(f"{code}: {message}")
        self.code, self.outcome, self.retry_after_ms, self.details = code, outcome, retry_after_ms, details


class Conversation:
    """One conversation as I see it. `seq` is my position: the highest seq below which I have no gap."""

    def __init__(self, row: list, just_added: bool = False):
        # What came since I was added is news to me; of a conversation I had before, pages show what lies below the head.
        self.seq = row[2][1][0] if just_added else row[4][0]
        self.take_row(row)

    def take_row(self, row: list) -> None:
        self.id, self.info, (self.role, self.join, self.floor, *_), self.settings, head, self.cursor, self.my_total = row[:7]
        self.head_seq, self.head_ordinal = head[0], head[1]

    @property
    def unread(self) -> int:
        base = self.cursor if self.cursor[0] >= self.join[0] else self.join
        return max(0, self.head_ordinal - base[1] - (self.my_total - base[2]))


class Client:
    """Stays connected while `run` runs. `on_entry(conversation, entry)` is called once for each entry, in order."""

    def __init__(self, url: str, get_token, device: str, on_entry=lambda conversation, entry: None):
        self.url, self.get_token, self.device, self.on_entry = url, get_token, device, on_entry
        self.user = None
        self.generation = None
        self.conversations: dict[str, Conversation] = {}
        self.online = asyncio.Event()
        self._socket: WebSocket | None = None
        self._next_id = 0
        self._asked: dict[int, asyncio.Future] = {}
        self._early: dict[str, list] = {}  # entries of conversations whose row is still on its way
        self._outbox: dict[str, list] = {}
        self._tasks: dict[str, asyncio.Task] = {}
        self._retry_after = 0.0

    async def run(self) -> None:
        """Connects, and again whenever the connection ends. Raises Closed or ParleyError once trying again is of no use."""
        failures = 0
        while True:
            try:
                self._socket = await WebSocket.connect(self.url)
                await self._converse()
            except (OSError, asyncio.IncompleteReadError):
                failures += 1
            except Closed as closed:
                failures = 0 if self.online.is_set() else failures + 1
                if 4500 <= closed.code < 5000 and not (closed.code in (4500, 4501) and failures < 2):
                    raise  # an expired token is worth a new one, once; the others are for people to mend
            except ParleyError as refused:
                if refused.outcome == "final" and (refused.code != "token_expired" or failures):
                    raise
                failures += 1
            finally:
                self._disconnected()
            await asyncio.sleep(self._retry_after + random.uniform(0.1, min(30.0, 0.25 * 2**failures)))

    async def call(self, operation: str, *args, timeout: float = 10.0):
        """One request. Raises ParleyError; no answer in time, or a lost connection, has outcome unknown."""
        if self._socket is None:
            raise ParleyError("offline", "not connected", "retry")
        self._next_id = self._next_id % 0xFFFFFFFF + 1
        answer = self._asked[self._next_id] = asyncio.get_running_loop().create_future()
        try:
            self._socket.send(encode([REQUEST, self._next_id, operation, args]))
            return await asyncio.wait_for(answer, timeout)
        except TimeoutError:
            raise ParleyError("no_answer", "no answer in time", "unknown") from None

    async def send(self, conversation: str, text: str) -> int:
        """Sends one message, through reconnects; answers its seq. Messages of one conversation keep their order."""
        done = asyncio.get_running_loop().create_future()
        self._outbox.setdefault(conversation, []).append((str(uuid.uuid4()), [text], done))
        self._start("send", conversation, self._send_all)
        return await done

    async def read(self, conversation: str, seq: int) -> int:
        """Moves my cursor; answers what is unread then."""
        cursor, _unread = await self.call("read", conversation, "read", seq)
        self._take_cursor(conversation, cursor)
        return self.conversations[conversation].unread

    async def _converse(self) -> None:
        reading = asyncio.create_task(self._read_socket(self._socket))
        beating = None
        try:
            opening = asyncio.create_task(self._open())
            await asyncio.wait({reading, opening}, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                opening.cancel()
                return await reading
            beating = asyncio.create_task(self._beat(self._socket, opening.result() / 1000))
            await reading
        finally:
            reading.cancel()
            if beating:
                beating.cancel()

    async def _open(self) -> int:
        client = {"sdk": "parley-python-example", "version": "1", "platform": "python"}
        hello = await self.call("hello", 1, self.get_token(), self.device, client, [])
        if self.generation not in (None, hello[2]):
            self.conversations.clear()  # another life of the data: no position holds any more
        self.generation, self.user, heartbeat_ms = hello[2], hello[3], hello[6]
        await self._sync()
        self._retry_after = 0.0
        self.online.set()
        for conversation in self._outbox:
            self._start("send", conversation, self._send_all)
        return heartbeat_ms

    async def _sync(self) -> None:
        seen, after = set(), None
        while True:
            known = sorted(name for name in self.conversations if after is None or name > after)
            positions = [[name, self.conversations[name].seq] for name in known[:SYNC_PAGE_MAX]]
            _user_seq, rows, after, _totals, pending, resumed, *_ = await self.call("sync", after, positions)
            missed = dict(resumed)
            for row in rows:
                self._take_row(row, missed.get(row[0], []))
            seen.update(pending, (row[0] for row in rows))
            if after is None:
                break
        for gone in set(self.conversations) - seen:
            del self.conversations[gone]

    def _take_row(self, row: list, missed=(), just_added: bool = False) -> None:
        conversation = self.conversations.get(row[0])
        if conversation is None or conversation.seq > row[4][0]:
            conversation = self.conversations[row[0]] = Conversation(row, just_added)
        conversation.take_row(row)
        conversation.seq = max(conversation.seq, conversation.floor - 1)
        self._take_entries(row[0], [*missed, *self._early.pop(row[0], [])])
        if conversation.seq < conversation.head_seq:
            self._start("fetch", row[0], self._fetch)

    def _take_entries(self, name: str, entries: list) -> None:
        conversation = self.conversations.get(name)
        if conversation is None:
            self._early.setdefault(name, []).extend(entries)
            return
        for entry in entries:
            seq, ordinal, _kind, counts, _time, sender = entry[:6]
            if seq > conversation.head_seq:
                conversation.head_seq, conversation.head_ordinal = seq, ordinal
                conversation.my_total += counts and sender == self.user
            if seq == conversation.seq + 1:
                conversation.seq = seq
                self.on_entry(conversation, entry)
            elif seq > conversation.seq:
                self._start("fetch", name, self._fetch)  # a gap

    async def _fetch(self, name: str) -> None:
        """Fills the gap between my position and the head."""
        while (conversation := self.conversations.get(name)) and conversation.seq < conversation.head_seq:
            entries, head, floor, *_ = await self.call("entries", name, conversation.seq + 1, PAGE_MAX)
            conversation.seq = max(conversation.seq, floor - 1)
            for entry in entries:
                if entry[0] == conversation.seq + 1:
                    conversation.seq = entry[0]
                    self.on_entry(conversation, entry)
            if not entries and conversation.seq >= head:
                return

    async def _send_all(self, name: str) -> None:
        while queue := self._outbox.get(name):
            batch = queue[:SEND_ITEMS_MAX]
            try:
                outcomes = await self.call("send", name, [item[:2] for item in batch])
            except ParleyError as error:
                outcomes = [[error.code, str(error), error.outcome, error.retry_after_ms, error.details]] * len(batch)
            wait = None
            for item, outcome in zip(batch, outcomes):
                if isinstance(outcome, int):
                    self._settle(queue, item, outcome)
                elif outcome[2] == "final":
                    self._settle(queue, item, ParleyError(*outcome))
                else:
                    wait = max(wait or 0.1, (outcome[3] or 0) / 1000)
            if wait and self.online.is_set():
                await asyncio.sleep(wait)  # the same client ids again: what was done already is not done twice
            elif wait:
                return  # the next connection goes on

    def _settle(self, queue: list, item: tuple, outcome) -> None:
        queue.remove(item)
        if not item[2].done():
            item[2].set_exception(outcome) if isinstance(outcome, Exception) else item[2].set_result(outcome)

    def _take_cursor(self, name: str, cursor: list) -> None:
        conversation = self.conversations.get(name)
        if conversation and cursor[0] > conversation.cursor[0]:
            conversation.cursor = cursor

    async def _read_socket(self, socket: WebSocket) -> None:
        while True:
            for frame in decode_frames(await socket.receive()):
                if frame[0] in (REPLY, ERROR):
                    answer = self._asked.pop(frame[1], None)
                    if answer and not answer.done():
                        answer.set_result(frame[2]) if frame[0] == REPLY else answer.set_exception(ParleyError(*frame[2]))
                elif frame[0] == PUSH:
                    self._take_push(*frame[1:])
                elif frame[0] == PING:
                    socket.send(encode([PONG]))

    def _take_push(self, name: str, *args) -> None:
        if name == "entries":
            self._take_entries(args[0], args[1])
        elif name == "cursor":
            self._take_cursor(args[0], args[1])
        elif name == "row":
            self._take_row(args[0])
        elif name == "feed":
            self._take_feed(*args[:2])
        elif name == "tokenExpiring":
            self._start("refresh", "", lambda _: self.call("refresh", self.get_token()))
        elif name == "goodbye":
            self._retry_after = (args[1] or 0) / 1000

    def _take_feed(self, changes: list, rows: list) -> None:
        for _user_seq, kind, subject, data in (change[:4] for change in changes):
            if kind == "membership" and data[0] in ("left", "removed"):
                self.conversations.pop(subject, None)
            elif kind == "settings" and subject in self.conversations:
                self.conversations[subject].settings = data
        for row in rows:
            self._take_row(row, just_added=True)

    async def _beat(self, socket: WebSocket, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds * 0.8)
            socket.send(encode([PING]))

    def _start(self, what: str, name: str, work) -> None:
        """Runs one task of a kind for each conversation; another start while it runs changes nothing."""
        if (task := self._tasks.get(what + name)) and not task.done():
            return
        task = self._tasks[what + name] = asyncio.create_task(work(name))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # a lost connection begins anew

    def _disconnected(self) -> None:
        self.online.clear()
        self._early.clear()
        if self._socket:
            self._socket.close()
            self._socket = None
        asked, self._asked = self._asked, {}
        for answer in asked.values():
            if not answer.done():
                answer.set_exception(ParleyError("disconnected", "the connection ended", "unknown"))
