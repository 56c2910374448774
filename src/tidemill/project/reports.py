"""Reports on disk: of drift, as `reports/ID/report.json` and `report.html`, vouched for by a line of the ledger; of
evaluations, as `reports/evaluations/VERSION-on-DATA.html`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.digest import Digest, canonical_json
from tidemill.domain.drift import DriftReport
from tidemill.domain.record import from_plain, to_plain
from tidemill.domain.registry import Event
from tidemill.errors import StorageError
from tidemill.files import staged_directory, sweep_staging, write_atomic
from tidemill.ports import Ledger
from tidemill.project.layout import Layout

if TYPE_CHECKING:
    from tidemill.domain.bundle import Bundle
    from tidemill.stages.evaluation.page import Subject
    from tidemill.stages.evaluation.records import EvaluationReport

RECORD, PAGE = "report.json", "report.html"
_LARGEST = 64 << 20  # bytes; a thousand classes make 10 MB


def keep(layout: Layout, ledger: Ledger, report: DriftReport, page: str) -> Digest:
    """Write `report` and its HTML `page`, then the ledger's line; the digest of report.json."""
    sweep_staging(layout.staging)
    content = canonical_json(to_plain(report))
    digest = Digest.of_bytes(content)
    with staged_directory(layout.reports / report.id, staging=layout.staging) as folder:
        (folder / RECORD).write_bytes(content)
        (folder / PAGE).write_text(page, encoding="utf-8")
    payload = {
        "report": report.id,
        "digest": digest,
        "window": report.window,
        "tests": len(report.tests),
        "drifted": [test.feature for test in report.drifted],
        "baseline": report.baseline,
        "estimated": report.estimated,
        "labelled": report.labelled,
    }
    ledger.append("reported", report.window.model, payload, check=lambda events: None)
    return digest


def read(layout: Layout, report_id: str, digest: Digest) -> DriftReport:
    """The report that the ledger knows by `digest`. Raises StorageError when it is missing or was altered."""
    path = layout.reports / report_id / RECORD
    try:
        content = path.read_bytes()
        if Digest.of_bytes(content) != digest:
            raise ValueError("its digest is not the ledger's")
        return from_plain(DriftReport, json.loads(content))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be used: {error}", "make a new report:  tidemill monitor NAME") from None


def latest(layout: Layout, events: list[Event], version: int) -> tuple[DriftReport, Digest] | None:
    """The newest report on `version` among `events` of its model, with its digest; None when there is none to read."""
    for event in reversed(events):
        if event.kind == "reported" and event.payload["window"]["version"] == version:
            digest = Digest(event.payload["digest"])
            try:
                return read(layout, event.payload["report"], digest), digest
            except StorageError:
                return None
    return None


def page(layout: Layout, report_id: str) -> str:
    """Where the HTML of a report is, as a path relative to the project when it is inside it."""
    return str((layout.reports / report_id / PAGE).relative_to(layout.root))


def keep_evaluation(layout: Layout, report: EvaluationReport, subject: Subject) -> Path:
    """Write the page of an evaluation, instead of an earlier one of the same version and data; where it is."""
    from tidemill.stages.evaluation.page import render

    path = layout.reports / "evaluations" / f"{subject.name.replace('/', '-')}-on-{report.dataset}.html"
    write_atomic(path, render(subject, report).encode())
    return path


def bundle_page(directory: Path, bundle: Bundle) -> Path | None:
    """The page in a bundle, as its record has it; None where there is none, or it was altered."""
    return _vouched(directory, bundle, "report/report.html")


def bundle_report(directory: Path, bundle: Bundle) -> EvaluationReport | None:
    """The evaluation report in a bundle, without inputs; None where there is none that can be read."""
    from tidemill.stages.evaluation.records import EvaluationReport

    path = _vouched(directory, bundle, "report/report.json")
    try:
        return None if path is None else from_plain(EvaluationReport, json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return None


def _vouched(directory: Path, bundle: Bundle, name: str) -> Path | None:
    """A file of a bundle, if it is plain, of the recorded size and digest, and not too large to be looked at."""
    path, record = directory / name, bundle.files.get(name)
    if record is None or record.bytes > _LARGEST or path.is_symlink() or path.parent.is_symlink():
        return None
    try:
        whole = path.is_file() and path.stat().st_size == record.bytes and Digest.of_file(path) == record.digest
    except OSError:
        return None
    return path if whole else None
