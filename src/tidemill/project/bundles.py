"""The bundles of versions: on this machine, fetched when they are not, tried where they are not known, and loaded."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.registry import ModelVersion
from tidemill.errors import StateError
from tidemill.process import limit_threads
from tidemill.project.layout import Layout

if TYPE_CHECKING:
    from tidemill.bundle.predictor import Predictor
    from tidemill.bundle.read import OpenBundle
    from tidemill.domain.digest import Digest


def local_bundle(layout: Layout, version: ModelVersion) -> Path:
    """The directory of the version's bundle, fetched from the registry when it is not here. Not audited yet."""
    directory = layout.bundle(version.bundle)
    if not directory.is_dir():
        _fetch(layout, version, directory)
    return directory


def proofs_folder(layout: Layout | None) -> Path | None:
    """Where it is kept which bundles passed their trial: with the project, or with the user where there is none."""
    from tidemill.bundle.proofs import user_folder

    return layout.proofs if layout is not None else user_folder()


def open_proven(directory: Path, *, expected: Digest | None = None, layout: Layout | None = None) -> OpenBundle:
    """The bundle at `directory`, audited, and tried in a process that may die unless it is known from before.

    Whoever loads a bundle, or reads its tables, opens it here first. Without `layout` the project around the working
    directory knows what was tried, or else the user's own folder. Raises BundleError, GateError, BusyError.
    """
    from tidemill.backends.runtimes.onnx import OnnxRuntime
    from tidemill.bundle.prove import prove

    return prove(directory, expected, runtime=OnnxRuntime(), proofs=proofs_folder(layout or _project()))


def open_version(layout: Layout, version: ModelVersion) -> OpenBundle:
    """`open_proven` of a version's bundle, which is held to the ledger's digest."""
    return open_proven(local_bundle(layout, version), expected=version.bundle, layout=layout)


def open_predictor(layout: Layout, version: ModelVersion, threads: int | None = None) -> Predictor:
    """The version's bundle, opened against the ledger's digest and loaded. Raises BundleError, GateError."""
    return load(local_bundle(layout, version), expected=version.bundle, threads=threads, layout=layout)


def load(
    directory: Path, *, expected: Digest | None = None, threads: int | None = None, layout: Layout | None = None
) -> Predictor:
    """Open the bundle at `directory` and load it; `threads` compute one request, by default all there are."""
    number = threads or limit_threads()
    from tidemill.backends.runtimes.onnx import OnnxRuntime
    from tidemill.bundle.predictor import Predictor

    opened = open_proven(directory, expected=expected, layout=layout)
    return Predictor(opened, OnnxRuntime().load(opened.directory, opened.bundle, threads=number))


def _project() -> Layout | None:
    from tidemill.project.layout import find_project

    try:
        return find_project()
    except StateError:
        return None


def open_model(layout: Layout | None, text: str, threads: int | None = None) -> Predictor:
    """What a MODEL argument names, loaded: name@alias, name/version, or the directory of a bundle.

    A directory needs no project (`layout` None). Raises InputError, NotFoundError, BundleError, GateError, StateError.
    """
    from tidemill.project.layout import find_project
    from tidemill.project.registry import is_bundle, resolve

    if is_bundle(text):
        return load(Path(text), threads=threads, layout=layout)
    layout = layout or find_project()
    return open_predictor(layout, resolve(layout, text), threads)


def remember_proven(layout: Layout, digest: Digest) -> None:
    """The bundle was made, loaded and replayed here: a server need not try it in a process of its own first."""
    from tidemill.backends.runtimes.onnx import OnnxRuntime
    from tidemill.bundle.proofs import remember
    from tidemill.bundle.prove import libraries

    remember(layout.proofs, digest, libraries(OnnxRuntime()))


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
