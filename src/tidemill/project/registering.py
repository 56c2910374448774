"""`tidemill run --register`: the model file that a script wrote becomes a version in MLflow's registry.

It is registered as what it is, a file: it is not loaded, for it may be a pickle. It is no bundle, so it cannot be
promoted or served by Tidemill; a folder with an `MLmodel` file opens as `mlflow.pyfunc`.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.dataset import is_name
from tidemill.domain.digest import Digest
from tidemill.errors import InputError, NotFoundError, StateError, StorageError, TidemillError, first_line
from tidemill.project.capturing import Outcome
from tidemill.project.layout import Layout
from tidemill.stages.capture.record import File

if TYPE_CHECKING:
    from tidemill.backends.trackers._store import MlflowStore

SUFFIXES = (".pkl", ".pickle", ".joblib", ".skops", ".ubj", ".bst", ".pt", ".pth", ".ckpt", ".safetensors", ".onnx",
            ".h5", ".keras", ".cbm", ".bin", ".model")  # fmt: skip
_PATIENCE = 15.0  # seconds that a run which is still being sent is waited for


def check_wish(wish: str) -> tuple[str, str]:
    """NAME[=PATH] as name and path. Raises InputError before anything runs."""
    name, _, path = wish.partition("=")
    if not is_name(name):
        raise InputError(f"--register {name[:60]!r} cannot name a model", "use letters, digits, - and _, at most 63")
    return name, path


def register(layout: Layout, experiment: str, outcome: Outcome, wish: str) -> tuple[str, str]:
    """Register what the run wrote; `NAME/VERSION`, and the path of the file that was taken.

    The file is where MLflow keeps the run's artefacts before the version is made. Raises StateError when it is not
    clear what the model is, or when the tracking server has not got the run; StorageError when the server fails.
    """
    from tidemill.backends.trackers._store import MlflowStore, quiet
    from tidemill.project.database import store_uri

    name, path = check_wish(wish)
    model = _choose(outcome, path)
    place = Path(outcome.captured.root) / model.path
    quiet()
    with tempfile.TemporaryDirectory(dir=layout.staging) as folder:
        copy = Path(folder) / place.name
        shutil.copytree(place, copy) if place.is_dir() else shutil.copyfile(place, copy)
        if not place.is_dir() and Digest.of_file(copy) != model.digest:
            raise StateError(f"{model.path} is no longer what the run wrote", "run it again, without others at work")
        store = MlflowStore(store_uri(layout), experiment=experiment, artifacts=None)
        with _translated(model.path, store.address):
            store.reach()
            run = _arrived(store, outcome.run, model.path)
            store.keep(run, copy, f"model/{place.name}" if copy.is_dir() else "model")
            tags = {"tidemill.kind": "file", "tidemill.path": model.path, "tidemill.digest": str(model.digest or "")}
            return f"{name}/{_version(store, name, run, place.name, tags)}", model.path


def _arrived(store: MlflowStore, run: str, path: str) -> str:
    """MLflow's id of the run, which may bear a local one: the server was away when it began."""
    from mlflow.exceptions import MlflowException

    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return str(store.client.get_run(run).info.run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        found = store.find(run)
        if found is not None:
            return found
        if time.monotonic() > until:
            raise StateError(
                f"{path} is not registered: the run {run[:8]} has not arrived at {store.address}",
                "tidemill sync  sends it; then run the same command again to register",
            )
        time.sleep(0.2)


def _version(store: MlflowStore, name: str, run: str, file: str, tags: dict[str, str]) -> str:
    """The number of the new version. A name that was made for it goes again when the version cannot be made."""
    from mlflow.exceptions import MlflowException

    client, new = store.client, True
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        new = False
    try:
        made = client.create_model_version(name, source=f"runs:/{run}/model/{file}", run_id=run, tags=tags)
    except Exception:
        with contextlib.suppress(Exception):  # what is told is why the version was not made
            if new and not client.search_model_versions(f"name='{name}'"):
                client.delete_registered_model(name)
        raise
    return str(made.version)


@contextlib.contextmanager
def _translated(path: str, address: str) -> Iterator[None]:
    try:
        yield
    except TidemillError:
        raise
    except Exception as error:  # MLflow, SQLAlchemy, requests and object stores each have a tree of their own
        raise StorageError(
            f"{path} is not registered: {address or 'the database'} failed: {first_line(error)}",
            "check the tracking server, then run the same command again",
        ) from error


def _choose(outcome: Outcome, path: str) -> File:
    """The file at `path`, or the only one that looks like a model; the folder of an MLmodel file."""
    written = {file.path: file for file in outcome.captured.writes}
    if path:
        wanted = str((Path.cwd() / path).resolve())
        root = f"{outcome.captured.root}/"
        found = written.get(wanted.removeprefix(root)) or written.get(wanted)
        if found is None:
            raise NotFoundError(f"the run did not write {path}", f"it wrote {_listed(list(written))}")
        return found
    folders = [file for file in written.values() if Path(file.path).name == "MLmodel"]
    if len(folders) == 1:
        return File(str(Path(folders[0].path).parent), 0, folders[0].digest)
    models = [file for file in written.values() if file.path.endswith(SUFFIXES) and file.files == 1]
    if len(models) != 1:
        found_names = _listed([file.path for file in models]) if models else "none"
        raise StateError(f"the run wrote not one model file but {found_names}", "name it:  --register NAME=PATH")
    return models[0]


def _listed(paths: list[str]) -> str:
    return ", ".join(paths[:6]) + (", …" if len(paths) > 6 else "") if paths else "nothing"
