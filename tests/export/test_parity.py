"""The parity gate: what counts, what is past its limit, and the page that shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.bundle.sources import LINEAGE, table_model
from tidemill.backends.exporters.onnx import OnnxExporter
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.consistency import signature_of
from tidemill.config.schema import ExportConfig
from tidemill.config.schema.export import LimitsConfig
from tidemill.dataset.read import Examples
from tidemill.domain.bundle import Latency, TableColumn, TabularPreprocessing
from tidemill.errors import GateError
from tidemill.ports import Scored, SourceModel
from tidemill.stages.export import export
from tidemill.stages.parity import Comparison, Measured, check_parity, judge, one_by_one
from tidemill.stages.parity_page import parity_page

LABELS = ("a", "b", "<i>c")
COLUMNS = TabularPreprocessing((TableColumn("x", "float"),))
CLASSES = signature_of("tabular", COLUMNS, LABELS, 1)
VALUES = signature_of("tabular", COLUMNS, (), 1)
MEASURED = Measured(10, 20, Latency(1, 2), Latency(3, 4))
LOOSE = LimitsConfig(1.0, 1.0, 1.0, 0.1)


def _scored(classes: list[int]) -> Scored:
    scores = np.eye(3, dtype=np.float32)[classes] * 0.8 + 0.1
    return Scored(scores, np.zeros((len(classes), 1), np.float32))


def _examples(truth: list[int]) -> Examples:
    names = tuple(f"test/{index}" for index in range(len(truth)))
    return Examples(names, [{"x": float(i)} for i in range(len(truth))], tuple(LABELS[i] for i in truth), None)


def _judged(source: list[int], exported: list[int], truth: list[int], limits: LimitsConfig = LOOSE) -> Comparison:
    return judge(
        CLASSES, _examples(truth), _scored(source), [_scored(exported)], precision="int8_static", limits=limits,
        measured=MEASURED,
    )  # fmt: skip


def test_changed_rows_and_what_they_cost() -> None:
    found = _judged([0, 0, 1, 1, 2, 2], [0, 1, 1, 0, 2, 2], [0, 0, 1, 0, 2, 2])
    parity = found.parity
    assert (parity.rows, parity.changed, parity.loss) == (6, 2, 0.0)  # one row lost, one won
    assert found.worst == (1, 3) and parity.largest_difference == pytest.approx(0.8)
    assert (parity.bytes, parity.source_bytes, parity.latency_ms, parity.batch_latency_ms) == (10, 20, 1, 2)
    assert parity.source_latency == Latency(3, 4)


def test_each_limit_is_held_by_itself() -> None:
    truth = [0] * 50 + [1] * 50
    exported = [0] * 50 + [0] * 5 + [1] * 45
    cases = {
        "5 of 100 test rows change (5.00%, allowed 4.00%)": LimitsConfig(0.04, 1, 1, 0.1),
        "5.00% of accuracy is lost (allowed 4.00%)": LimitsConfig(1, 0.04, 1, 0.1),
        "10.00% of the accuracy of 'b' is lost (allowed 9.00%)": LimitsConfig(1, 1, 0.09, 0.1),
    }
    for said, limits in cases.items():
        parity = _judged(truth, exported, truth, limits).parity
        assert parity.exceeded == (said,) and not parity.held
    assert _judged(truth, exported, truth, LimitsConfig(0.05, 0.05, 0.1, 0.1)).parity.held


def test_one_row_of_a_class_may_always_change_and_two_may_not() -> None:
    truth = [0] * 95 + [2] * 5
    strict = LimitsConfig(1, 1, 0.01, 0.1)
    one = _judged(truth, [0] * 96 + [2] * 4, truth, strict).parity
    assert one.held and one.worst_class == "<i>c" and one.class_loss == one.class_loss_limit == pytest.approx(0.2)
    assert not _judged(truth, [0] * 97 + [2] * 3, truth, strict).parity.held


def test_a_regression_is_judged_by_its_values_and_its_fit() -> None:
    truth = np.linspace(0, 10, 100)
    examples = Examples(tuple(map(str, range(100))), [{"x": 0.0}] * 100, (), truth)
    column = truth.astype(np.float32)[:, None]
    source = Scored(column, column)
    off = Scored(column + np.where(np.arange(100) < 3, 5.0, 0.0).astype(np.float32)[:, None], column)
    parity = judge(
        VALUES, examples, source, [off], precision="float32", limits=LimitsConfig(0.02, 0.001, 0, 0.1),
        measured=MEASURED,
    ).parity  # fmt: skip
    assert parity.changed == 3 and parity.worst_class == ""
    assert parity.loss == pytest.approx(3 * 25 / float(((truth - truth.mean()) ** 2).sum()))
    assert len(parity.exceeded) == 2


def test_of_several_ways_of_asking_the_worst_counts() -> None:
    truth = [0, 1, 2]
    ways = [_scored(truth), _scored([0, 1, 1])]
    found = judge(CLASSES, _examples(truth), _scored(truth), ways, precision="int8_dynamic", limits=LOOSE,
                  measured=MEASURED)  # fmt: skip
    assert found.worst == (2,) and found.parity.loss == pytest.approx(1 / 3)


def test_a_score_that_is_no_number_is_a_changed_row() -> None:
    exported = _scored([0, 1])
    exported.scores[1, 1] = np.nan
    found = judge(CLASSES, _examples([0, 1]), _scored([0, 1]), [exported], precision="float32", limits=LOOSE,
                  measured=MEASURED)  # fmt: skip
    assert found.worst == (1,) and np.isfinite(found.parity.largest_difference)


def test_rows_are_asked_one_by_one() -> None:
    sizes = []

    def score(feed: object) -> Scored:
        assert isinstance(feed, dict)
        sizes.append(len(feed["x"]))
        return Scored(feed["x"].astype(np.float32), feed["x"].astype(np.float32))

    given = one_by_one(score)({"x": np.arange(3)[:, None]})
    assert sizes == [1, 1, 1] and given.scores[:, 0].tolist() == [0, 1, 2]


def test_the_error_names_the_limits_the_rows_and_the_page(tmp_path: Path) -> None:
    truth = [0] * 10
    found = _judged(truth, [1, *truth[1:]], truth, LimitsConfig(0.05, 1, 1, 0.1))
    with pytest.raises(
        GateError, match=r"the int8_static export of rows is not its source: 1 of 10.*worst: test/0,"
    ) as no:
        check_parity("rows", found, _examples(truth).names, tmp_path / "parity.html")
    assert str(tmp_path) in no.value.remedy and "export.int8_static.max_changed" in no.value.remedy


def test_the_page_shows_the_worst_rows_first_and_is_inert() -> None:
    truth = [0] * 30 + [2]
    page = parity_page("rows<b>", CLASSES, _judged(truth, [0] * 31, truth), _examples(truth))
    assert page.index("test/30") < page.index("test/0") and page.count("<tr>") < 40
    assert "x=30" in page and "rows&lt;b&gt;" in page and "&lt;i&gt;c" in page
    assert "<i>" not in page and "rows<b>" not in page and "http" not in page and "<script" not in page


class _Upside(OnnxExporter):
    """Exports the model with its coefficients turned around."""

    def export(self, model: SourceModel, path: Path) -> None:
        super().export(model, path)
        graph = onnx.load(path)
        for attribute in (each for node in graph.graph.node for each in node.attribute if each.name == "coefficients"):
            attribute.floats[:] = [-value for value in attribute.floats]
        onnx.save(graph, path)


def test_of_a_refused_export_the_page_stays_and_nothing_else(tmp_path: Path) -> None:
    model, examples = table_model("linear", classes=2, nullable=False)
    with pytest.raises(GateError, match="is not its source") as refused:
        export(
            model, examples, name="rows", config=ExportConfig(), lineage=LINEAGE, metrics={}, per_class={},
            exporter=_Upside(), runtime=OnnxRuntime(), bundles=tmp_path / "bundles", staging=tmp_path / "staging",
            threads=1, refused=tmp_path / "refused",
        )  # fmt: skip
    page = tmp_path / "refused" / "parity.html"
    assert str(page) in refused.value.remedy and "refused" in page.read_text()
    assert not (tmp_path / "bundles").exists() and not list((tmp_path / "staging").iterdir())


def test_limits_by_precision() -> None:
    settings = ExportConfig(max_changed=0.002)
    settings.int8_static.max_changed = 0.03
    assert settings.limits("float32").max_changed == 0.002
    assert settings.limits("int8_static").max_changed == 0.03
    assert settings.limits("float16").max_changed == settings.float16.max_changed < settings.int8_dynamic.max_changed
