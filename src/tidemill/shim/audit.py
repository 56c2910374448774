"""Notes opened and renamed files by Python's audit hook: where the library that sees native code cannot be had."""

from __future__ import annotations

import atexit
import json
import os
import stat
import threading
import time

TYPE_CHECKING = False  # the module typing is not imported in every process for this
if TYPE_CHECKING:
    from typing import Any

_OPENED, _WROTE, _RENAMED = 1, 2, 3
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/")
_skipped: tuple[str, ...] = _SYSTEM
_folder = ""
_write: Any = None
_seen: set[object] = set()
_lines: list[str] = []
_last = 0.0
_busy = threading.local()
_SEEN = 1 << 18


def begin(folder: Any, write: Any) -> Any:
    import sys

    global _folder, _write, _skipped
    _folder, _write = folder, write
    root = folder.partition("/.tidemill/")[0]  # where the run's own files are, wherever that is
    _skipped = tuple(each for each in _SYSTEM if not root.startswith(each))
    sys.addaudithook(_hook)
    atexit.register(flush)
    os.register_at_fork(before=flush)


def _hook(event: Any, args: Any) -> Any:
    if event not in ("open", "os.rename") or getattr(_busy, "now", False):
        return
    _busy.now = True
    try:
        _open(*args) if event == "open" else _rename(*args)
    except Exception:
        pass
    finally:
        _busy.now = False


def _open(path: Any, mode: Any, flags: Any) -> Any:
    if isinstance(path, int):
        return
    path = os.path.abspath(os.fsdecode(path))
    writes = bool(flags & os.O_ACCMODE) if isinstance(flags, int) else False
    if isinstance(mode, str):
        writes = any(letter in mode for letter in "wax+")
    if path.startswith(_skipped):
        return
    try:
        found = os.stat(path)
    except OSError:
        if not writes:
            return
        found = None
    if found is not None and not stat.S_ISREG(found.st_mode):
        return
    size, changed, inode = (found.st_size, found.st_mtime_ns, found.st_ino) if found else (0, 0, 0)
    key = (path, writes) if writes else (path, inode, size, changed)
    if key in _seen:
        return
    if len(_seen) < _SEEN:
        _seen.add(key)
    _note(_WROTE if writes else _OPENED, flags if isinstance(flags, int) else 0, inode, size, changed, path, "")


def _rename(source: Any, target: Any, *folders: Any) -> Any:
    if any(each != -1 for each in folders):
        return
    old, new = os.path.abspath(os.fsdecode(source)), os.path.abspath(os.fsdecode(target))
    mode = os.lstat(old).st_mode
    _note(_RENAMED, 0, 0, 0, 0, old, new, mode)


def _note(
    kind: Any, flags: Any, inode: Any, size: Any, changed: Any, text: Any, other: Any, mode: Any = stat.S_IFREG
) -> Any:
    global _last
    now = time.time()
    _lines.append(json.dumps([kind, os.getpid(), flags, mode, 0, inode, size, changed, int(now * 1e9), text, other]))
    if kind != _OPENED or now - _last > 0.5:
        _last = now
        flush()


def flush() -> Any:
    text = "".join(f"{line}\n" for line in _lines)
    _lines.clear()
    if text:
        _write(os.path.join(_folder, f"opens-{os.getpid()}.jsonl"), text)
