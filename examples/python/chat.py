"""A chat in the terminal: python3 chat.py URL PEER, with a token in PARLEY_TOKEN.

What is typed is sent to PEER; what arrives is printed as `seq sender: text` and marked as read. An empty line ends it.
"""

import asyncio
import os
import sys

from parley import Client, Closed, ParleyError

MESSAGE = 1


async def main(url: str, peer: str) -> None:
    news: asyncio.Queue = asyncio.Queue()
    client = Client(url, lambda: os.environ["PARLEY_TOKEN"], "python-example", lambda *entry: news.put_nowait(entry))
    tasks = {asyncio.create_task(client.run()), asyncio.create_task(show(client, news)), asyncio.create_task(talk(client, peer))}
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    for task in done:
        task.result()


async def talk(client: Client, peer: str) -> None:
    await client.online.wait()
    conversation, _seq = await client.call("create", "direct", "open", None, [peer])
    print(f"signed in as {client.user}, talking to {peer} in {conversation}", flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode().rstrip("\n"):
        try:
            print(f"sent as {await client.send(conversation, line)}", flush=True)
        except ParleyError as refused:
            print(f"refused: {refused}", flush=True)


async def show(client: Client, news: asyncio.Queue) -> None:
    while True:
        conversation, entry = await news.get()
        seq, _ordinal, kind, _counts, _time, sender, _actor, _client_id, _target, body = entry[:10]
        if kind != MESSAGE or body is None:
            continue
        unread = conversation.unread
        print(f"{seq} {sender}: {body[0]} ({unread} unread)", flush=True)
        await client.online.wait()
        try:
            await client.read(conversation.id, seq)
        except ParleyError:
            pass  # the next message's mark covers this one


if __name__ == "__main__":
    if len(sys.argv) != 3 or "PARLEY_TOKEN" not in os.environ:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2]))
    except (Closed, ParleyError) as error:
        sys.exit(str(error))
