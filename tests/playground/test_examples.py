"""What the page offers to try."""

from __future__ import annotations

import base64
import collections
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.playground.conftest import HOSTILE, with_sample
from tests.serve import bundles
from tidemill.bundle.read import open_bundle
from tidemill.bundle.reference import MAX_INPUT
from tidemill.errors import BundleError
from tidemill.serve.playground.examples import COUNT, find_examples, to_json


def found(directory: Path) -> Any:
    """As the page reads it."""
    return json.loads(to_json(find_examples(open_bundle(directory))))


def test_examples_come_from_all_classes_and_some_are_mistakes(made: Path) -> None:
    examples = found(made / "img")["examples"]

    assert len(examples) == COUNT
    assert {each["label"] for each in examples} == {HOSTILE, *"123456789"}
    assert sum(each["label"] != each["output"] for each in examples) >= COUNT // 4


def test_a_picture_is_offered_byte_for_byte(made: Path) -> None:
    inputs = [base64.b64decode(each["input"]["b64"]) for each in found(made / "img")["examples"]]

    assert set(inputs) <= {bundles.picture(number) for number in range(60)}
    assert len(set(inputs)) == COUNT


def test_right_answers_outnumber_mistakes_where_there_are_enough(tmp_path: Path) -> None:
    bundles.text_bundle(tmp_path / "txt")
    sentences = [word + " tide" * n for n in range(20) for word in ("good", "bad")]
    with_sample(tmp_path / "txt", sentences, ["good", "bad"] * 19 + ["bad", "good"])

    verdicts = collections.Counter(each["label"] == each["output"] for each in found(tmp_path / "txt")["examples"])
    assert verdicts == {True: COUNT - 2, False: 2}


def test_sentences_and_rows_are_as_the_server_takes_them(made: Path) -> None:
    assert {"input": "the good tide", "label": "good", "output": "good"} in found(made / "txt")["examples"]
    assert found(made / "tab")["examples"][0]["input"].keys() == bundles.ROW.keys()


def test_numbers_come_with_the_range_in_which_they_were_seen(made: Path) -> None:
    assert found(made / "tab")["ranges"] == {"width": [-10, 9], "height": [0, 4.75]}
    assert found(made / "txt")["ranges"] == {}


def test_values_go_from_the_lowest_to_the_highest(made: Path) -> None:
    values = [float(each["label"]) for each in found(made / "reg")["examples"]]

    assert len(values) == COUNT
    assert values == sorted(values)
    assert (values[0], values[-1]) == (-50, 50)


def test_golden_requests_stand_in_where_the_sample_keeps_no_input(tmp_path: Path) -> None:
    import io

    import numpy as np
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (300, 300), np.uint8)).save(file, "PNG")
    assert len(file.getvalue()) > MAX_INPUT
    bundles.image_bundle(tmp_path / "img")
    with_sample(tmp_path / "img", [file.getvalue()] * 3, ["1", "2", "3"])

    examples = found(tmp_path / "img")["examples"]

    assert [base64.b64decode(each["input"]["b64"]) for each in examples] == [bundles.picture(n) for n in range(8)]
    assert {each["label"] for each in examples} == {None}


def test_large_examples_end_where_there_is_no_more_room(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.serve.playground.examples._LARGEST", 3 * len(bundles.picture(1)) + 30)

    assert 2 <= len(found(made / "img")["examples"]) <= 4


@pytest.mark.parametrize("content", [b"no parquet at all", b""])
def test_a_damaged_sample_is_one_clear_error(made: Path, tmp_path: Path, content: bytes) -> None:
    opened = open_bundle(shutil.copytree(made / "txt", tmp_path / "txt"))
    (tmp_path / "txt" / "reference.parquet").write_bytes(content)

    with pytest.raises(BundleError, match="sample of mood cannot be read"):
        find_examples(opened)


@pytest.mark.parametrize("content", [b"[" * 5000, b"[1]", b"\xff", b'{"width": NaN, "height": 1}'])
def test_a_sample_with_what_is_no_input_is_one_clear_error(made: Path, tmp_path: Path, content: bytes) -> None:
    opened = open_bundle(shutil.copytree(made / "tab", tmp_path / "tab"))
    overwrite(tmp_path / "tab", content, "small")

    with pytest.raises(BundleError, match="no input"):
        to_json(find_examples(opened))


def test_odd_numbers_and_labels_do_not_break_it(made: Path, tmp_path: Path) -> None:
    opened = open_bundle(shutil.copytree(made / "reg", tmp_path / "reg"))
    overwrite(tmp_path / "reg", b'{"width": 1' + b"0" * 400 + b', "height": 1}', "no value")

    assert find_examples(opened)["ranges"] == {"height": [1, 1]}


def overwrite(directory: Path, content: bytes, label: str) -> None:
    """A sample of one row, whatever it holds."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"input": pa.array([content], pa.binary()), "label": [label], "output": [label]}
    pq.write_table(pa.table(columns), directory / "reference.parquet")
