"""MLflow's registry: where people look for model versions, and from where `mlflow.pyfunc` loads them.

A version's artefact is the bundle itself, beside an MLmodel file that names `tidemill.pyfunc` as its loader: no pickled
Python object, and nothing that MLflow would have to infer.
"""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

import tidemill
from tidemill.backends.registries.listing import Listed, Listing, moment
from tidemill.domain.digest import Digest
from tidemill.domain.record import now
from tidemill.domain.registry import ModelVersion
from tidemill.errors import NotFoundError, StorageError, nearest

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion
    from mlflow.store.entities import PagedList

    from tidemill.ports import Registry

T = TypeVar("T")
BUNDLE_TAG = "tidemill.bundle"
FOLDER = "model"
_DATA = "bundle"
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between attempts to store a bundle


class MlflowRegistry:
    """The registry behind `uri`, a tracking URI of MLflow."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with _translated("opening the registry"):
            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def register(self, name: str, bundle: Path, run: str, tags: Mapping[str, str]) -> int:
        """The number of the new version; the same bundle registered again for the same run keeps its number."""
        digest = Digest.of_file(bundle / "bundle.json")
        with _translated(f"registering {name}"):
            of_run = [version for version in self._search(name) if version.run_id == run]
            for version in of_run:
                if version.tags.get(BUNDLE_TAG) == digest:
                    return int(version.version)
            # exported again, in another precision: the run's first version keeps what it has
            folder = f"{FOLDER}-{digest.short}" if of_run else FOLDER
            self._keep(bundle, run, folder)
            self._make_name(name)
            created = self._client.create_model_version(
                name, source=f"runs:/{run}/{folder}", run_id=run, tags={**tags, BUNDLE_TAG: str(digest)}
            )
            return int(created.version)

    def versions(self, name: str) -> list[ModelVersion]:
        """Versions that hold a bundle, in order."""
        with _translated(f"reading the versions of {name}"):
            found = [
                ModelVersion(name, int(each.version), Digest(each.tags[BUNDLE_TAG]), str(each.run_id))
                for each in self._search(name)
                if BUNDLE_TAG in each.tags
            ]
        return sorted(found, key=lambda version: version.number)

    def names(self) -> list[str]:
        """Every registered name, sorted."""
        with _translated("reading the registry"):
            return sorted(model.name for model in _pages(self._client.search_registered_models))

    def listing(self, name: str) -> Listing | None:
        """Aliases, and the versions with their descriptions and tags; None for a name that is not registered."""
        with _translated(f"reading {name}"):
            try:
                model = self._client.get_registered_model(name)
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return None
                raise
            versions = {
                int(each.version): Listed(each.description or "", dict(each.tags)) for each in self._search(name)
            }
        aliases = {alias: int(number) for alias, number in model.aliases.items()}
        return Listing(aliases, versions, moment(model.last_updated_timestamp))

    def describe(self, version: ModelVersion, text: str) -> None:
        """Give the version this description; an empty one takes it away."""
        with _translated(f"describing {version}"):
            self._client.update_model_version(version.name, str(version.number), text)

    def tag(self, version: ModelVersion, tags: Mapping[str, str], remove: Iterable[str] = ()) -> None:
        """Set tags of the version, and remove some; one that is not there is no error."""
        name, number = version.name, str(version.number)
        with _translated(f"tagging {version}"):
            for key, value in tags.items():
                self._client.set_model_version_tag(name, number, key, value)
            for key in remove:
                self._client.delete_model_version_tag(name, number, key)

    def point(self, name: str, alias: str, number: int | None) -> None:
        """Set an alias, or remove it with None."""
        with _translated(f"setting the alias {alias} of {name}"):
            if number is None:
                self._client.delete_registered_model_alias(name, alias)
            else:
                self._client.set_registered_model_alias(name, alias, str(number))

    def bundle(self, version: ModelVersion, into: Path) -> Path:
        """A copy of the version's bundle at `into`, which must not exist. Raises NotFoundError, StorageError."""
        with _translated(f"reading the versions of {version.name}"):
            sources = {
                int(each.version): str(each.source) for each in self._search(version.name) if BUNDLE_TAG in each.tags
            }
        if version.number not in sources:
            numbers = [str(number) for number in sorted(sources)]
            raise NotFoundError(f"MLflow has no {version}", nearest(str(version.number), numbers, kind="versions"))
        with _translated(f"fetching the bundle of {version}"), tempfile.TemporaryDirectory(dir=into.parent) as folder:
            found = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{sources[version.number]}/{_DATA}", dst_path=folder, tracking_uri=self._uri
            )
            shutil.move(found, into)
        return into

    def _search(self, name: str) -> list[MlflowVersion]:
        return list(_pages(self._client.search_model_versions, filter_string=f"name='{name}'"))

    def _make_name(self, name: str) -> None:
        """Two first trainings at once both find no name; the second to make it finds it made."""
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _keep(self, bundle: Path, run: str, into: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for file, content in _description(bundle, run, into).items():
                (Path(folder) / file).write_text(content, encoding="utf-8")
            _again_and_again(lambda: self._client.log_artifacts(run, str(bundle), f"{into}/{_DATA}"))
            _again_and_again(lambda: self._client.log_artifacts(run, folder, into))


def _again_and_again(put: Callable[[], object]) -> None:
    """Store artefacts, again after a failure: a store that is busy or cut off is back within seconds, most times.

    The version is made when all of them are there, so that none has half a bundle. Raises StorageError.
    """
    for pause in (*_PAUSES, None):
        try:
            put()
        except Exception as error:  # of MLflow, requests, botocore or the file system: each has a tree of its own
            if pause is None:
                first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
                raise StorageError(
                    f"the bundle cannot be stored: {first}", "check the artefact store, then:  tidemill train --resume"
                ) from error
            time.sleep(pause)
        else:
            return


def _description(bundle: Path, run: str, into: str) -> dict[str, str]:
    """MLmodel (JSON is YAML too) and what MLflow needs to rebuild the environment."""
    requirement = f"tidemill[parquet,text]=={tidemill.__version__}"
    flavor = {
        "loader_module": "tidemill.pyfunc",
        "data": _DATA,
        "python_version": platform.python_version(),
        "env": {"virtualenv": "python_env.yaml"},
    }
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    model = {
        "artifact_path": into,
        "flavors": {"python_function": flavor},
        "mlflow_version": mlflow.__version__,
        "model_size_bytes": size,
        "run_id": run,
        "utc_time_created": now().strftime("%Y-%m-%d %H:%M:%S.%f"),
    }
    environment = {
        "python": platform.python_version(),
        "build_dependencies": ["pip"],
        "dependencies": ["-r requirements.txt"],
    }
    return {
        "MLmodel": json.dumps(model, indent=2),
        "python_env.yaml": json.dumps(environment, indent=2),
        "requirements.txt": f"{requirement}\n",
    }


def _pages(search: Callable[..., PagedList[T]], **arguments: Any) -> Iterator[T]:
    token = None
    while True:
        page = search(page_token=token, **arguments)
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        first = str(error).strip().split("\n", 1)[0][:300]
        raise StorageError(f"MLflow failed while {doing}: {first}", "check the tracking server or database") from error


if TYPE_CHECKING:
    _registry: type[Registry] = MlflowRegistry
