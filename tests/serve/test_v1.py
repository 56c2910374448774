from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from tidemill.domain.digest import Digest, canonical_json
from tidemill.domain.prediction import is_prediction_id
from tidemill.ports import Raw
from tidemill.serve.inputs import rows

from .bundles import DIGITS, ROW, picture
from .conftest import Start


def test_a_picture_as_file_body_or_base64_gives_one_answer(made: Path, start: Start) -> None:
    app = start(made / "img")
    path, content = "/v1/models/digits:predict", picture(3)

    answers = [
        app.post(path, files={"file": ("x.png", content, "image/png")}),
        app.post(path, content=content, headers={"content-type": "image/png"}),
        app.predict([{"b64": b64encode(content).decode()}]),
    ]

    rows = [answer.json()["predictions"][0] for answer in answers]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({row["id"] for row in rows}) == 3
    assert all(is_prediction_id(row["id"]) for row in rows)
    for row in rows:
        assert row["scores"] == rows[0]["scores"]
        assert list(row["scores"]) == list(DIGITS)
        assert row["score"] == max(row["scores"].values()) == row["scores"][row["class"]]
    assert answers[0].json()["model"] == "digits"
    assert answers[0].json()["version"] == 1
    logged = app.logged().to_pylist()
    assert [row["id"] for row in logged] == [row["id"] for row in rows]
    assert {row["input"] for row in logged} == {content}
    assert {row["input_digest"] for row in logged} == {Digest.of_bytes(content)}
    assert {row["bundle"] for row in logged} == {app.model.digest}


def test_several_files_are_answered_in_their_order(made: Path, start: Start) -> None:
    app = start(made / "img")
    contents = [picture(number) for number in range(5)]

    together = app.post(
        "/v1/models/digits:predict",
        data={"note": "a field that is no file"},
        files=[("file", (f"{i}.png", content)) for i, content in enumerate(contents)],
    )

    alone = [app.predict([{"b64": b64encode(content).decode()}]).json()["predictions"][0] for content in contents]
    rows = together.json()["predictions"]
    assert [row["class"] for row in rows] == [row["class"] for row in alone]
    assert app.logged()["input"].to_pylist()[:5] == contents


def test_json_is_read_where_a_client_was_not_told_what_it_sends(made: Path, start: Start) -> None:
    app = start(made / "txt")

    for kind in ("application/x-www-form-urlencoded", "application/json", "text/plain", "application/cloudevents+json"):
        answer = app.post(
            "/v1/models/mood:predict", content=b'{"inputs": ["good tide"]}', headers={"content-type": kind}
        )
        assert answer.json()["predictions"][0]["class"] == "good"


def test_sentences_of_different_length_are_answered_together(made: Path, start: Start) -> None:
    app = start(made / "txt")

    rows = app.predict(["bad", "the tide the tide good", "bad bad bad"]).json()["predictions"]

    assert [row["class"] for row in rows] == ["bad", "good", "bad"]
    assert app.logged()["input"].to_pylist() == [b"bad", b"the tide the tide good", b"bad bad bad"]


def test_rows_give_classes_and_values(made: Path, start: Start) -> None:
    classes, values = start(made / "tab"), start(made / "reg")

    assert classes.predict([ROW]).json()["predictions"][0]["class"] == "large"
    (row,) = values.predict([ROW]).json()["predictions"]

    assert set(row) == {"id", "value"}
    assert row["value"] == 5.5
    assert values.logged()["output"].to_pylist() == ["5.5"]
    assert values.logged()["input"].to_pylist() == [canonical_json(ROW)]


def test_a_large_request_is_answered_in_pieces(made: Path, start: Start) -> None:
    app = start(made / "reg")
    rows = [{"width": float(number), "height": 0.0} for number in range(1000)]

    answered = app.predict(rows).json()["predictions"]

    assert [row["value"] for row in answered] == list(range(1000))
    assert app.logged()["id"].to_pylist() == [row["id"] for row in answered]


def test_requests_that_wait_are_answered_together_each_with_its_own(made: Path, start: Start) -> None:
    import asyncio
    import time

    app = start(made / "reg")

    async def many() -> list[float]:
        futures = [
            app.service.slots[0].ask(
                rows("tabular", [{"width": float(n), "height": 0}] * (n % 3 + 1)), time.perf_counter()
            )
            for n in range(60)
        ]
        answers = await asyncio.gather(*futures)
        return [float(answer.scores[-1, 0]) for answer in answers]

    assert app.call(many) == list(range(60))
    assert app.logged().num_rows == sum(n % 3 + 1 for n in range(60))


def test_only_the_request_with_the_bad_item_fails(made: Path, start: Start) -> None:
    import asyncio
    import time

    app = start(made / "reg")
    bad = {"width": "much", "height": 0}

    async def three() -> list[object]:
        requests: list[list[Raw]] = [[ROW], [ROW, bad], [ROW, ROW], [{"width": 3e38, "height": 3e38}]]
        submitted = [app.service.slots[0].ask(rows("tabular", inputs), time.perf_counter()) for inputs in requests]
        return [*await asyncio.gather(*submitted, return_exceptions=True)]

    first, second, third, infinite = app.call(three)

    assert not isinstance(first, Exception)
    assert not isinstance(third, Exception)
    assert isinstance(second, Exception)
    assert "row 1, column 'width'" in str(second)
    assert "no number" in str(infinite)
    assert app.logged().num_rows == 3


@pytest.mark.parametrize("given", ["abc-1.2_3", "x" * 65, "two words", ""])
def test_a_request_id_is_kept_when_it_can_be_one(made: Path, start: Start, given: str) -> None:
    app = start(made / "tab")

    answer = app.post("/v1/models/sizes:predict", json={"inputs": [ROW]}, headers={"x-request-id": given})

    assert (answer.headers["x-request-id"] == given) is (given == "abc-1.2_3")
    assert answer.headers["x-request-id"]
