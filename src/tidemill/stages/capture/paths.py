"""Which of the files that a script touches are data, which are its code, and which are nobody's question."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Literal

Kind = Literal["data", "code", "none"]

_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/", "/lib/", "/lib64/", "/bin/", "/sbin/", "/run/", "/snap/",
           "/nix/store/", "/var/cache/", "/var/lib/")  # fmt: skip
_INSTALLED = ("/site-packages/", "/dist-packages/", "/lib/python3", "/.git/", "/.dvc/cache/", "/.tidemill/",
              "/__pycache__/", "/.ipynb_checkpoints/", "/node_modules/", "/share/jupyter/",
              "/tidemill/shim/")  # fmt: skip
_CACHES = (".config/", ".local/", ".matplotlib/", ".nv/", ".conda/", ".ipython/", ".jupyter/", ".triton/", ".pyenv/",
           ".rustup/", ".cargo/")  # fmt: skip
_CACHED_DATA = ("huggingface/", "torch/hub/", "keras/")  # of ~/.cache: what was downloaded to be worked with
_CODE = frozenset((".py", ".pyi", ".ipynb", ".sh", ".pyx", ".r", ".jl"))
_LIBRARIES = (".so", ".pyc", ".pyd", ".dll", ".dylib", ".pth", ".egg-link")
_FILES = frozenset(("pyvenv.cfg", "matplotlibrc", ".netrc", ".gitconfig", ".bashrc", ".profile"))


def skipped_prefixes(command: str, root: str) -> tuple[str, ...]:
    """Prefixes below which there is only what is installed: the system, this interpreter, and that of `command`.

    One that has the run's folder `root` in it is left out.
    """
    found = [*_SYSTEM, f"{sys.base_prefix}/lib/", f"{sys.prefix}/lib/"]
    program = shutil.which(command)
    for each in {program, os.path.realpath(program)} if program else ():
        folder = Path(each).parent.parent
        if Path(each).name.startswith(("python", "pypy")) and (folder / "lib").is_dir() and folder != Path("/"):
            found.append(f"{folder}/lib/")
    return tuple(each for each in dict.fromkeys(found) if not root.startswith(each))


def source_of(path: str) -> str:
    """The .py file that a compiled one in __pycache__ was made of; any other path as it is."""
    folder, _, name = path.rpartition("/__pycache__/")
    return f"{folder}/{name.split('.')[0]}.py" if folder and ".pyc" in name else path


def kind_of(path: str, root: str, state: str) -> Kind:
    """What `path`, absolute and without dots, is to a run in the folder `root` that keeps its state in `state`."""
    inside = path.startswith(f"{root}/")
    if path.startswith(f"{state}/") or _is_installed(path, root if inside else ""):
        return "none"
    name = path.rpartition("/")[2]
    suffix = os.path.splitext(name)[1].lower()
    if name in _FILES or suffix in _LIBRARIES or ".so." in name:
        return "none" if suffix != ".pth" else _weights(path)
    home = os.path.expanduser("~/")
    if path.startswith(home) and not inside:
        below = path[len(home) :]
        if below.startswith(_CACHES):
            return "none"
        if below.startswith(".cache/") and not below[7:].startswith(_CACHED_DATA):
            return "none"
    return "code" if suffix in _CODE else "data"


def _is_installed(path: str, root: str) -> bool:
    """`root` is the run's folder when the path is in it: where that lies says nothing of what is in it."""
    if path.startswith(_SYSTEM) and not root.startswith(_SYSTEM):
        return True
    return any(each in path[len(root) :] for each in _INSTALLED)


def _weights(path: str) -> Kind:
    """A .pth file is PyTorch's weights, unless it is one of the short lists of folders beside installed packages."""
    return "data" if "-packages" not in path else "none"
