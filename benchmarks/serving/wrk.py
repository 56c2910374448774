"""As many requests as a server takes: wrk, a process of its own, one request at a time on each connection."""

from __future__ import annotations

import re
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.machine import CLIENT_CPUS, Share, confined, seconds_used, shares


@dataclass(frozen=True)
class Load:
    """What wrk saw: requests a second, milliseconds, answers that were none; its CPU, and the server's processes'."""

    rate: float
    p50: float
    p99: float
    failed: int
    client: Share
    servers: tuple[Share, ...] = ()


# The requests are put together beforehand: wrk has one thread, which must not be what is measured.
SCRIPT = """
local bodies, whole, next = %d, {}, 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "%s"
function init(args)
  for number = 0, bodies - 1 do
    local file = io.open("body-" .. number, "rb")
    whole[number + 1] = wrk.format(nil, nil, nil, file:read("*all"))
    file:close()
  end
end
function request()
  next = next %% bodies + 1
  return whole[next]
end
"""


def wrk(url: str, script: Path, seconds: int, connections: int, place: Path, server: int | None = None) -> Load:
    """`server` is the id of the process whose share of the CPU, and its children's, is wanted."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    before = seconds_used(server) if server else {}
    own, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with confined(CLIENT_CPUS):
        said = subprocess.run(command, cwd=place, check=True, capture_output=True, text=True).stdout
    took, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    client = Share((used.ru_utime - own.ru_utime) / took, (used.ru_stime - own.ru_stime) / took)
    servers = shares(before, seconds_used(server), took) if server else ()
    quantile = {name: milliseconds(value) for name, value in re.findall(r"^\s+(\d\d)%\s+(\S+)$", said, re.MULTILINE)}
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    lost = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    assert rate, said
    failed = (int(bad[1]) if bad else 0) + sum(map(int, lost.groups() if lost else ()))
    return Load(float(rate[1]), quantile["50"], quantile["99"], failed, client, servers)


def milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()  # type: ignore[union-attr]  # wrk's own form
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}[unit]


def show(name: str, load: Load) -> None:
    failed = f"  {load.failed} FAILED" if load.failed else ""
    cpu = f"   wrk's CPU {load.client}"
    print(f"  {name:<22}{load.rate:>10,.0f} /s   p50 {load.p50:>7.2f} ms   p99 {load.p99:>7.2f} ms{cpu}{failed}",
          flush=True)  # fmt: skip
