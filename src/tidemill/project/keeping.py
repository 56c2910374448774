"""What is kept of a captured run in the tracker, most of it while the script runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tidemill.domain.digest import Digest
from tidemill.domain.record import to_plain
from tidemill.errors import TidemillError
from tidemill.project.layout import Layout, read_marker
from tidemill.project.runbook import Row, Runbook, open_runbook
from tidemill.stages.capture import arguments, printed, streams
from tidemill.stages.capture.child import Ended
from tidemill.stages.capture.record import Captured

if TYPE_CHECKING:
    from tidemill.backends.trackers._system import SystemSampler

RECORD = "run.json"
_CODE = (".py", ".pyx", ".ipynb", ".sh", ".toml", ".cfg", ".ini", ".yaml", ".yml", ".r", ".jl", ".c", ".cpp", ".h")
_PATIENCE = 60.0  # seconds after the script's end that the tracker has to be ready
_PARSED = 2 << 20  # bytes of output that are searched for figures


class Beside:
    """What is done beside the script: the run in the tracker, the state of the code, the machine's load."""

    def __init__(self, layout: Layout, root: Path, command: Sequence[str], name: str, pid: int) -> None:
        self._layout, self._root, self._command, self._name, self._pid = layout, root, command, name, pid
        self.run, self.difference, self.notes = "", b"", list[str]()
        self.commit: str | None = None
        self.dirty: Digest | None = None
        self._book: Runbook | None = None
        self._held: list[tuple[list[Row], dict[str, object], dict[str, str]]] = []
        self._lock = threading.Lock()
        self._sampler: SystemSampler | None = None
        self._thread = threading.Thread(target=self._begin, name="tracker", daemon=True)

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def join(self) -> None:
        """The run is there now, or why it is not is in `notes`."""
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            self.notes.append(f"no run: the tracker was not ready {_PATIENCE:.0f} s after the end")

    def add(self, metrics: list[Row], params: Mapping[str, object], tags: Mapping[str, str]) -> None:
        """Held back until the run is there."""
        with self._lock:
            if self._book is None:
                self._held.append((metrics, dict(params), dict(tags)))
                return
        self._book.add(self.run, metrics=metrics, params=params, tags=tags)

    def _begin(self) -> None:
        try:
            from tidemill.stages.snapshot import code_state

            code, self.difference = code_state(self._root, fresh=lambda name: name.lower().endswith(_CODE))
            self.commit, self.dirty = code.commit, code.dirty
        except TidemillError as error:
            self.notes.append(f"no code state: {error.headline}")
        try:
            self._open()
        except TidemillError as error:
            self.notes.append(f"no run: {error.headline}")
        except Exception as error:  # the tracker is not the script's: it goes on, and the end tells
            self.notes.append(f"no run: {type(error).__name__}: {str(error).splitlines()[:1]}")

    def _open(self) -> None:
        script = arguments.script_of(self._command)
        book = open_runbook(self._layout, experiment_of(self._layout))
        tags = {
            "tidemill.kind": "captured", "tidemill.command": " ".join(self._command), "mlflow.source.name": script.name,
            **({"mlflow.source.git.commit": self.commit} if self.commit else {}),
            **({"tidemill.dirty": str(self.dirty)} if self.dirty else {}),
        }  # fmt: skip
        self.run = book.start(self._name or Path(script.name).stem, arguments.parameters(script.arguments), tags)
        with self._lock:
            held, self._held, self._book = self._held, [], book
        for metrics, params, more in held:
            book.add(self.run, metrics=metrics, params=params, tags=more)
        with contextlib.suppress(ImportError):
            from tidemill.backends.trackers._system import SystemSampler

            self._sampler = SystemSampler(self._sample)

    def _sample(self, metrics: Mapping[str, float], step: int) -> None:
        at = int(time.time() * 1000)
        rows = [(name, value, at, step) for name, value in metrics.items() if name != "system/process_memory_megabytes"]
        with contextlib.suppress(OSError, IndexError, ValueError):
            pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
            rows.append(("system/process_memory_megabytes", pages * os.sysconf("SC_PAGE_SIZE") / 1e6, at, step))
        with contextlib.suppress(Exception):  # a sample that is lost is no reason to stop
            self.add(rows, {}, {})

    def close(self, captured: Captured, folder: Path, outputs: Sequence[streams.Stream], ended: Ended) -> str:
        """Write the record and end the run. Says what went wrong: the script's exit code does not depend on it."""
        if self._sampler is not None:
            self._sampler.stop()
        try:
            if self._book is not None:
                self._close(self._book, captured, folder, outputs, ended)
        except TidemillError as error:
            return error.headline
        except Exception as error:  # a tracker may fail in many ways
            return str(error).splitlines()[0] if str(error) else type(error).__name__
        return "" if self._book is not None else "; ".join(self.notes)

    def _close(
        self, book: Runbook, captured: Captured, folder: Path, outputs: Sequence[streams.Stream], ended: Ended
    ) -> None:
        """The end is told whatever becomes of the files and of the figures in the output."""
        with contextlib.ExitStack() as last:
            last.callback(book.finish, self.run, _status(ended))
            last.callback(book.add, self.run, metrics=_used(ended), params={}, tags=_ending(ended))
            output = self._keep(book, captured, folder, outputs)
            at = int(time.time() * 1000)
            figures = [(f"printed/{name}", value, at, step) for name, value, step in _printed(output)]
            if figures:
                book.add(self.run, metrics=figures, params={}, tags={})

    def _keep(self, book: Runbook, captured: Captured, folder: Path, outputs: Sequence[streams.Stream]) -> Path:
        """The record and the output as artefacts; the folder of the output."""
        lineage, output = folder / "lineage", folder / "output"
        for each in (lineage, output):
            each.mkdir()
        (lineage / RECORD).write_text(json.dumps(to_plain(captured), indent=1, ensure_ascii=True), encoding="utf-8")
        if self.difference:
            (lineage / "dirty.diff").write_bytes(self.difference)
        for stream in outputs:
            with contextlib.suppress(OSError):
                os.rename(folder / stream.name, output / stream.name)
        for executed in folder.glob("executed-*.ipynb"):
            os.rename(executed, output / executed.name.removeprefix("executed-"))
        for listed in folder.glob("*.sha256"):
            os.rename(listed, lineage / listed.name)
        book.keep(self.run, lineage, "lineage")
        book.keep(self.run, output, "output")
        return output


def _status(ended: Ended) -> Literal["finished", "failed", "killed"]:
    by_hand = ended.signal in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL) or ended.code in (130, 143)
    return "finished" if ended.code == 0 else "killed" if by_hand else "failed"


def _used(ended: Ended) -> list[Row]:
    at = int(time.time() * 1000)
    used = {"seconds": ended.seconds, "cpu_seconds": ended.cpu, "peak_memory_megabytes": ended.memory_mb}
    return [(name, value, at, 0) for name, value in used.items()]


def _ending(ended: Ended) -> dict[str, str]:
    died = {"tidemill.signal": signal.Signals(ended.signal).name} if ended.signal else {}
    return {"tidemill.exit_code": str(ended.code), **died}


def _printed(output: Path) -> list[tuple[str, float, int]]:
    found = []
    for name in ("stdout.txt", "output.txt", "stderr.txt"):
        if (output / name).is_file():
            with (output / name).open("rb") as file:
                found += list(printed.figures(file.read(_PARSED).decode("utf-8", "replace")))
    return found


def experiment_of(layout: Layout) -> str:
    """Where the runs of a folder are: MLFLOW_EXPERIMENT_NAME, the project's name, or the folder's."""
    named = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if named:
        return named
    return read_marker(layout).name if layout.marker.is_file() else layout.root.name or "runs"
