"""Requests at a rate, whatever the server does, in a process of its own.

    python -m tests.faults.crowd URL BODY RATE SECONDS

Sends the file BODY so often a second, each time on a connection that waits for nothing, until SECONDS are over, and
waits for the answers; with a RATE of 0, on 32 connections without a pause. Prints as JSON how many were answered (`ok`)
within the time, how many were refused as they should (`busy`: 429 or 503 with Retry-After), which other statuses came,
and how many requests had no answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

_CONNECTIONS = 32
_LONGEST = 30.0  # seconds for an answer


class Crowd:
    """Idle connections wait in `_free`; there are as many as requests that are under way."""

    def __init__(self, url: str, body: bytes, seconds: float) -> None:
        self._address = urlsplit(url)
        head = (
            f"POST {self._address.path} HTTP/1.1\r\nHost: {self._address.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self._seconds = seconds
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.seen: Counter[str] = Counter()

    async def run(self, rate: float) -> None:
        """Until the time is over, and everything is answered."""
        self._until = time.monotonic() + self._seconds
        if not rate:
            await asyncio.gather(*(self._go_on() for _ in range(_CONNECTIONS)))
            return
        began = time.monotonic()
        tasks: list[asyncio.Task[None]] = []
        while (now := time.monotonic()) < self._until:
            due = round((now - began) * rate) - len(tasks)
            tasks += [asyncio.create_task(self._ask()) for _ in range(due)]
            await asyncio.sleep(0.005)
        await asyncio.gather(*tasks)

    async def _go_on(self) -> None:
        while time.monotonic() < self._until:
            await self._ask()

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(_LONGEST):
                connection = self._free.pop() if self._free else await self._connect()
                self.seen[await self._answer(*connection)] += 1
                self._free.append(connection)
        except (OSError, EOFError, TimeoutError) as error:
            self.seen[f"none: {error!r}"] += 1

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._address.hostname, self._address.port)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        status = head[9:12].decode()
        if status == "200":
            return "ok" if time.monotonic() < self._until else "late"
        return "busy" if status in ("429", "503") and b"\r\nretry-after: " in head else status


def main() -> None:
    """As the module's docstring says."""
    url, body, rate, seconds = sys.argv[1:]
    crowd = Crowd(url, Path(body).read_bytes(), float(seconds))
    asyncio.run(crowd.run(float(rate)))
    print(json.dumps(crowd.seen))


if __name__ == "__main__":
    main()
