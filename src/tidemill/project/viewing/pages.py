"""The pages `/models`, `/drift` and `/ledger`."""

from __future__ import annotations

from tidemill.errors import NotFoundError
from tidemill.project.layout import Layout
from tidemill.project.viewing import reports as seen
from tidemill.project.viewing.events import describe
from tidemill.project.viewing.frame import history
from tidemill.project.viewing.records import DriftView, Hint, LedgerView, ModelsView
from tidemill.project.viewing.versions import versions
from tidemill.stages.trace import broken_line

LINES = 500  # of the ledger
REPORTS = 100


def models_view(layout: Layout, model: str | None = None) -> ModelsView:
    """Every version of a model. Raises NotFoundError for an unknown model."""
    past = history(layout, model)
    known = versions(layout, past.events, past.state)
    hint = None if known else Hint("No model has been trained yet.", "tidemill train")
    return ModelsView(past.frame, hint, known)


def drift_view(layout: Layout, model: str | None = None, report: str | None = None) -> DriftView:
    """The drift reports, with `report`, or the newest one, to be shown whole.

    Raises NotFoundError for an unknown model or report.
    """
    past = history(layout, model)
    found = seen.read_reports(layout, past.events, REPORTS)
    rows = tuple(seen.report_row(layout, each) for each in reversed(found))
    shown = next((row for row in rows if report in (None, row.id)), None)
    if report is not None and shown is None:
        raise NotFoundError(f"no drift report {report[:80]!r} of {past.frame.model or 'this project'}", "see /drift")
    name = past.frame.model or past.frame.project
    hint = None if rows else Hint("No traffic has been compared with the reference yet.", f"tidemill monitor {name}")
    share = not found or found[-1].baseline.metric == "accuracy"
    return DriftView(past.frame, hint, seen.drift_map(found[-24:], features=20), rows, shown, share)


def ledger_view(layout: Layout, model: str | None = None) -> LedgerView:
    """The whole ledger, all models in one chain, its hashes recomputed."""
    past = history(layout, model)
    events = past.everything
    lines = tuple(describe(event) for event in reversed(events[-LINES:]))
    hint = None if lines else Hint("Nothing has happened that the ledger keeps.", "tidemill train")
    return LedgerView(past.frame, hint, lines, len(events), broken_line(events))
