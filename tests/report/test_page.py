"""The page: what is on it, that it is one file which does nothing, and that it stays small whatever is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tidemill.dataset.read import PackedDataset
from tidemill.domain.bundle import Signature, Tensor
from tidemill.domain.run import Environment
from tidemill.stages.evaluation.measure import made_with, measure
from tidemill.stages.evaluation.page import LARGEST, render
from tidemill.stages.evaluation.records import About

from .conftest import EVIL, NOBODY, Page, answers, classifier, subject

Table = Callable[..., PackedDataset]


def wrong(classes: int) -> Callable[[Sequence[Any]], NDArray[Any]]:
    """The same answer to everything, surely."""

    def scores(inputs: Sequence[Any]) -> NDArray[Any]:
        found = np.full((len(inputs), classes), 0.01 / (classes - 1))
        found[:, 1] = 0.99
        return found

    return scores


@pytest.mark.parametrize(("number", "side"), [(120, 300), (4, 8)])
def test_pictures_are_shown_small(pictures: Callable[..., PackedDataset], number: int, side: int) -> None:
    labels = [f"n{at:04}-{'a breed with a long name ' * 3}{at}"[:90] for at in range(number)]
    data = pictures(labels, side)
    report, _, _ = measure(classifier("image", labels), answers(wrong(number)), data, rows=2000, about=NOBODY)
    content = render(subject(classifier("image", labels)), report)
    assert len(content.encode()) < LARGEST
    page = Page(content)
    page.check_inert()
    matrices = 3 if number == 120 else 0
    assert len(page.addresses) == matrices + min(24, number - 1)
    assert f"{number - 1} wrong answers" in page.text


def test_a_thousand_classes_with_long_names_stay_below_the_limit(table: Table) -> None:
    labels = [f"{at:04} {EVIL * 12}" for at in range(1000)]
    rows = {"x": np.arange(5000.0), **{f"{EVIL}{at}": [EVIL * 5] * 5000 for at in range(30)}}
    data = table(**rows, y=[labels[at % 1000] for at in range(5000)])
    signature = replace(
        classifier("tabular", labels), inputs=tuple(Tensor(EVIL * 3 + str(at), "str", (-1, 1)) for at in range(200))
    )
    random = np.random.default_rng(0)
    report, _, _ = measure(
        signature, answers(lambda inputs: random.dirichlet(np.ones(1000), len(inputs))), data, rows=2000, about=NOBODY
    )
    content = render(subject(signature), report)
    assert len(content.encode()) < LARGEST
    Page(content).check_inert()


def test_markup_in_words_is_inert(table: Table) -> None:
    labels = [f"{EVIL}{at}" for at in range(3)]
    data = table(**{EVIL: [EVIL] * 300, "x": np.arange(300.0)}, y=[labels[at % 3] for at in range(300)])
    about = About(*(EVIL + part for part in ("use", "not", "limits", "contact")))
    environment = Environment(EVIL, EVIL, {"torch": EVIL})
    report, _, _ = measure(
        classifier("tabular", labels), answers(wrong(3)), data, rows=50, about=about, environment=environment
    )
    page = Page(render(subject(classifier("tabular", labels), EVIL), replace(report, dataset=EVIL)))
    page.check_inert()
    assert "img" not in page.tags
    for words in (f"{EVIL}use", f"{EVIL}contact", f"Python {EVIL}", *labels):
        assert words in page.text


def test_what_nobody_wrote_is_named_as_missing(table: Table) -> None:
    data = table(x=np.arange(200.0), y=["a", "b"] * 100)
    signature = classifier("tabular", ("a", "b"))
    report, _, _ = measure(signature, answers(wrong(2)), data, rows=10, about=About(intended_use="Sorting letters."))
    page = Page(render(subject(signature), report))
    assert "Sorting letters." in page.text and "report.intended_use" not in page.text
    assert "Nobody wrote down what it must not be used for. Set report.not_for in conf/config.yaml." in page.text


def test_values_have_plots_and_deciles(table: Table) -> None:
    x = np.arange(300.0)
    signature = Signature("tabular", "regression", (), (), ())
    report, _, _ = measure(
        signature, answers(lambda rows: np.array([[row["x"] * 0.9] for row in rows])), table(x=x, y=x), rows=50,
        about=NOBODY,
    )  # fmt: skip
    page = Page(render(subject(signature), report))
    page.check_inert()
    assert "tenths of the rows" in page.text and "Confusion" not in page.text
    assert render(subject(signature), report).count("<svg") == 4


def test_a_perfect_model_has_no_mistakes(table: Table) -> None:
    data = table(x=np.array([1.0, -1.0] * 100), y=["a", "b"] * 100)
    signature = classifier("tabular", ("a", "b"))
    report, _, _ = measure(
        signature, answers(lambda rows: np.array([[1.0, 0.0] if row["x"] > 0 else [0.0, 1.0] for row in rows])), data,
        rows=10, about=NOBODY,
    )  # fmt: skip
    assert "None: every row of the test split was answered right." in render(subject(signature), report)


def test_packages_that_answer_are_named_whatever_their_spelling() -> None:
    made = made_with(Environment("3.11", "linux", {"Scikit_Learn": "1.9", "black": "24", "torch": "2.13"}))
    assert made.packages == {"torch": "2.13", "scikit-learn": "1.9"}
