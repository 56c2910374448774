"""Clients in a process of their own, which ask without a pause and keep every answer.

    python -m tests.faults.client URL ANSWERS CONNECTIONS

Sends pictures to digits until SIGTERM. A line of ANSWERS is one answer: prediction id, version, class, number of the
picture. At the end it prints, as JSON, how many connections were refused, how many requests were dropped (sent, and
never answered), and how many answers of each status but 200 came.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from tests.serve.bundles import picture

PICTURES = 8
_FLUSH = 0.02  # seconds between two writes of what came
_AGAIN = 0.02  # seconds until a refused connection is tried again


class Clients:
    """`connections` conversations, each with one request at a time on a connection that is kept."""

    def __init__(self, url: str, file: IO[str], connections: int) -> None:
        self._address = urlsplit(url)
        self._file = file
        self._connections = connections
        self._stop = asyncio.Event()
        self.refused = 0
        self.dropped: list[str] = []
        self.statuses: Counter[int] = Counter()
        self._requests = [self._request(picture(number)) for number in range(PICTURES)]

    async def run(self) -> None:
        """Until SIGTERM; what was asked by then is still answered."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop.set)
        flushing = asyncio.create_task(self._flush())
        await asyncio.gather(*(self._converse(number) for number in range(self._connections)))
        flushing.cancel()

    def _request(self, body: bytes) -> bytes:
        head = f"POST /v1/models/digits:predict HTTP/1.1\r\nHost: {self._address.netloc}\r\nContent-Type: image/png\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH)
            self._file.flush()

    async def _converse(self, number: int) -> None:
        while not self._stop.is_set():
            try:
                reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
            except OSError:
                self.refused += 1
                await asyncio.sleep(_AGAIN)
                continue
            try:
                while not self._stop.is_set():
                    number = (number + 1) % PICTURES
                    writer.write(self._requests[number])
                    if not await self._answer(reader, number):
                        break
            except (OSError, EOFError, asyncio.LimitOverrunError) as error:
                self.dropped.append(repr(error))
            finally:
                writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, number: int) -> bool:
        """Keep one answer. Whether the connection is kept, too."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        status = int(head[9:12])
        if status == 200:
            document = json.loads(body)
            answer = document["predictions"][0]
            self._file.write(f"{answer['id']} {document['version']} {answer['class']} {number}\n")
        else:
            self.statuses[status] += 1
            await asyncio.sleep(_AGAIN)
        return b"connection: close" not in head


def main() -> None:
    url, answers, connections = sys.argv[1:]
    with Path(answers).open("w") as file:
        clients = Clients(url, file, int(connections))
        asyncio.run(clients.run())
    print(json.dumps({"refused": clients.refused, "dropped": clients.dropped, "statuses": clients.statuses}))


if __name__ == "__main__":
    main()
