"""Where a project keeps things. The only place that knows."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from tidemill.domain.dataset import Task, is_name
from tidemill.domain.digest import Digest
from tidemill.errors import ConfigError, StateError
from tidemill.process import contain_caches

MARKER = "tidemill.toml"


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of a project. Everything under `state` can be listed in .gitignore; everything else is the user's."""

    root: Path

    @property
    def marker(self) -> Path:
        return self.root / MARKER

    @property
    def conf(self) -> Path:
        """The project's own Hydra groups, put before the packaged ones."""
        return self.root / "conf"

    @property
    def data(self) -> Path:
        """Packed data sets of the newest version, one folder each, tracked by DVC; NAME.json beside is in git."""
        return self.root / "data"

    @property
    def state(self) -> Path:
        return self.root / ".tidemill"

    @property
    def database(self) -> Path:
        """SQLite: MLflow's tables, and the ledger's beside them."""
        return self.state / "tidemill.db"

    @property
    def artifacts(self) -> Path:
        """MLflow's artefacts."""
        return self.state / "artifacts"

    @property
    def bundles(self) -> Path:
        """Bundles by content: `bundles/<64 hex digits>/`."""
        return self.state / "bundles"

    def bundle(self, digest: Digest) -> Path:
        return self.bundles / digest.hex

    @property
    def serving(self) -> Path:
        """Manifests that servers watch: `serving/NAME/ALIAS.json`."""
        return self.state / "serving"

    @property
    def log(self) -> Path:
        """The prediction log: spools of running writers, and sealed Parquet."""
        return self.state / "log"

    @property
    def servers(self) -> Path:
        """One file for each running model server: `servers/PID.json`."""
        return self.state / "servers"

    @property
    def reports(self) -> Path:
        """Drift reports and the evidence of promotions: `reports/ID/`."""
        return self.state / "reports"

    @property
    def exports(self) -> Path:
        """Of exports that were refused, the page with the worst rows: `exports/RUN/parity.html`."""
        return self.state / "exports"

    @property
    def csv(self) -> Path:
        """What `logger=csv` writes: `csv/NAME/RUN/`. Other loggers have a folder of their own beside, too."""
        return self.state / "csv"

    @property
    def spool(self) -> Path:
        """What waits for a tracking server that is away: `spool/RUN/`."""
        return self.state / "spool"

    @property
    def runs(self) -> Path:
        """Runs that have not finished: `runs/RUN/`, with what they need to go on."""
        return self.state / "runs"

    @property
    def datasets(self) -> Path:
        """Data versions as they are read: `datasets/NAME-vX.Y.Z/`, hard links where the file system has them."""
        return self.state / "datasets"

    @property
    def cache(self) -> Path:
        """Caches of tools; may be removed at any time."""
        return self.state / "cache"

    @property
    def proofs(self) -> Path:
        """Which bundles were tried on this machine; may be removed at any time."""
        return self.cache / "proofs"

    @property
    def staging(self) -> Path:
        """Unfinished writes, on the same file system as everything else in `state`."""
        return self.state / "staging"

    @property
    def locks(self) -> Path:
        return self.state / "locks"


@dataclass(frozen=True, slots=True)
class Marker:
    """The content of tidemill.toml."""

    name: str
    task: Task


def find_project(start: Path | None = None) -> Layout:
    """The project that `start` (the working directory) is in. Raises StateError when it is in none."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / MARKER).is_file():
            layout = Layout(folder)
            contain_caches(layout.cache)
            return layout
    raise StateError(
        f"{here} is not in a Tidemill project (no {MARKER} here or above)",
        "make one:  tidemill init NAME --task image|text|tabular",
    )


def read_marker(layout: Layout) -> Marker:
    """Raises ConfigError for a marker that cannot be read."""
    try:
        project = tomllib.loads(layout.marker.read_text(encoding="utf-8"))["project"]
        name, task = project["name"], project["task"]
    except (tomllib.TOMLDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{layout.marker} cannot be read: {error}", 'it needs  [project]  name = "…"  task = "image|text|tabular"'
        ) from None
    if not isinstance(name, str) or not is_name(name) or task not in ("image", "text", "tabular"):
        raise ConfigError(f"{layout.marker}: name {name!r} or task {task!r} is wrong", "task is image, text or tabular")
    return Marker(name, task)
