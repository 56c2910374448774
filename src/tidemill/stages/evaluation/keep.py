"""An evaluation on disk: tables and pictures for trackers, `report.json` with all of it, and the page."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.record import from_plain, to_plain
from tidemill.errors import StorageError
from tidemill.stages.evaluate import write_evaluation, write_picture
from tidemill.stages.evaluation.page import Subject, render
from tidemill.stages.evaluation.records import EvaluationReport

if TYPE_CHECKING:
    from tidemill.stages.evaluate import Evaluation

RECORD, PAGE = "report.json", "report.html"
_TABLES = ("evaluation.json", "per_class.csv", "confusion.csv", "confusion.png")


def write_report(report: EvaluationReport, subject: Subject, folder: Path) -> None:
    """What `write_evaluation` writes of the test split, `confusion_SPLIT.png` of others, the record and the page."""
    write_evaluation(report.test, folder)
    for split in report.splits[:-1]:
        if split.evaluation.labels:
            write_picture(split.evaluation, folder / f"confusion_{split.name}.png")
    _write_record(report, folder)
    (folder / PAGE).write_text(render(subject, report), encoding="utf-8")


def _write_record(report: EvaluationReport, folder: Path) -> None:
    (folder / RECORD).write_text(json.dumps(to_plain(report), ensure_ascii=False), encoding="utf-8")


def read_report(folder: Path) -> EvaluationReport | None:
    """The record in `folder`; None where there is none. Raises StorageError for one that cannot be read."""
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        return from_plain(EvaluationReport, json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        raise StorageError(
            f"{path} cannot be read: {str(error)[:100]}", "make it anew:  tidemill evaluate MODEL"
        ) from None


def write_bundle_report(evaluation: Evaluation, kept: Path, subject: Subject, folder: Path) -> None:
    """What goes with a bundle, into `folder`: tables, pictures of matrices, the record without inputs, and the page.

    `kept` holds what `write_report` wrote when the model was evaluated. Of a run that was evaluated by an earlier
    Tidemill there is no record: then the tables go alone.
    """
    report = read_report(kept)
    if report is None:
        write_evaluation(evaluation, folder)
        return
    for path in sorted(kept.iterdir()):
        if path.name in _TABLES or (path.name.startswith("confusion_") and path.suffix == ".png"):
            shutil.copyfile(path, folder / path.name)
    _write_record(replace(report, mistakes=()), folder)
    (folder / PAGE).write_text(render(subject, report), encoding="utf-8")
