"""A TCP proxy in a thread that does to connections what networks do: cut them, slow them, answer 503 for the server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

BUSY = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass
class Weather:
    """`faults` are taken off the front by new connections: 'busy', 'reset', 'slow', or 'fine'; then all is fine.

    'reset' cuts after 4 kB of the answer; 'slow' gives the answer in pieces. `seen` are those that were met.
    """

    faults: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)


@contextmanager
def proxy(target: int, weather: Weather) -> Iterator[int]:
    """Stands before the port `target` of this machine; yields its own port."""
    started = threading.Event()
    running: list[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = weather.faults.pop(0) if weather.faults else "fine"
        weather.seen.append(fault)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await _serve(reader, writer, target, fault)
        finally:
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        stop = asyncio.Event()
        running.append((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), stop))
        started.set()
        await stop.wait()
        server.close()
        if working := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(working, timeout=2)
        while left := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=1)
        await asyncio.sleep(0.1)  # connections are closed by the loop

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    started.wait(10)
    port, loop, stop = running[0]
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # a connection that was cancelled halfway has no owner
            gc.collect()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int, fault: str) -> None:
    if fault == "busy":
        await reader.read(65_536)
        writer.write(BUSY)
        await writer.drain()
        return
    upstream, out = await asyncio.open_connection("127.0.0.1", target)
    sending = asyncio.create_task(_copy(reader, out))
    try:
        given = 0
        while content := await upstream.read(4_096):
            writer.write(content)
            await writer.drain()
            given += len(content)
            if fault == "reset" and given >= 4_096:
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return
            if fault == "slow":
                await asyncio.sleep(0.05)
    finally:
        sending.cancel()  # and not waited for: what is cancelled here must not be held up, or it is left unclosed
        out.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while content := await reader.read(65_536):
            writer.write(content)
            await writer.drain()
        writer.write_eof()
