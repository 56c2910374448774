"""In a script's process: notes the interpreter, and hooks a framework once it has been imported.

Nothing here wraps a function of the script or of a framework: only callbacks that the frameworks offer are used, so
that no traceback has a frame of ours. The import hook runs under the file name of Python's own import system, whose
frames Python leaves out of tracebacks itself.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # the module typing is not imported in every process for this
if TYPE_CHECKING:
    from typing import Any

_TARGETS = {
    "sklearn.base": "on_sklearn",
    "xgboost.callback": "on_xgboost",
    "lightning.fabric.utilities.registry": "on_lightning",
    "lightning_fabric.utilities.registry": "on_lightning",
    "transformers.trainer": "on_transformers",
    "torch.optim.optimizer": "on_torch",
}

_FINDER = """
class Finder:
    def __init__(self, targets, after):
        self.targets, self.after = targets, after

    def find_spec(self, name, path=None, target=None):
        if name not in self.targets:
            return None
        from importlib.machinery import PathFinder
        spec = PathFinder.find_spec(name, path, target)
        loader = getattr(spec, "loader", None)
        if loader is None:
            return None
        original, after = loader.exec_module, self.after
        def exec_module(module):
            try:
                del loader.exec_module
            except AttributeError:
                pass
            original(module)
            after(name, module)
        try:
            loader.exec_module = exec_module
        except AttributeError:
            return None
        return spec
"""

_folder = ""
_here = ""


def begin(log: Any, here: Any) -> Any:
    """Note which Python this is; note opened files where nothing else does; wait for the frameworks."""
    global _folder, _here
    _folder, _here = os.path.dirname(log), here
    _note_python()
    if not os.path.exists(log):
        _load("audit").begin(_folder, write)
    if os.environ.get("TIDEMILL_AUTOLOG", "1") == "0":
        return
    space: dict[str, Any] = {}
    exec(compile(_FINDER, "<frozen importlib._bootstrap>", "exec"), space)  # noqa: S102 - the text above
    sys.meta_path.insert(0, space["Finder"](_TARGETS, _after))


def _note_python() -> Any:
    """One file for each interpreter and folders it imports from, whoever comes first."""
    text = "\n".join([sys.executable or "", sys.version.split()[0], sys.platform, *sys.path])
    path = os.path.join(_folder, f"python-{hash_of(text)}")
    if not os.path.exists(path):
        write(path, text, os.O_WRONLY | os.O_CREAT | os.O_EXCL)


def hash_of(text: Any) -> Any:
    value = 0xCBF29CE484222325
    for byte in text.encode("utf-8", "surrogateescape"):
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def write(path: Any, text: Any, flags: Any = os.O_WRONLY | os.O_CREAT | os.O_APPEND) -> Any:
    """Append in one go; no descriptor stays open, and a disk that is full is no matter of the script's."""
    try:
        handle = os.open(path, flags, 0o600)
        try:
            os.write(handle, text.encode("utf-8", "surrogateescape"))
        finally:
            os.close(handle)
    except OSError:
        pass


def _load(name: Any) -> Any:
    """A module of this folder, which is no longer on the path."""
    import importlib.util

    known = f"_tidemill_{name}"
    if known not in sys.modules:
        spec: Any = importlib.util.spec_from_file_location(known, os.path.join(_here, f"{name}.py"))
        sys.modules[known] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[known])
    return sys.modules[known]


def _after(name: Any, module: Any) -> Any:
    try:
        hooks = _load("hooks")
        hooks.begin(_folder, write)
        getattr(hooks, _TARGETS[name])(module)
    except Exception:
        pass
