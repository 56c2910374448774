"""The bundles of versions: on this machine, fetched when they are not, and loaded."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.registry import ModelVersion
from tidemill.process import limit_threads
from tidemill.project.layout import Layout

if TYPE_CHECKING:
    from tidemill.bundle.predictor import Predictor
    from tidemill.domain.digest import Digest


def local_bundle(layout: Layout, version: ModelVersion) -> Path:
    """The directory of the version's bundle, fetched from the registry when it is not here. Not audited yet."""
    directory = layout.bundle(version.bundle)
    if not directory.is_dir():
        _fetch(layout, version, directory)
    return directory


def open_predictor(layout: Layout, version: ModelVersion, threads: int | None = None) -> Predictor:
    """The version's bundle, audited against the ledger's digest and loaded. Raises BundleError."""
    return load(local_bundle(layout, version), expected=version.bundle, threads=threads)


def load(directory: Path, *, expected: Digest | None = None, threads: int | None = None) -> Predictor:
    """Audit and load the bundle at `directory`; `threads` compute one request, by default all there are."""
    number = threads or limit_threads()
    from tidemill.backends.runtimes.onnx import OnnxRuntime
    from tidemill.bundle.predictor import Predictor
    from tidemill.bundle.read import open_bundle

    opened = open_bundle(directory, expected=expected)
    return Predictor(opened, OnnxRuntime().load(opened.directory, opened.bundle, threads=number))


def open_model(layout: Layout | None, text: str, threads: int | None = None) -> Predictor:
    """What a MODEL argument names, loaded: name@alias, name/version, or the directory of a bundle.

    A directory needs no project (`layout` None). Raises InputError, NotFoundError, BundleError, StateError.
    """
    from tidemill.project.layout import find_project
    from tidemill.project.registry import is_bundle, resolve

    if is_bundle(text):
        return load(Path(text), threads=threads)
    layout = layout or find_project()
    return open_predictor(layout, resolve(layout, text), threads)


def remember_proven(layout: Layout, digest: Digest) -> None:
    """The bundle was made, loaded and replayed here: a server need not try it in a process of its own first."""
    from tidemill.backends.runtimes.onnx import OnnxRuntime
    from tidemill.bundle.proofs import remember

    remember(layout.proofs, digest, OnnxRuntime().version)


def _fetch(layout: Layout, version: ModelVersion, directory: Path) -> None:
    from tidemill.backends.registries.mlflow import MlflowRegistry
    from tidemill.bundle.read import open_bundle
    from tidemill.project.registry import tracking_uri
    from tidemill.stages.export import place

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    layout.staging.mkdir(parents=True, exist_ok=True)
    fetched = layout.staging / f"{os.getpid()}-{uuid.uuid4().hex}"
    MlflowRegistry(tracking_uri(layout)).bundle(version, fetched)
    open_bundle(fetched, expected=version.bundle)
    place(fetched, directory, staging=layout.staging)
    fetched.rmdir()
