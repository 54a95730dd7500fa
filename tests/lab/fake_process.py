"""A process that a `Fleet` can start in place of a bot: it listens, says so as a bot does, and answers with its pid.

A connection of any path but / stays open until its other end goes. `python -m fake_process serve`; `FAKE=dies`: ends at
once. `FAKE=one dies`, with a folder in `TOLD`: the first leaves its pid there and takes its time, the second ends at
once. SIGTERM ends it, as it ends a bot.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path


async def serve() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        writer.write(f"{os.getpid()} {os.environ['PUBLIC_URL']}\n".encode())
        await writer.drain()
        if b" / " not in line:
            await reader.read()
        writer.close()

    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        print(f"INFO listening on 127.0.0.1 port {port} as {os.environ['PUBLIC_URL']}", file=sys.stderr, flush=True)
        await over.wait()


if __name__ == "__main__":
    if os.environ.get("FAKE") == "one dies":
        try:
            with (Path(os.environ["TOLD"]) / "pid").open("x") as told:
                told.write(str(os.getpid()))
        except FileExistsError:
            sys.exit("a bad setting")
        time.sleep(20)
    if os.environ.get("FAKE") == "dies":
        sys.exit("a bad setting")
    asyncio.run(serve())
