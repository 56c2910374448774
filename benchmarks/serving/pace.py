"""Requests at a rate, whatever the answers take: servers/pace.c, compiled on the spot, and a server that does nothing.

h2load (1.52) is not fit for it: with --rps its timer fires at most every 10 ms, for all connections at once, so that at
12,000 requests a second over 32 connections 128 of them come in a burst and then none for 7 ms. wrk and hey have no
schedule that a late answer leaves alone.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from benchmarks.serving.machine import CLIENT_CPUS, confined
from benchmarks.serving.servers import SCRIPTS, free_port, running


@dataclass(frozen=True)
class Paced:
    """Latencies in milliseconds from when a request was due; `late`: the p99 of what the client itself was late."""

    rate: float
    p50: float
    p99: float
    p999: float
    late: float
    failed: int


def compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc")


def compiled(name: str, place: Path) -> Path:
    """The program of servers/NAME.c."""
    program = place / name
    if not program.exists():
        cc = compiler()
        assert cc, "asked for before"
        subprocess.run([cc, "-O2", "-o", str(program), str(SCRIPTS / f"{name}.c")], check=True)
    return program


def pace(place: Path, url: str, bodies: list[bytes], *, rate: float, seconds: float, connections: int) -> Paced:
    """A `rate` of 0: each connection sends as soon as it has its answer. The first tenth warms up, and is left out."""
    parts, requests = urlsplit(url), place / "requests"
    with requests.open("wb") as file:
        for body in bodies:
            head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
            whole = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
            file.write(struct.pack("=I", len(whole)) + whole)
    command = [str(compiled("pace", place)), str(parts.port), str(requests), str(rate), str(seconds), str(connections)]
    log = place / "paced"
    with confined(CLIENT_CPUS), log.open("wb") as out:
        subprocess.run(command, check=True, stdout=out)
    return summed_up(np.loadtxt(log, np.int64, ndmin=2), seconds)


def summed_up(log: np.ndarray[tuple[int, ...], np.dtype[np.int64]], seconds: float) -> Paced:
    """Of lines of due, noticed, sent, answered (nanoseconds) and status; what was never answered took for ever."""
    log = log[log[:, 0] >= seconds * 1e8]
    due, noticed, answered, status = log[:, 0], log[:, 1], log[:, 3], log[:, 4]
    took = np.where(status > 0, (answered - due) / 1e6, np.inf)
    p50, p99, p999 = np.quantile(took, (0.5, 0.99, 0.999), method="higher")
    late = np.quantile((noticed - due) / 1e6, 0.99, method="higher")
    rate = len(log) / (0.9 * seconds)
    return Paced(rate, float(p50), float(p99), float(p999), float(late), int((status != 200).sum()))


@contextmanager
def nothing(place: Path) -> Iterator[str]:
    """The address of a server in C that answers every request with the same bytes."""
    port = free_port()
    with running([str(compiled("null", place)), str(port)], port, place):
        yield f"http://127.0.0.1:{port}/"
