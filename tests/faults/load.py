"""The other side of `client`: what clients were answered, and what is in the log."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.serve.bundles import picture
from tests.serve.conftest import load as load_bundle
from tidemill.journal.read import Journal

from .client import PICTURES

ROOT = Path(__file__).resolve().parents[2]


class Answer(NamedTuple):
    """What a client got for a picture."""

    id: str
    version: int
    label: str
    number: int


@dataclass(frozen=True)
class Heard:
    """All that clients heard. `bad` counts answers of another status than 200."""

    answers: list[Answer] = field(default_factory=list)
    refused: int = 0
    dropped: list[str] = field(default_factory=list)
    bad: dict[str, int] = field(default_factory=dict)

    @property
    def failures(self) -> list[str]:
        """Requests that were sent and not answered with 200."""
        return [*self.dropped, *(f"{count} times {status}" for status, count in self.bad.items())]


def _answer(line: str) -> Answer:
    id, version, label, number = line.split()
    return Answer(id, int(version), label, int(number))


class Load:
    """A process of clients, from `with` to `stop`."""

    def __init__(self, url: str, answers: Path, *, connections: int = 8) -> None:
        self._file = answers
        self._read = 0
        self._answers: list[Answer] = []
        self._command = [sys.executable, "-m", "tests.faults.client", url, str(answers), str(connections)]

    def answers(self) -> list[Answer]:
        """Those that came so far."""
        if self._file.exists():
            with self._file.open("rb") as file:
                file.seek(self._read)
                whole, line, _ = file.read().rpartition(b"\n")
            self._read += len(whole) + len(line)
            self._answers += [_answer(each) for each in whole.decode().splitlines()]
        return self._answers

    def wait_for(self, count: int, version: int | None = None, seconds: float = 60) -> None:
        """Until so many answers came, of `version` if one is given."""
        until = time.monotonic() + seconds
        while sum(version in (None, each.version) for each in self.answers()) < count:
            assert time.monotonic() < until, f"only {len(self.answers())} answers, fewer than {count} of {version}"
            assert self._process.poll() is None
            time.sleep(0.05)

    def stop(self) -> Heard:
        """Have what was asked answered; what was heard in all."""
        self._process.terminate()
        said, _ = self._process.communicate(timeout=120)
        told = json.loads(said)
        return Heard(self.answers(), told["refused"], told["dropped"], told["statuses"])

    def __enter__(self) -> Self:
        self._file.unlink(missing_ok=True)
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def labels_of(bundle: Path) -> list[str]:
    """What a bundle answers for each picture that clients send."""
    model = load_bundle(bundle)
    scores = model.predictor.score([picture(number) for number in range(PICTURES)]).scores
    return [model.signature.labels[at] for at in scores.argmax(axis=1)]


def wrong(answers: list[Answer], labels: dict[int, list[str]]) -> list[Answer]:
    """Answers that say a version, and are not its own. `labels` are those of each version."""
    return [each for each in answers if each.version not in labels or labels[each.version][each.number] != each.label]


def unlogged(answers: list[Answer], log: Path) -> tuple[int, int, int]:
    """How many answers the log has not, how many of its rows are there twice, and how many nobody heard of."""
    table = Journal(log).predictions().select(["id", "version"]).to_pydict()
    logged = dict(zip(table["id"], table["version"], strict=True))
    missing = sum(logged.get(each.id) != each.version for each in answers)
    return missing, len(table["id"]) - len(logged), len(logged.keys() - {each.id for each in answers})


def resident(pid: int) -> float:
    """Memory of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
