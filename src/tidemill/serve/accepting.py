"""Takes connections one at a time, so that workers that listen on one socket share those that come at once.

The event loop's own way takes all that wait whenever it wakes: of 32 connections that a load balancer opens at once
one worker may get 30, and the other has nothing to do.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from ssl import SSLContext

_PAUSE = 0.1  # seconds, when the process may open no more files


class OneByOne:
    """Accepts on `listener` for this worker. Has of an asyncio.Server what uvicorn asks of one."""

    def __init__(
        self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol], *, tls: SSLContext | None, backlog: int
    ) -> None:
        self._listener, self._protocol, self._tls = listener, protocol, tls
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._connecting: set[asyncio.Task[None]] = set()
        listener.setblocking(False)
        listener.listen(backlog)
        self._listen()

    def close(self) -> None:
        """Take no more. The socket itself is the caller's."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._listener)

    async def wait_closed(self) -> None:
        """Until what was taken has its protocol."""
        while self._connecting:
            await asyncio.wait(self._connecting)

    def _listen(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was first, or the client is gone
        except OSError:
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_PAUSE, self._listen)
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._connect(connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: socket.socket) -> None:
        with suppress(OSError):  # gone already, or no TLS: nobody is there to be told
            await self._loop.connect_accepted_socket(self._protocol, connection, ssl=self._tls)
            return
        connection.close()
