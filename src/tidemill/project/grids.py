"""A grid of trainings: its rows, and the run that holds them together in MLflow."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tidemill.project.configuration import config
from tidemill.project.layout import Layout, read_marker
from tidemill.project.registry import tracking_uri
from tidemill.project.runs import open_tracker

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from tidemill.project.training import Trained

TABLE = "grid.csv"


@dataclass(frozen=True, slots=True)
class Row:
    """One training of a grid: all its overrides, and those of them that differ between rows."""

    overrides: list[str]
    swept: Mapping[str, str]

    @property
    def told(self) -> str:
        """What tells it from the other rows."""
        return " ".join(f"{name}={value}" if value else name for name, value in self.swept.items())


def rows(layout: Layout, overrides: Sequence[str]) -> list[Row]:
    """The trainings that `-m` asks for, all of them checked before the first begins. Raises ConfigError.

    Lists, `range()`, `choice()`, `glob()`, whole groups, and `hydra.sweeper.params` of the project's files. An
    `interval()` stands for `search.points` values spread over it.
    """
    from tidemill.config.sweep import expand, first

    task = read_marker(layout).task
    points = config(layout, first(layout.conf, overrides, task=task)).search.points
    found = expand(layout.conf, overrides, task=task, number=points)
    for row in found:
        config(layout, row)
    fixed = set.intersection(*(set(row) for row in found)) if len(found) > 1 else set()
    return [Row(row, _pairs(each for each in row if each not in fixed)) for row in found]


def _pairs(overrides: Iterator[str]) -> dict[str, str]:
    return {name.lstrip("+"): value for name, _, value in (each.partition("=") for each in overrides)}


@dataclass
class Parent:
    """The run of a grid, and how its rows ended."""

    run: str
    _client: MlflowClient
    _done: list[tuple[Row, str, Trained | None]] = field(default_factory=list)

    @property
    def failed(self) -> list[tuple[Row, str]]:
        """The rows that failed, with their reason."""
        return [(row, reason) for row, reason, trained in self._done if trained is None]

    def took(self, row: Row, trained: Trained | None, reason: str = "") -> None:
        """A row ended; its run gets the swept settings as tags."""
        from mlflow.exceptions import MlflowException

        self._done.append((row, reason, trained))
        tags = {"tidemill.sweep": row.told or "all as configured", **{f"sweep.{k}": v for k, v in row.swept.items()}}
        tags |= {"tidemill.reason": reason[:5000]} if reason else {}
        with suppress(MlflowException):  # a server that is away: the runs wait in the spool, and go without these tags
            self._tag(tags)

    def _tag(self, tags: Mapping[str, str]) -> None:
        experiment = self._client.get_run(self.run).info.experiment_id
        for run in self._client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{self.run}'", max_results=50):
            if "tidemill.sweep" not in run.data.tags:
                for name, value in tags.items():
                    self._client.set_tag(run.info.run_id, name, value)

    def table(self) -> str:
        """CSV: status, the swept settings, version, run, test metrics, reason."""
        names = list(dict.fromkeys(name for row, _, _ in self._done for name in row.swept))
        metrics = list(dict.fromkeys(name for *_, each in self._done if each for name in each.evaluation.metrics))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["status", *names, "version", "run", *(f"test_{name}" for name in metrics), "reason"])
        for row, reason, each in self._done:
            figures = each.evaluation.metrics if each else {}
            about = [str(each.version), each.run.id] if each else ["", ""]
            settings = [row.swept.get(name, "") for name in names]
            writer.writerow(["finished" if each else "failed", *settings, *about,
                             *(figures.get(name, "") for name in metrics), reason])  # fmt: skip
        return text.getvalue()


@contextmanager
def parent_run(layout: Layout, found: Sequence[Row]) -> Iterator[Parent]:
    """A run that holds the trainings of a grid together; at its end it keeps the table of their results.

    It is failed when a row failed, killed when it was interrupted.
    """
    from mlflow.tracking import MlflowClient

    settings = config(layout, found[0].overrides)
    tracker = open_tracker(layout, settings)
    tags = {"tidemill.model": settings.name, "tidemill.grid": str(len(found))}
    run = tracker.start(f"{settings.name} grid of {len(found)}", {}, tags)
    client = MlflowClient(tracking_uri=tracking_uri(layout))
    parent = Parent(run, client)
    status: Literal["finished", "failed", "killed"] = "failed"
    try:
        yield parent
        status = "failed" if parent.failed else "finished"
    except (KeyboardInterrupt, SystemExit):
        status = "killed"
        raise
    finally:
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / TABLE
            table.write_text(parent.table(), encoding="utf-8")
            tracker.keep(run, table, "grid")
        tracker.finish(run, status)
