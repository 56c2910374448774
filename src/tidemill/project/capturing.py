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
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import InputError
from tidemill.files import sweep_staging
from tidemill.project.keeping import Beside
from tidemill.project.layout import MARKER, Layout
from tidemill.stages.capture import native, paths, record, streams, told
from tidemill.stages.capture.child import Child, Ended
from tidemill.stages.capture.digests import DigestCache
from tidemill.stages.capture.notes import NoteLog
from tidemill.stages.capture.record import Captured, File
from tidemill.stages.capture.recorder import Recorder
from tidemill.stages.capture.table import FileTable

if TYPE_CHECKING:
    from tidemill.stages.capture.watch import Watch

_VARIABLES = ("CUDA_VISIBLE_DEVICES", "PYTHONHASHSEED", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONPATH",
              "CUBLAS_WORKSPACE_CONFIG", "TOKENIZERS_PARALLELISM", "HF_HOME", "LOCAL_RANK", "WORLD_SIZE")  # fmt: skip


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
    """The run's id, its record, and how the script ended. `lost` says why the record is not kept, when it is not."""

    run: str
    captured: Captured
    ended: Ended
    lost: str = ""


def place(start: Path | None = None) -> tuple[Layout, bool]:
    """Where the runs of a script in `start` are kept: its project, else its git repository, else its folder.

    The second value says that `.tidemill/` was made just now.
    """
    try:
        here = (start or Path.cwd()).resolve()
    except FileNotFoundError:
        raise InputError("the folder that this was started in is gone", "cd  into one that is there") from None
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
    library = native.built(asked.layout.cache) if asked.preload else None
    log = _open_log(folder, _program(asked.command)[0], str(asked.root)) if library else None
    original = _environment()
    outputs = streams.open_streams()
    child = Child(_program(asked.command), _given(original, folder, library if log else None, asked.autolog), outputs)
    for stream in outputs:
        stream.start(folder)
    cache = DigestCache(asked.layout.cache / "digests.db")
    table = FileTable(str(asked.root), str(asked.layout.state), cache.digest)
    beside = Beside(asked.layout, asked.root, asked.command, asked.name, child.pid)
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
    if log is not None:
        log.close()
        (folder / "log").unlink()  # what it took is free for the record where the disk is full
    lost = beside.close(captured, folder, outputs, ended)
    if leftover:
        _relay(leftover)
    return Outcome(beside.run, captured, ended, lost)


def _program(command: Sequence[str]) -> Sequence[str]:
    """What is started: a notebook, and a script that is not executable, by the Python of the PATH."""
    first = command[0]
    if first.endswith(".ipynb"):
        return (_python(), str(files("tidemill.shim").joinpath("notebook.py")), *command)
    if first.endswith(".py") and Path(first).is_file() and not os.access(first, os.X_OK):
        return (_python(), *command)
    return command


def _python() -> str:
    return shutil.which("python") or shutil.which("python3") or sys.executable


def _open_log(folder: Path, command: str, root: str) -> NoteLog | None:
    try:
        return NoteLog(folder / "log", paths.skipped_prefixes(command, root))
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


def _record(
    asked: Asked, ended: Ended, table: FileTable, beside: Beside, folder: Path, seen_by: tuple[str, ...], lost: int
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
