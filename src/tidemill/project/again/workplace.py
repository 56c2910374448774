"""A fresh directory with a run's code and data: a clone at its commit, its changes applied, its data version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.digest import Digest
from tidemill.errors import DataError, InputError, NotFoundError, StateError, StorageError
from tidemill.files import link_or_copy
from tidemill.project.data.versions import store
from tidemill.project.layout import Layout
from tidemill.stages.snapshot import code_state

if TYPE_CHECKING:
    from tidemill.domain.run import Code, RunSpec

# What says which packages a project wants; looked for in its folder.
_LOCKS = re.compile(
    r"(.*\.lock|.*requirements.*\.(txt|in)|constraints.*\.txt|pyproject\.toml|environment\.ya?ml|setup\.(py|cfg)|"
    r"conda-lock\.yml|Pipfile|pixi\.toml|\.python-version)"
)
_NAMED = re.compile(rb"diff --git a/(?P<name>.+) b/.+\nnew file mode \d+\nBinary files /dev/null and b/.+ differ "
                    rb"\(sha256 (?P<digest>[0-9a-f]{64})\)\n")  # fmt: skip


@dataclass(frozen=True)
class Workplace:
    """`layout` is the project in the fresh directory; `code` is what of the recorded code could not be had."""

    layout: Layout
    code: tuple[str, ...]
    files: tuple[str, ...]
    notes: tuple[str, ...]


@contextmanager
def fresh_directory(given: Path | None) -> Iterator[Path]:
    """`given`, which must not exist and stays; or a temporary one that goes."""
    if given is None:
        with tempfile.TemporaryDirectory(prefix="tidemill-") as folder:
            yield Path(folder) / "again"
        return
    if given.exists():
        raise InputError(f"{given} exists already", "name a directory that is not there yet")
    if not given.absolute().parent.is_dir():
        raise InputError(f"{given.absolute().parent} is no folder to work in", "make it first")
    yield given.absolute()


def set_up(layout: Layout, code: Code, difference: bytes, into: Path) -> Workplace:
    """Clone the project's repository to `into` at the commit, with the difference. Raises StateError."""
    top = Path(_git(layout.root, "rev-parse", "--show-toplevel").strip())
    inside = layout.root.resolve().relative_to(top.resolve())
    if not _has_commit(layout.root, code.commit):
        raise StateError(
            f"the commit {code.commit[:12]} that the run was made of is not in this repository",
            "fetch it from where the run was made:  git fetch --all",
        )
    _git(top, "clone", "--quiet", "--shared", "--no-checkout", str(top), str(into))
    _git(into, "checkout", "--quiet", "--detach", code.commit)
    made = Layout(into / inside)
    missing = _apply(layout, made, difference)
    if not missing and code_state(made.root)[0] != code:
        missing = ["the clone with the recorded difference is not the recorded code: git's settings may change files"]
    return Workplace(made, tuple(missing), tuple(_changed_locks(layout, made)), tuple(_carry_pretrained(layout, made)))


def _apply(layout: Layout, made: Layout, difference: bytes) -> list[str]:
    """Apply the difference; the files that it only names by digest are taken from the project where they fit."""
    missing = []
    for found in _NAMED.finditer(difference):
        name = found["name"].decode("utf-8", "surrogateescape")
        present, target = layout.root / name, made.root / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise StateError(
                f"the recorded difference names a file outside of the project: {name[:80]}", "do not use it"
            )
        if present.is_file() and Digest.of_file(present).hex == found["digest"].decode():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(present, target)
        else:
            missing.append(f"{name} was not committed, and is no longer as it was")
    patch = _NAMED.sub(b"", difference)
    if patch.strip():
        prefix = _git(made.root, "rev-parse", "--show-prefix").strip()
        where = [f"--directory={prefix.rstrip('/')}"] if prefix else []
        _git(made.root, "apply", "--whitespace=nowarn", *where, "-", given=patch)
    return missing


def _changed_locks(layout: Layout, made: Layout) -> list[str]:
    """Lock and requirement files that the run had differently, each with what became of it."""
    names = {path.name for root in (layout.root, made.root) for path in root.iterdir() if path.is_file()}
    found = []
    for name in sorted(each for each in names if _LOCKS.fullmatch(each) and each != "dvc.lock"):
        was, now = (root / name for root in (made.root, layout.root))
        if not was.is_file() or not now.is_file():
            found.append(f"{name} is new" if now.is_file() else f"{name} is gone")
        elif was.read_bytes() != now.read_bytes():
            found.append(f"{name} has changed")
    return found


def _carry_pretrained(layout: Layout, made: Layout) -> list[str]:
    """Pretrained weights are not in git, and no record has their digest: they are taken as they lie there now."""
    there = layout.root / "pretrained"
    if not there.is_dir() or (made.root / "pretrained").exists():
        return []
    (made.root / "pretrained").symlink_to(there.resolve())
    return ["pretrained weights are taken as they lie in the project now"]


def place_data(layout: Layout, made: Layout, spec: RunSpec) -> str:
    """Give the fresh directory the data version of the run; what is wrong with it, '' when nothing is.

    Its files are further names of those that the project's own store verified; training verifies them again.
    """
    name, _, version = spec.dataset.rpartition("-v")
    try:
        data = store(layout)
        record = next((each for each in data.versions(name) if each.version == version), None)
        if record is None:
            return f"there is no data version {spec.dataset} any more"
        if record.digest != spec.dataset_digest:
            return f"{spec.dataset} has another content than the run was trained on: its tag was moved"
        folder = data.checkout(name, version)
    except (DataError, StateError, StorageError, NotFoundError) as error:
        return error.headline
    target = made.datasets / spec.dataset
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        to = target / path.relative_to(folder)
        to.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(path, to)
    return ""


def _has_commit(root: Path, commit: str) -> bool:
    if not re.fullmatch(r"[0-9a-f]{7,64}", commit):
        return False
    done = subprocess.run(
        ("git", "-C", str(root), "cat-file", "-e", f"{commit}^{{commit}}"), capture_output=True, check=False
    )
    return done.returncode == 0


def _git(root: Path, *arguments: str, given: bytes | None = None) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_DIR")}
    done = subprocess.run(("git", "-C", str(root), *arguments), input=given, capture_output=True, check=False, env=env)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["unknown reason"]
        raise StateError(f"git {arguments[0]} failed: {reason[0]}", "do what git says, then run this again")
    return done.stdout.decode(errors="replace")
