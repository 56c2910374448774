"""Requests at a rate, on 32 connections: soak_client.py URL BODY RATE SECONDS PERIOD

Each PERIOD seconds it tells, as a line of JSON, `answers`, of these `failed` (not 200), `lost` (connections that ended
with a request on them, or could not be made) and the median and the 99th percentile of the latency in milliseconds,
which counts from when a request was due.
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
rate, seconds, period = map(float, sys.argv[3:])
request = (
    f"POST {url.path} HTTP/1.1\r\nhost: {url.netloc}\r\ncontent-type: application/json\r\n"
    f"content-length: {len(body)}\r\n\r\n"
).encode() + body


class Client(asyncio.Protocol):
    """One connection with one request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.due = 0.0
        self.free = True
        self.open = True

    def data_received(self, data: bytes) -> None:
        latencies.append(time.perf_counter() - self.due)
        counts["failed"] += not data.startswith(b"HTTP/1.1 200")
        self.free = True

    def connection_lost(self, exc: Exception | None) -> None:
        counts["lost"] += not self.free
        self.open = False

    def send(self, due: float) -> None:
        self.due, self.free = due, False
        self.transport.write(request)  # type: ignore[attr-defined]  # a socket's


latencies: list[float] = []
counts = {"failed": 0, "lost": 0}


def tell() -> None:
    seen = sorted(latencies)
    quantiles = {f"p{share}": 1000 * seen[len(seen) * share // 100] if seen else None for share in (50, 99)}
    print(json.dumps({"answers": len(seen), **counts, **quantiles}), flush=True)
    latencies.clear()
    counts.update(failed=0, lost=0)


async def main() -> None:
    loop = asyncio.get_running_loop()
    assert url.hostname
    assert url.port
    host, port = url.hostname, url.port

    async def connect() -> Client:
        return (await loop.create_connection(Client, host, port))[1]

    clients = [await connect() for _ in range(CONNECTIONS)]
    began, sent, told = time.perf_counter(), 0, 1
    while (now := time.perf_counter()) - began < seconds:
        for number, client in enumerate(clients):
            due = began + sent / rate
            if due > now:
                break
            if not client.open:
                try:
                    clients[number] = await connect()
                except OSError:
                    counts["lost"] += 1
            elif client.free:
                client.send(due)
                sent += 1
        if now - began >= told * period:
            told += 1
            tell()
        await asyncio.sleep(0)
    until = time.perf_counter() + 30
    while not all(client.free for client in clients if client.open) and time.perf_counter() < until:
        await asyncio.sleep(0.01)
    tell()


uvloop.run(main())
