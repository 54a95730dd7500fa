"""A process that a `Fleet` can start in place of a bot: it listens, says so as a bot does, and answers with its pid.

`python -m fake_process serve`; `FAKE=dies`: ends at once. SIGTERM ends it, as it ends a bot.
"""

import asyncio
import os
import signal
import sys


async def serve() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(f"{os.getpid()} {os.environ['PUBLIC_URL']}\n".encode())
        await writer.drain()
        writer.close()

    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        print(f"INFO listening on 127.0.0.1 port {port} as {os.environ['PUBLIC_URL']}", file=sys.stderr, flush=True)
        await over.wait()


if __name__ == "__main__":
    if os.environ.get("FAKE") == "dies":
        sys.exit("a bad setting")
    asyncio.run(serve())
