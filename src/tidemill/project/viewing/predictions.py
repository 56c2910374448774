"""The pages `/predictions` and `/predictions/ID`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tidemill.domain.prediction import Feedback, Prediction
from tidemill.errors import NotFoundError
from tidemill.project.layout import Layout
from tidemill.project.viewing.frame import history
from tidemill.project.viewing.records import (
    Frame,
    Hint,
    LineageView,
    Node,
    PredictionRow,
    PredictionsView,
    PredictionView,
)
from tidemill.project.viewing.traffic import traffic_of
from tidemill.project.viewing.versions import read_bundle

SHOWN = 50  # answers in the list
CLASSES = 12  # likeliest classes of one answer
TEXT = 400  # letters of a sentence or row in the list


def predictions_view(layout: Layout, model: str | None = None) -> PredictionsView:
    """The newest answers. Raises NotFoundError for an unknown model."""
    frame = history(layout, model).frame
    log = traffic_of(layout.log)
    newest = log.newest(frame.model, SHOWN)
    labels = log.feedback([each.id for each in newest])
    rows = tuple(_row(layout, frame, each, labels) for each in newest)
    hint = None
    if not rows:
        name = frame.model or frame.project
        hint = Hint("No request has been answered yet.", f"tidemill serve {name}@champion --port 8080")
    return PredictionsView(frame, hint, rows, log.traffic(frame.model, frame.at).total)


def prediction_view(layout: Layout, prediction_id: str) -> PredictionView:
    """One answer with its lineage. Raises NotFoundError for an id that is not in the log."""
    log = traffic_of(layout.log)
    prediction = log.find(prediction_id)
    frame = _frame(layout, prediction)
    labels = log.feedback([prediction_id])
    names = _labels(layout, prediction)
    scores = sorted(zip(names, prediction.scores, strict=False), key=lambda pair: -pair[1])[:CLASSES]
    return PredictionView(
        frame=frame,
        row=_row(layout, frame, prediction, labels),
        scores=tuple((label, float(score)) for label, score in scores),
        lineage=lineage_view(layout, prediction_id),
    )


def lineage_view(layout: Layout, prediction_id: str) -> LineageView:
    """Every record from the answer back to the data, each rechecked where that can be done.

    Raises NotFoundError for an id that is not in the log. Reads and hashes files: takes a good part of a second.
    """
    from tidemill.project import tracing

    trace = tracing.trace(layout, prediction_id)
    nodes = tuple(
        Node(link.kind, link.name, link.detail, link.verified, str(link.digest or ""), link.reason)
        for link in trace.links
    )
    return LineageView(prediction_id, nodes)


def _frame(layout: Layout, prediction: Prediction) -> Frame:
    """The frame of the answer's model, or that of the project when the ledger has never heard of it."""
    try:
        return history(layout, prediction.model).frame
    except NotFoundError:
        return history(layout, None).frame


def _labels(layout: Layout, prediction: Prediction) -> Sequence[str]:
    bundle = read_bundle(layout.bundle(prediction.bundle))
    labels = bundle.signature.labels if bundle else ()
    return labels or [str(index) for index in range(len(prediction.scores))]


def _row(layout: Layout, frame: Frame, prediction: Prediction, labels: Mapping[str, Feedback]) -> PredictionRow:
    label = labels[prediction.id].label if prediction.id in labels else None
    bundle = read_bundle(layout.bundle(prediction.bundle))
    regression = bundle is not None and bundle.signature.kind == "regression"
    task = bundle.task if bundle else frame.task
    return PredictionRow(
        id=prediction.id,
        at=prediction.at,
        version=prediction.version,
        output=prediction.output,
        score=None if regression or not prediction.scores else max(prediction.scores),
        label=label,
        right=None if regression or label is None else label == prediction.output,
        latency_ms=prediction.latency_ms,
        text="" if task == "image" else _asked(prediction.input, row=task == "tabular"),
        picture=task == "image" and prediction.input is not None,
    )


def _asked(content: bytes | None, *, row: bool) -> str:
    """A sentence as it is, a row as `column value · …`; both cut."""
    if content is None:
        return "(not kept)"
    text = content.decode("utf-8", "replace")
    try:
        plain = json.loads(text) if row else None
    except ValueError:
        plain = None
    if isinstance(plain, dict):
        text = " · ".join(f"{name} {value}" for name, value in plain.items())
    return text if len(text) <= TEXT else text[:TEXT] + "…"
