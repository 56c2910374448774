"""`tidemill run`: somebody else's script, unchanged, with all its lineage.

The script starts first. What takes time (the tracker, git, digests, importing MLflow where it is needed) happens beside
it, and only what cannot be known earlier is left for the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.digest import Digest
from tidemill.domain.record import to_plain
from tidemill.errors import TidemillError
from tidemill.files import sweep_staging
from tidemill.project.layout import MARKER, Layout, read_marker
from tidemill.project.runbook import Runbook, open_runbook
from tidemill.stages.capture import arguments, native, paths, printed, record, streams, told
from tidemill.stages.capture.child import Child, Ended
from tidemill.stages.capture.digests import DigestCache
from tidemill.stages.capture.notes import NoteLog
from tidemill.stages.capture.record import Captured, File
from tidemill.stages.capture.recorder import Recorder, Row
from tidemill.stages.capture.table import FileTable

if TYPE_CHECKING:
    from tidemill.stages.capture.watch import Watch

RECORD = "run.json"
_CODE = (".py", ".pyx", ".ipynb", ".sh", ".toml", ".cfg", ".ini", ".yaml", ".yml", ".r", ".jl", ".c", ".cpp", ".h")
_VARIABLES = ("CUDA_VISIBLE_DEVICES", "PYTHONHASHSEED", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONPATH",
              "CUBLAS_WORKSPACE_CONFIG", "TOKENIZERS_PARALLELISM", "HF_HOME", "LOCAL_RANK", "WORLD_SIZE")  # fmt: skip
_PARSED = 2 << 20  # bytes of output that are searched for figures


@dataclass(frozen=True, slots=True)
class Asked:
    """What to run. `root` is the folder whose files are shown by their path inside it."""

    command: tuple[str, ...]
    layout: Layout
    root: Path
    autolog: bool = True
    name: str = ""
    preload: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """The run's id, its record, how the script ended, and what could not be kept."""

    run: str
    captured: Captured
    ended: Ended


def place(start: Path | None = None) -> tuple[Layout, bool]:
    """Where the runs of a script in `start` are kept: its project, else its git repository, else its folder.

    The second value says that `.tidemill/` was made just now.
    """
    here = (start or Path.cwd()).resolve()
    above = (here, *here.parents)
    root = next((each for each in above if (each / MARKER).is_file()), None)
    root = root or next((each for each in above if (each / ".git").exists()), here)
    layout = Layout(root)
    new = not layout.state.is_dir()
    if not (layout.state / ".gitignore").exists() and not (root / MARKER).is_file():
        layout.state.mkdir(exist_ok=True)
        (layout.state / ".gitignore").write_text("*\n", encoding="utf-8")
    return layout, new


def capture(asked: Asked) -> Outcome:
    """Run the command to its end. Signals that it gets reach the script.

    Raises InputError when there is no such program; nothing is recorded then.
    """
    layout = asked.layout
    sweep_staging(layout.staging)
    folder = layout.staging / f"{os.getpid()}-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    try:
        return _capture(asked, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _capture(asked: Asked, folder: Path) -> Outcome:
    library = native.library(asked.layout.cache) if asked.preload else None
    log = _open_log(folder, asked.command[0]) if library else None
    original = _environment()
    outputs = streams.open_streams()
    child = Child(asked.command, _given(original, folder, library if log else None, asked.autolog), outputs)
    for stream in outputs:
        stream.start(folder)
    began = time.time()
    cache = DigestCache(asked.layout.cache / "digests.db")
    table = FileTable(str(asked.root), str(asked.layout.state), cache.digest)
    beside = _Beside(asked, child.pid)
    watch = _watch(asked) if log is None else None
    recorder = Recorder(folder, log, table, beside.add, watch.notes if watch else None)
    beside.start()
    ended = child.wait()
    for stream in outputs:
        stream.finish()
    leftover = [stream for stream in outputs if stream.open]
    recorder.finish()
    beside.join()
    cache.close()
    seen_by = ("native",) if log else ("audit", "inotify") if watch else ("audit",)
    captured = _record(
        asked, ended, table, beside, folder, seen_by, (log.lost if log else 0) + (watch.lost if watch else 0)
    )
    notes = [*captured.notes, *(f"{stream.name}: {stream.problem}" for stream in outputs if stream.problem)]
    notes += [recorder.problem] if recorder.problem else []
    notes += ["a child of the script goes on; what it does from now on is not seen"] if leftover else []
    captured = _with_notes(captured, notes)
    beside.close(captured, folder, outputs, ended, began)
    if leftover:
        _relay(leftover)
    return Outcome(beside.run, captured, ended)


def _open_log(folder: Path, command: str) -> NoteLog | None:
    try:
        return NoteLog(folder / "log", paths.skipped_prefixes(command))
    except (OSError, ValueError):
        return None  # a file system that cannot reserve space: a full disk would kill the script's processes


def _watch(asked: Asked) -> Watch | None:
    from tidemill.stages.capture.watch import Watch

    named = [Path(word.partition("=")[2] or word) for word in asked.command[1:]]
    folders = [each if each.is_dir() else each.parent for each in named if each.exists() and each.is_absolute()]
    return Watch.begin([asked.root, Path.cwd(), *folders], asked.layout.state)


def _environment() -> dict[str, str]:
    """The environment as it was given to us: importing Tidemill sets variables for its own sake."""
    try:
        words = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return dict(os.environ)
    return {
        os.fsdecode(name): os.fsdecode(value) for name, _, value in (word.partition(b"=") for word in words if word)
    }


def _given(original: Mapping[str, str], folder: Path, library: Path | None, autolog: bool) -> dict[str, str]:
    """What the script gets: its environment and the variables that let its processes be seen."""
    given = dict(original)
    shim = str(files("tidemill.shim").joinpath("python"))
    given["PYTHONPATH"] = os.pathsep.join([shim, *([original["PYTHONPATH"]] if original.get("PYTHONPATH") else [])])
    given["TIDEMILL_CAPTURE"] = str(folder / "log")
    if library is not None:
        given["LD_PRELOAD"] = " ".join(
            [*([original["LD_PRELOAD"]] if original.get("LD_PRELOAD") else []), str(library)]
        )
    if not autolog:
        given["TIDEMILL_AUTOLOG"] = "0"
    return given


class _Beside:
    """What is done beside the script: the run in the tracker, the state of the code, the machine's load."""

    def __init__(self, asked: Asked, pid: int) -> None:
        self._asked, self._pid = asked, pid
        self.run, self.difference, self.notes = "", b"", list[str]()
        self.commit: str | None = None
        self.dirty: Digest | None = None
        self._book: Runbook | None = None
        self._held: list[tuple[list[Row], dict[str, object], dict[str, str]]] = []
        self._lock = threading.Lock()
        self._sampler: object = None
        self._thread = threading.Thread(target=self._begin, name="tracker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """The run is there now, or why it is not is in `notes`."""
        self._thread.join()

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

            code, self.difference = code_state(self._asked.root, fresh=lambda name: name.lower().endswith(_CODE))
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
        asked = self._asked
        script = arguments.script_of(asked.command)
        book = open_runbook(asked.layout, _experiment(asked.layout))
        tags = {
            "tidemill.kind": "captured", "tidemill.command": " ".join(asked.command), "mlflow.source.name": script.name,
            **({"mlflow.source.git.commit": self.commit} if self.commit else {}),
            **({"tidemill.dirty": str(self.dirty)} if self.dirty else {}),
        }  # fmt: skip
        self.run = book.start(asked.name or Path(script.name).stem, arguments.parameters(script.arguments), tags)
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

    def close(
        self, captured: Captured, folder: Path, outputs: Sequence[streams.Stream], ended: Ended, began: float
    ) -> None:
        """Write the record and end the run."""
        book = self._book
        if book is None:
            return
        if self._sampler is not None:
            self._sampler.stop()  # type: ignore[attr-defined]  # a SystemSampler, whose module may be absent
        lineage, output = folder / "lineage", folder / "output"
        for each in (lineage, output):
            each.mkdir()
        (lineage / RECORD).write_text(json.dumps(to_plain(captured), indent=1, ensure_ascii=True), encoding="utf-8")
        if self.difference:
            (lineage / "dirty.diff").write_bytes(self.difference)
        for stream in outputs:
            with contextlib.suppress(OSError):
                os.rename(folder / stream.name, output / stream.name)
        for listed in folder.glob("*.sha256"):
            os.rename(listed, lineage / listed.name)
        book.keep(self.run, lineage, "lineage")
        book.keep(self.run, output, "output")
        at = int(time.time() * 1000)
        figures = [(f"printed/{name}", value, at, step) for name, value, step in _printed(output)]
        figures += [(name, value, at, 0) for name, value in (
            ("seconds", ended.seconds), ("cpu_seconds", ended.cpu), ("peak_memory_megabytes", ended.memory_mb),
        )]  # fmt: skip
        tags = {"tidemill.exit_code": str(ended.code)} | (
            {"tidemill.signal": signal.Signals(ended.signal).name} if ended.signal else {}
        )
        book.add(self.run, metrics=figures, params={}, tags=tags)
        by_hand = ended.signal in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL) or ended.code in (130, 143)
        book.finish(self.run, "finished" if ended.code == 0 else "killed" if by_hand else "failed")


def _printed(output: Path) -> list[tuple[str, float, int]]:
    found = []
    for name in ("stdout.txt", "output.txt", "stderr.txt"):
        if (output / name).is_file():
            with (output / name).open("rb") as file:
                found += list(printed.figures(file.read(_PARSED).decode("utf-8", "replace")))
    return found


def _experiment(layout: Layout) -> str:
    named = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if named:
        return named
    return read_marker(layout).name if layout.marker.is_file() else layout.root.name or "runs"


def _record(
    asked: Asked, ended: Ended, table: FileTable, beside: _Beside, folder: Path, seen_by: tuple[str, ...], lost: int
) -> Captured:
    root = str(asked.root)
    tagged = _Tags(asked.layout, asked.root)
    kinds: dict[str, tuple[File, ...]] = {}
    for which in ("reads", "writes", "sources"):
        found = [tagged.name(each) for each in record.files_of(table, root, which)]
        short = record.compact(found)
        if len(short) < len(found):
            (folder / f"{which}.sha256").write_bytes(record.listing(found))
        kinds[which] = tuple(short)
    python = told.interpreter(folder)
    environment = _environment()
    return Captured(
        command=asked.command, folder=str(Path.cwd()), code=ended.code, signal=ended.signal, seconds=ended.seconds,
        reads=kinds["reads"], writes=kinds["writes"], sources=kinds["sources"],
        processes=tuple(line for _, line in table.processes.values())[:200], started=table.started,
        seen_by=seen_by, lost=lost, commit=beside.commit, dirty=beside.dirty, root=root,
        python=f"{python.version} {python.platform}" if python else None, packages=python.packages if python else {},
        notes=tuple(beside.notes), variables={name: environment[name] for name in _VARIABLES if name in environment},
    )  # fmt: skip


def _with_notes(captured: Captured, notes: Sequence[str]) -> Captured:
    from dataclasses import replace

    return replace(captured, notes=tuple(notes))


class _Tags:
    """Names the data version whose shard a file is, or the DVC pointer beside it or above."""

    def __init__(self, layout: Layout, root: Path) -> None:
        self._root = str(root)
        self._shards: dict[str, str] = {}
        self._pointers: dict[str, str] = {}
        for known in layout.data.glob("*.json") if layout.marker.is_file() else ():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                version = json.loads(known.read_bytes())
                tag = f"{version['name']}-v{version['version']}"
                self._shards |= {shard["digest"]: tag for split in version["splits"] for shard in split["shards"]}

    def name(self, file: File) -> File:
        from dataclasses import replace

        found = self._shards.get(file.digest or "") or self._pointer(file.path)
        return replace(file, data=found) if found else file

    def _pointer(self, path: str) -> str:
        """`data/raw.dvc` for `data/raw` and everything below it."""
        if path.startswith("/") or not path:
            return ""
        if path not in self._pointers:
            own = f"{path}.dvc" if os.path.exists(f"{self._root}/{path}.dvc") else ""
            self._pointers[path] = own or self._pointer(os.path.dirname(path))
        return self._pointers[path]


def _relay(leftover: Sequence[streams.Stream]) -> None:
    """A child of the script still has its output: a process of ours passes it on until it ends, as a shell would."""
    if os.fork():
        return
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        for stream in leftover:
            threading.Thread(target=stream.relay).start()
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
    finally:
        os._exit(0)
