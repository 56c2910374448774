"""Answers, and what people say of them, through the server to Gradio's process and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.playground.conftest import HOSTILE
from tests.serve import bundles
from tests.serve.gradio.conftest import Served
from tests.serve.gradio.visitor import Visitor
from tidemill.journal.read import Journal

pytestmark = pytest.mark.slow


@pytest.fixture
def visitor(served: Served) -> Iterator[Visitor]:
    with served.client() as client:
        found = Visitor(client)
        found.open()
        yield found


def last(log: Path) -> tuple[str, Any]:
    """The id of the newest prediction, and the label that is kept for it."""
    journal = Journal(log)
    prediction = journal.predictions().column("id").to_pylist()[-1]
    kept = journal.labels([prediction])
    return prediction, kept[prediction].label if kept else None


def test_a_picture_is_answered_and_put_right(served: Served, visitor: Visitor) -> None:
    picture = visitor.upload("x.png", bundles.picture(99))
    visitor.fire("Picture", "input", picture)
    prediction, label = last(served.log)
    answered = Journal(served.log).find(prediction)
    assert visitor.says("Answer")["label"] == answered.output
    assert prediction in visitor.text
    assert "ms, there and back" in visitor.text
    assert label is None

    right = "4" if answered.output != "4" else "5"
    visitor.fire("Send", "click", right)
    assert last(served.log) == (prediction, right)
    assert f"<b>{right}</b> is the label" in visitor.text


def test_the_bytes_of_a_picture_are_those_that_the_model_is_asked_with(visitor: Visitor) -> None:
    content = bundles.picture(98)
    visitor.fire("Picture", "input", visitor.upload("x.png", content))
    scores = {each["label"]: each["confidence"] for each in visitor.says("Answer")["confidences"]}
    asked = visitor.client.post("/v1/models/digits:predict", content=content, headers={"content-type": "image/png"})
    assert scores == pytest.approx({k: v for k, v in asked.json()["predictions"][0]["scores"].items() if k in scores})


def test_a_sentence_is_answered_and_confirmed(served: Served, visitor: Visitor) -> None:
    visitor.choose("mood")
    visitor.fire("Sentence", "submit", "the good tide")
    assert visitor.says("Answer")["label"] == "good"
    visitor.fire("That is right", "click")
    assert last(served.log)[1] == "good"


def test_a_row_is_answered_and_put_right(served: Served, visitor: Visitor) -> None:
    visitor.choose("sizes")
    visitor.fire("Predict", "click", 9.0, 4.0)
    answered = visitor.says("Answer")["label"]
    right = next(each for each in ("small", "medium", "large") if each != answered)
    visitor.fire("Send", "click", right)
    assert last(served.log)[1] == right


def test_a_value_is_answered_and_put_right(served: Served, visitor: Visitor) -> None:
    visitor.choose("price")
    visitor.fire("Predict", "click", 9.0, 4.0)
    assert float(visitor.says("Answer")["label"].replace(",", ""))
    visitor.fire("Send", "click", 12.5)
    assert float(last(served.log)[1]) == 12.5


def test_examples_are_the_references_and_say_what_is_right(visitor: Visitor) -> None:
    visitor.choose("mood")
    visitor.example(0)
    assert "the reference says" in visitor.text
    assert visitor.says("Sentence") in ("the good tide", "bad bad", "good", "bad tide")


def test_markup_in_a_label_stays_text(visitor: Visitor) -> None:
    visitor.example(11)
    assert HOSTILE not in visitor.text


def test_what_the_server_refuses_is_said(visitor: Visitor) -> None:
    visitor.fire("Picture", "input", visitor.upload("x.gif", bundles.picture(1)[:60]))
    assert 'role="alert"' in visitor.text
