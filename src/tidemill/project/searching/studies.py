"""Where the project's studies are, and what they found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import InputError, NotFoundError
from tidemill.files import locked, write_atomic
from tidemill.project.database import ensure_database
from tidemill.project.layout import Layout

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage

    from tidemill.stages.search.table import Row

_BEHIND_HTTP = ("http", "https", "databricks", "uc", "databricks-uc")
PAGE, TABLE = "search.html", "trials.csv"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Found:
    """What a study has found so far. `best` holds one trial, or with several objectives all that none other beats."""

    study: str
    metrics: tuple[str, ...]
    directions: tuple[str, ...]
    trials: list[Row]
    best: list[Row]
    page: Path
    run: str


def open_storage(layout: Layout) -> RDBStorage:
    """Optuna's tables in MLflow's database; in a file of their own where MLflow is behind HTTP."""
    from tidemill.stages.search.study import quiet, storage

    quiet()
    uri = ensure_database(layout)
    if uri.partition(":")[0] in _BEHIND_HTTP:
        layout.state.mkdir(parents=True, exist_ok=True)
        uri = f"sqlite:///{layout.state / 'studies.db'}?timeout=60"
    elif not uri.startswith("sqlite"):
        _let_mlflow_migrate(uri)
    with locked(layout.locks / "studies", what="the project's studies"):
        return storage(uri)


def _let_mlflow_migrate(uri: str) -> None:
    """An empty database must become MLflow's before Optuna's tables come beside."""
    from mlflow.tracking import MlflowClient

    MlflowClient(tracking_uri=uri).search_experiments(max_results=1)


def check_name(study: str) -> str:
    """`study`, where it can be part of a file's name. Raises InputError."""
    if _NAME.fullmatch(study) is None:
        raise InputError(
            f"{study[:60]!r} is no name for a study", "take letters, digits, '.', '-' and '_', 100 at most"
        )
    return study


def folder(layout: Layout, study: str) -> Path:
    """Where the page and the table of a study are."""
    return layout.reports / f"search-{study}"


def found(layout: Layout, study: optuna.Study) -> Found:
    """What `study` has found so far."""
    from tidemill.stages.search.study import METRICS, RUN
    from tidemill.stages.search.table import rows

    metrics = tuple(study.user_attrs.get(METRICS, ["value"]))
    directions = tuple(each.name.lower() for each in study.directions)
    trials = rows(study)
    finished = [each for each in trials if each.state == "complete"]
    front = {each.number for each in study.best_trials} if finished else set()
    best = [each for each in finished if each.number in front][: 1 if len(metrics) == 1 else None]
    return Found(study.study_name, metrics, directions, trials, best, folder(layout, study.study_name) / PAGE,
                 str(study.user_attrs.get(RUN, "")))  # fmt: skip


def write_page(layout: Layout, study: optuna.Study) -> Found:
    """The page and the table of what was found, written beside each other."""
    from tidemill.stages.search.page import render
    from tidemill.stages.search.table import as_csv

    result = found(layout, study)
    write_atomic(result.page.with_name(TABLE), as_csv(result.trials, list(result.metrics)).encode())
    page = render(study, result.trials, list(result.metrics), _commands(study, result))
    write_atomic(result.page, page.encode())
    return result


def _commands(study: optuna.Study, result: Found) -> list[str]:
    """What trains with the best settings; nothing for a study of a Tidemill that did not keep what trials share."""
    import shlex

    from tidemill.config.overrides import spelled
    from tidemill.stages.search.study import FIXED

    fixed = study.user_attrs.get(FIXED)
    if fixed is None:
        return []
    chosen = [[f"{name}={spelled(value)}" for name, value in each.settings.items()] for each in result.best]
    return [shlex.join(["tidemill", "train", *fixed, *each]) for each in chosen]


def show(layout: Layout, name: str) -> Found:
    """The study `name` as it stands, its page made anew. Raises NotFoundError and InputError."""
    from tidemill.stages.search.study import load

    study = load(open_storage(layout), name)
    check_name(name)  # of a study that was made elsewhere
    return write_page(layout, study)


def names(layout: Layout) -> list[str]:
    """The project's studies."""
    return sorted(each.study_name for each in open_storage(layout).get_all_studies())


def newest(layout: Layout) -> str:
    """The study that was worked on last. Raises NotFoundError when there is none."""
    pages = sorted(layout.reports.glob(f"search-*/{PAGE}"), key=lambda path: path.stat().st_mtime)
    if not pages:
        raise NotFoundError("there is no study yet", "make one:  tidemill tune")
    return pages[-1].parent.name.removeprefix("search-")
