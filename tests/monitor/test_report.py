"""The whole report, on the answers of a real classifier."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.monitor.digits import PREPROCESSOR, SIGNATURE, START, answered, png, rows_of, span_of
from tidemill.backends.detectors.dependence import DependenceDetector
from tidemill.backends.detectors.mmd import MmdDetector
from tidemill.backends.detectors.univariate import UnivariateDetector
from tidemill.bundle.preprocess import Preprocessor
from tidemill.config.schema import MonitorConfig
from tidemill.domain.bundle import Signature, TableColumn, TabularPreprocessing
from tidemill.domain.digest import Digest, canonical_json
from tidemill.domain.drift import DriftReport
from tidemill.domain.record import from_plain, to_plain
from tidemill.stages.answered import AnsweredRows, answered_rows
from tidemill.stages.inputs import MAX_DESCRIBED, describe
from tidemill.stages.monitor import monitor
from tidemill.stages.report_page import render, worst_first

BUNDLE = Digest.of_bytes(b"bundle")


def report_on(window: AnsweredRows, reference: AnsweredRows, signature: Signature = SIGNATURE) -> DriftReport:
    return monitor(
        window,
        reference,
        [UnivariateDetector(), MmdDetector(), DependenceDetector()],
        MonitorConfig(),
        signature=signature,
        span=span_of(window),
        bundle=BUNDLE,
        id="R1",
        at=START,
    )


@pytest.fixture(scope="module")
def reference() -> AnsweredRows:
    return rows_of(answered(slice(0, 400)))


def test_the_same_kind_of_traffic_gives_no_alarm(reference: AnsweredRows) -> None:
    report = report_on(rows_of(answered(slice(400, 900), labelled=0.5)), reference)
    assert report.drifted == ()
    assert {test.feature for test in report.tests} >= {"confidence", "predicted class", "embedding", "brightness"}
    assert report.labelled is not None
    assert report.labelled.rows == report.window.labelled < report.window.rows
    assert report.baseline.method == "reference"


def test_darker_pictures_are_noticed_and_named(reference: AnsweredRows) -> None:
    report = report_on(rows_of(answered(slice(400, 900), change=lambda pixels: pixels * 0.7)), reference)
    assert {"brightness", "embedding"} <= {test.feature for test in report.drifted}


def test_all_tests_share_one_level(reference: AnsweredRows) -> None:
    report = report_on(rows_of(answered(slice(400, 900))), reference)
    strictest = sum(test.level for test in report.tests)
    assert strictest <= MonitorConfig().level * 1.0001


def test_the_classes_that_training_never_saw_come_first(reference: AnsweredRows) -> None:
    report = report_on(rows_of(answered(slice(400, 900))), reference)
    assert {line.label for line in worst_first(report.per_class)[:2]} == {"8", "9"}


def test_few_rows_are_counted_but_neither_tested_nor_estimated(reference: AnsweredRows) -> None:
    few = rows_of(answered(slice(400, 403)))
    report = report_on(few, reference)
    assert (report.tests, report.estimated) == ((), None)
    assert report.labelled is not None
    assert "too few" in render(report, reference, few)


def test_a_report_survives_its_way_through_json(reference: AnsweredRows) -> None:
    report = report_on(rows_of(answered(slice(400, 900))), reference)
    plain = to_plain(report)
    assert canonical_json(plain)
    assert from_plain(DriftReport, plain) == report


def test_the_page_needs_nothing_else_and_holds_no_markup_of_others(reference: AnsweredRows) -> None:
    window = rows_of(answered(slice(400, 900), change=lambda pixels: pixels * 0.7))
    hostile = "<script>alert(1)</script>"
    truth = window.truth.astype("U40")
    truth[:50] = hostile
    marked = AnsweredRows(window.sample, window.answers, truth, window.labelled)
    page = render(report_on(marked, reference), reference, marked)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"(?:src|href)=|url\(|@import|https?://", page)
    assert {"svg", "table", "style"} <= tags(page)


def tags(page: str) -> set[str]:
    found: set[str] = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.add(tag)

    Reader().feed(page)
    return found


def test_a_regression_over_a_table() -> None:
    import pyarrow as pa

    signature = Signature("tabular", "regression", (), (), ())
    columns = (TableColumn("x", "float", nullable=True), TableColumn("kind", "category", ("a", "b")))
    preprocessor = Preprocessor(TabularPreprocessing(columns))
    rng = np.random.default_rng(0)

    def rows(size: int, shift: float, noise: float) -> AnsweredRows:
        x = rng.normal(shift, 1, size)
        inputs = [canonical_json({"x": float(v), "kind": "ab"[int(v > 0)]}) for v in x]
        labels = [f"{v + rng.normal(0, noise):.4f}" for v in x]
        labels[0] = "no number"
        return answered_rows(
            signature,
            preprocessor,
            pa.table(
                {
                    "input": pa.array(inputs, pa.binary()),
                    "scores": pa.array([[v] for v in x], pa.list_(pa.float32())),
                    "output": [str(v) for v in x],
                    "label": labels,
                    "embedding": pa.array([[v, v] for v in x], pa.list_(pa.float32())),
                }
            ),
        )

    known, asked = rows(400, 0.0, 1.0), rows(300, 1.0, 2.0)
    report = report_on(asked, known, signature)
    assert {test.feature for test in report.drifted} >= {"x", "kind", "value", "embedding"}
    assert (report.baseline.metric, report.estimated, report.per_class) == ("rmse", None, ())
    assert report.labelled is not None
    assert report.labelled.rows == 299
    assert report.labelled.value == pytest.approx(2.0, abs=0.4)
    assert "rmse" in render(report, known, asked)


def test_every_fifth_of_many_pictures_being_dark_is_seen() -> None:
    """More pictures than are decoded, in a rhythm that even steps through them would miss."""
    bright, dark = (png(np.full(64, level)) for level in (14.0, 2.0))
    facts = describe(PREPROCESSOR, [dark if index % 5 == 1 else bright for index in range(MAX_DESCRIBED * 5 // 2)])
    share = float((facts["brightness"] < 100).mean())
    assert len(facts["brightness"]) == MAX_DESCRIBED
    assert share == pytest.approx(0.2, abs=0.03)
