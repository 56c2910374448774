"""`tidemill run --register`: the model file that a script wrote becomes a version in MLflow's registry.

It is registered as what it is, a file: it is not loaded, for it may be a pickle. It is no bundle, so it cannot be
promoted or served by Tidemill; a folder with an `MLmodel` file opens as `mlflow.pyfunc`.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tidemill.domain.dataset import is_name
from tidemill.domain.digest import Digest
from tidemill.errors import InputError, NotFoundError, StateError
from tidemill.project.capturing import Outcome
from tidemill.project.layout import Layout
from tidemill.project.runbook import open_runbook
from tidemill.stages.capture.record import File

SUFFIXES = (".pkl", ".pickle", ".joblib", ".skops", ".ubj", ".bst", ".pt", ".pth", ".ckpt", ".safetensors", ".onnx",
            ".h5", ".keras", ".cbm", ".bin", ".model")  # fmt: skip


def check_wish(wish: str) -> tuple[str, str]:
    """NAME[=PATH] as name and path. Raises InputError before anything runs."""
    name, _, path = wish.partition("=")
    if not is_name(name):
        raise InputError(f"--register {name[:60]!r} cannot name a model", "use letters, digits, - and _, at most 63")
    return name, path


def register(layout: Layout, experiment: str, outcome: Outcome, wish: str) -> tuple[str, str]:
    """Register what the run wrote; `NAME/VERSION`, and the path of the file that was taken.

    Raises StateError when it is not clear what the model is.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    from tidemill.project.registry import tracking_uri

    name, path = check_wish(wish)
    model = _choose(outcome, path)
    place = Path(outcome.captured.root) / model.path
    with tempfile.TemporaryDirectory(dir=layout.staging) as folder:
        copy = Path(folder) / place.name
        shutil.copytree(place, copy) if place.is_dir() else shutil.copyfile(place, copy)
        if not place.is_dir() and Digest.of_file(copy) != model.digest:
            raise StateError(f"{model.path} is no longer what the run wrote", "run it again, without others at work")
        open_runbook(layout, experiment).keep(outcome.run, copy, f"model/{place.name}" if place.is_dir() else "model")
    uri = tracking_uri(layout)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.create_model_version(
        name, source=f"runs:/{outcome.run}/model/{place.name}", run_id=outcome.run,
        tags={"tidemill.kind": "file", "tidemill.path": model.path, "tidemill.digest": str(model.digest or "")},
    )  # fmt: skip
    return f"{name}/{made.version}", model.path


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
