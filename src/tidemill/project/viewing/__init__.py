"""What the loop's page shows, read from the stores: one function a page, each returns a frozen record."""

from __future__ import annotations

from tidemill.project.viewing.loop import loop_view
from tidemill.project.viewing.pages import drift_view, ledger_view, models_view
from tidemill.project.viewing.predictions import lineage_view, prediction_view, predictions_view
from tidemill.project.viewing.reports import report_page
from tidemill.project.viewing.versions import card

__all__ = [
    "card",
    "drift_view",
    "ledger_view",
    "lineage_view",
    "loop_view",
    "models_view",
    "prediction_view",
    "predictions_view",
    "report_page",
]
