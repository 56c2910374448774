"""Is this machine and this project fit for the loop? Each finding says what is wrong and what to do."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tidemill.errors import TidemillError
from tidemill.files import process_lives
from tidemill.process import usable_cores
from tidemill.project.layout import Layout, read_marker

if TYPE_CHECKING:
    from collections.abc import Iterator

GIB = 1 << 30
_SERVING = ("numpy", "pillow", "onnxruntime", "starlette", "uvicorn")
_TRAINING = (
    "torch",
    "lightning",
    "transformers",
    "scikit-learn",
    "xgboost-cpu",
    "hydra-core",
    "mlflow",
    "dvc",
    "duckdb",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    verdict: Literal["ok", "warn", "fail"]
    detail: str
    remedy: str = ""


def examine(layout: Layout | None) -> list[Finding]:
    """The machine, and the project when there is one."""
    findings = list(_machine())
    if layout is None:
        findings.append(Finding("project", "warn", "not in a project", "make one:  tidemill init NAME --task image"))
        return findings
    return findings + list(_project(layout))


def _machine() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")
    yield _installed("serving", _SERVING, "tidemill")
    yield _installed("text", ("tokenizers",), "tidemill[text]")
    yield _installed("tables", ("pyarrow",), "tidemill[parquet]")
    yield _installed("training", _TRAINING, "tidemill[train]")
    if (git := shutil.which("git")) is None:
        yield Finding("git", "fail", "not found", "install git: data versions and runs are tied to commits")
    else:
        said = subprocess.run([git, "--version"], capture_output=True, text=True, check=False).stdout.strip()
        yield Finding("git", "ok", said.removeprefix("git version "))
    yield _cores()


def _installed(what: str, distributions: tuple[str, ...], requirement: str) -> Finding:
    found, missing = [], []
    for name in distributions:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding(what, "warn", f"missing: {', '.join(missing)}", f"pip install '{requirement}'")
    return Finding(what, "ok", ", ".join(found))


def _cores() -> Finding:
    cores = usable_cores()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > cores:
        return Finding(
            "threads",
            "warn",
            f"OMP_NUM_THREADS={asked}, but this process may use {cores} cores",
            "unset OMP_NUM_THREADS: more threads than cores can be many times slower",
        )
    return Finding("threads", "ok", f"{cores} cores usable")


def _project(layout: Layout) -> Iterator[Finding]:
    try:
        marker = read_marker(layout)
        yield Finding("project", "ok", f"{marker.name} ({marker.task}) at {layout.root}")
    except TidemillError as error:
        yield Finding("project", "fail", error.headline, error.remedy)
    yield _repository(layout)
    yield _disk(layout)
    yield _database(layout)
    yield _leftovers(layout)
    yield from _records(layout)


def _repository(layout: Layout) -> Finding:
    if not (layout.root / ".git").exists():
        return Finding("repository", "fail", "no git repository here", "git init && git add -A && git commit")
    if not (layout.root / ".dvc").is_dir():
        return Finding("repository", "fail", "DVC is not set up here", "dvc init && git commit -m 'Start DVC'")
    head = subprocess.run(
        ["git", "symbolic-ref", "-q", "--short", "HEAD"], cwd=layout.root, capture_output=True, text=True, check=False
    )
    if head.returncode != 0:
        return Finding("repository", "warn", "HEAD is detached", "git switch BRANCH before the next data add")
    return Finding("repository", "ok", f"git and DVC, on branch {head.stdout.strip()}")


def _disk(layout: Layout) -> Finding:
    free = shutil.disk_usage(layout.root).free
    if free < GIB:
        return Finding("disk", "warn", f"{free / GIB:.1f} GiB free", "free some: bundles and data versions need it")
    return Finding("disk", "ok", f"{free / GIB:.0f} GiB free")


def _database(layout: Layout) -> Finding:
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return Finding("database", "ok", f"MLFLOW_TRACKING_URI is {uri.split('@')[-1]}")
    if not layout.database.exists():
        return Finding("database", "ok", "none yet; the first `tidemill train` makes it")
    try:
        with sqlite3.connect(f"file:{layout.database}?mode=ro", uri=True, timeout=5) as connection:
            verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.Error as error:
        return Finding("database", "fail", f"{layout.database.name}: {error}", "close what holds it, then try again")
    if verdict != "ok":
        return Finding("database", "fail", f"{layout.database.name}: {verdict}", "restore it from a backup")
    return Finding("database", "ok", f"{layout.database.stat().st_size / (1 << 20):.1f} MB, intact")


def _leftovers(layout: Layout) -> Finding:
    left = sorted(layout.staging.iterdir()) if layout.staging.is_dir() else []
    owners = [entry.name.split("-")[0] for entry in left]
    dead = [owner for owner in owners if owner.isdigit() and not process_lives(int(owner))]
    if dead:
        return Finding("leftovers", "ok", f"{len(dead)} of interrupted commands; the next command removes them")
    return Finding("leftovers", "ok", "none")


def _records(layout: Layout) -> Iterator[Finding]:
    """The ledger's chain, and every version's bundle, byte for byte."""
    if not layout.database.exists() and not os.environ.get("MLFLOW_TRACKING_URI"):
        return
    try:
        from tidemill.project import models

        for check in models.verify(layout):
            remedy = "" if check.held else "restore it, or promote another version"
            yield Finding(check.name, "ok" if check.held else "fail", check.detail, remedy)
    except ModuleNotFoundError:
        yield Finding("ledger", "warn", "not looked at: the training part is missing", "pip install 'tidemill[train]'")
    except TidemillError as error:
        yield Finding("records", "fail", error.headline, error.remedy)
