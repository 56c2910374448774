"""The server beside others: requests a second and latency on the same ONNX graphs.

    python benchmarks/serve.py [--only SECTION ...] [--seconds 8] [--rounds 3] [--quick] [--json FILE]

Sections: `table`, `image` (numbers as JSON, beside the peers), `binary` (pixels in a binary body, beside ONNX Runtime
alone), `text` (beside ONNX Runtime alone), `steady` (latency at half of the top load, beside FastAPI), `log` (what the
prediction log costs), `workers`, `cold` (start, memory and room on disk).

Each peer has an environment of its own in build/servers, which is made on the first run (some minutes, and 6 GB); what
cannot be installed is left out, and said. The load comes from wrk, a process of its own, over 32 connections, each
sending another input than the last; the figures are medians of the rounds. Requests at a given rate come from a program
in C (servers/pace.c). Where there are three CPUs or more the load has the last one and the servers, all of them, have
the others. Servers get two threads for the graph; batching is on where it exists; Tidemill's prediction log is on, on
disk, as are its checks.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # started as a script, it finds only its own folder

from benchmarks.serving.bench import CONNECTIONS, Bench
from benchmarks.serving.cold import section_cold
from benchmarks.serving.log import section_log
from benchmarks.serving.machine import THREADS, described
from benchmarks.serving.peers import section_binary, section_image, section_table, section_text
from benchmarks.serving.servers import PEERS
from benchmarks.serving.steady import section_steady
from benchmarks.serving.workers import section_workers

SECTIONS: dict[str, Callable[[Bench], Any]] = {
    "table": section_table,
    "image": section_image,
    "binary": section_binary,
    "text": section_text,
    "steady": section_steady,
    "log": section_log,
    "workers": section_workers,
    "cold": section_cold,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted(SECTIONS))
    parser.add_argument("--peers", nargs="*", default=sorted(PEERS), help="beside which servers")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of 2 s: whether it works, not how fast")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("the load comes from wrk:  apt-get install wrk")
    seconds, rounds = (2, 1) if given.quick else (given.seconds, given.rounds)
    print(described())
    print(f"{CONNECTIONS} connections, {THREADS} threads a graph, {rounds} rounds of {seconds} s")
    with tempfile.TemporaryDirectory(prefix="tidemill-serve-") as name:
        bench = Bench(Path(name), seconds, rounds, given.peers, given.quick)
        found = {section: SECTIONS[section](bench) for section in given.only or SECTIONS}
    if given.json:
        given.json.write_text(json.dumps(found, indent=2, default=asdict))


if __name__ == "__main__":
    main()
