"""Requests at a rate, on 32 connections, each when it is due: python paced.py URL BODY RATE SECONDS

The latency of a request counts from when it was due, so that a server that falls behind is seen to.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

CONNECTIONS = 32
url, body = urlsplit(sys.argv[1]), Path(sys.argv[2]).read_bytes()
rate, seconds = float(sys.argv[3]), float(sys.argv[4])
request = (
    f"POST {url.path} HTTP/1.1\r\nhost: {url.netloc}\r\ncontent-type: application/json\r\n"
    f"content-length: {len(body)}\r\n\r\n"
).encode() + body


class Client(asyncio.Protocol):
    """One connection with one request at a time."""

    def __init__(self) -> None:
        self.due = 0.0
        self.free = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        latencies.append(time.perf_counter() - self.due)
        failures.append(not data.startswith(b"HTTP/1.1 200"))
        self.free = True

    def send(self, due: float) -> None:
        self.due, self.free = due, False
        self.transport.write(request)  # type: ignore[attr-defined]  # a socket's


latencies: list[float] = []
failures: list[bool] = []


async def main() -> None:
    loop = asyncio.get_running_loop()
    assert url.hostname
    assert url.port
    clients: list[Client] = []
    for _ in range(CONNECTIONS):
        _, client = await loop.create_connection(Client, url.hostname, url.port)
        clients.append(client)
    began, sent = time.perf_counter(), 0
    while (now := time.perf_counter()) - began < seconds:
        for client in clients:
            due = began + sent / rate
            if due > now:
                break
            if client.free:
                client.send(due)
                sent += 1
        await asyncio.sleep(0)
    await asyncio.sleep(0.5)


uvloop.run(main())
half = len(latencies) // 10  # the beginning warms up
seen = sorted(latencies[half:])
print(
    json.dumps(
        {
            "rate": len(latencies) / seconds,
            "p50": 1000 * seen[len(seen) // 2],
            "p99": 1000 * seen[len(seen) * 99 // 100],
            "failed": sum(failures),
        }
    )
)
