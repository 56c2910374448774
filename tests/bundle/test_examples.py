"""What a page offers to try."""

from __future__ import annotations

import base64
import collections
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.bundle.conftest import EXAMPLE
from tests.bundle.sealing import reseal
from tests.serve import bundles
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.examples import COUNT, read_examples, write_examples
from tidemill.bundle.predictor import Predictor
from tidemill.bundle.read import open_bundle
from tidemill.bundle.reference import MAX_INPUT
from tidemill.domain.bundle import Signature
from tidemill.errors import BundleError

if TYPE_CHECKING:
    from tidemill.ports import Raw

ROWS: list[Raw] = [{"width": float(n - 10), "height": n / 4} for n in range(20)]


def found(directory: Path, inputs: Sequence[Raw], labels: Sequence[str]) -> Any:
    """What is offered where the test split has these rows."""
    opened = open_bundle(directory)
    scored = Predictor(opened, OnnxRuntime().load(directory, opened.bundle, threads=1)).score(inputs)
    write_examples(directory, opened.bundle.signature, inputs, scored.scores, labels)
    reseal(directory)
    return read_examples(open_bundle(directory))


@pytest.fixture
def pictures(tmp_path: Path) -> Any:
    """Of 60 pictures, whose labels are in turn those of the model."""
    bundles.image_bundle(tmp_path / "img", labels=tuple("0123456789"))
    return found(tmp_path / "img", [bundles.picture(number) for number in range(60)], [str(n % 10) for n in range(60)])


def test_examples_come_from_all_classes_and_some_are_mistakes(pictures: Any) -> None:
    examples = pictures["examples"]

    assert len(examples) == COUNT
    assert {each["label"] for each in examples} == set("0123456789")
    assert sum(each["label"] != each["output"] for each in examples) >= COUNT // 4


def test_a_picture_is_offered_byte_for_byte(pictures: Any) -> None:
    inputs = [base64.b64decode(each["input"]["b64"]) for each in pictures["examples"]]

    assert set(inputs) <= {bundles.picture(number) for number in range(60)}
    assert len(set(inputs)) == COUNT


def test_right_answers_outnumber_mistakes_where_there_are_enough(tmp_path: Path) -> None:
    bundles.text_bundle(tmp_path / "txt")
    sentences = [word + " tide" * n for n in range(20) for word in ("good", "bad")]
    offered = found(tmp_path / "txt", sentences, ["good", "bad"] * 19 + ["bad", "good"])

    verdicts = collections.Counter(each["label"] == each["output"] for each in offered["examples"])
    assert verdicts == {True: COUNT - 2, False: 2}
    assert {"input": "good", "label": "good", "output": "good"} in offered["examples"]
    assert offered["ranges"] == {}


def test_rows_come_with_the_range_of_each_number(tmp_path: Path) -> None:
    bundles.tabular_bundle(tmp_path / "tab")
    offered = found(tmp_path / "tab", ROWS, ["small"] * 10 + ["large"] * 10)

    assert offered["examples"][0]["input"].keys() == bundles.ROW.keys()
    assert offered["ranges"] == {"width": [-10, 9], "height": [0, 4.75]}


def test_values_go_from_the_lowest_to_the_highest(tmp_path: Path) -> None:
    bundles.tabular_bundle(tmp_path / "reg", regression=True, name="price")
    offered = found(tmp_path / "reg", ROWS, [str(float(value)) for value in np.linspace(50, -50, 20)])
    values = [float(each["label"]) for each in offered["examples"]]

    assert len(values) == COUNT
    assert values == sorted(values)
    assert (values[0], values[-1]) == (-50, 50)


def _noise(side: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (side, side), np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_large_pictures_are_offered_only_where_all_are_large(tmp_path: Path) -> None:
    large, small = _noise(300), _noise(30)
    assert len(large) > MAX_INPUT > len(small)
    bundles.image_bundle(tmp_path / "img")

    examples = found(tmp_path / "img", [large, small], ["1", "2"])["examples"]
    assert [base64.b64decode(each["input"]["b64"]) for each in examples] == [small]
    examples = found(tmp_path / "img", [large, large], ["1", "2"])["examples"]
    assert [base64.b64decode(each["input"]["b64"]) for each in examples] == [large, large]


def test_they_end_where_there_is_no_more_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundles.image_bundle(tmp_path / "img")
    monkeypatch.setattr("tidemill.bundle.examples._LARGEST", 3 * len(bundles.picture(1)) + 30)

    offered = found(tmp_path / "img", [bundles.picture(n) for n in range(10)], [str(n) for n in range(10)])
    assert 2 <= len(offered["examples"]) <= 4


def test_odd_numbers_and_labels_do_not_break_it(tmp_path: Path) -> None:
    """A number of 400 digits, and a label of a regression that is no number."""
    signature: Signature = open_bundle(bundles.tabular_bundle(tmp_path / "reg", regression=True)).bundle.signature
    row = {"width": 10**400, "height": 1}
    write_examples(tmp_path / "reg", signature, [row], np.ones((1, 1), np.float32), ["no value"])
    reseal(tmp_path / "reg")
    offered = read_examples(open_bundle(tmp_path / "reg"))

    assert offered["ranges"] == {"height": [1, 1]}
    assert offered["examples"][0]["input"] == row


def test_in_an_older_bundle_golden_requests_stand_in() -> None:
    offered = read_examples(open_bundle(EXAMPLE))

    assert [each["label"] for each in offered["examples"]] == [None] * 6
    assert offered["examples"][0]["output"] in ("setosa", "versicolor", "virginica")
    assert offered["ranges"] == {}


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff", b"[]", b"{}", b"[" * 100_000, b'{"examples": []}', b'{"examples": [], "ranges": {"a": [1]}}',
        b'{"examples": [], "ranges": {"a": [NaN, 1]}}', b'{"examples": [1], "ranges": {}}',
        b'{"examples": [{"input": "x", "label": null, "output": "a"}], "ranges": {}}',
        b'{"examples": [{"input": {"a": 1e999}, "label": null, "output": "a"}], "ranges": {}}',
        b'{"examples": [{"input": {}, "label": 1, "output": "a"}], "ranges": {}}',
        json.dumps({"examples": [{"input": {}, "label": None, "output": "a"}] * 99, "ranges": {}}).encode(),
    ],
)  # fmt: skip
def test_what_a_page_could_not_show_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    directory = bundles.tabular_bundle(tmp_path / "tab")
    (directory / "examples.json").write_bytes(content)
    reseal(directory)

    with pytest.raises(BundleError, match=r"examples of .* cannot be read"):
        read_examples(open_bundle(directory))
