from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tidemill.domain.prediction import new_prediction_id
from tidemill.errors import ItemError
from tidemill.journal.read import Journal
from tidemill.project import serving
from tidemill.project.layout import Layout

from .bundles import DIGITS, ROW, picture
from .conftest import App, Start, load


def _labels(app: App) -> list[tuple[str, str]]:
    table = Journal(app.log).feedback()
    return list(zip(table["prediction_id"].to_pylist(), table["label"].to_pylist(), strict=True))


def test_a_label_comes_back_once(made: Path, start: Start) -> None:
    app = start(made / "tab")
    prediction_id = app.predict([ROW]).json()["predictions"][0]["id"]
    body = {"prediction_id": prediction_id, "label": "small"}

    answers = [app.post("/feedback", json=body).json() for _ in range(2)]

    assert answers == [{"accepted": 1, "unchanged": 0}, {"accepted": 1, "unchanged": 1}]
    assert _labels(app) == [(prediction_id, "small")]


def test_a_corrected_label_counts(made: Path, start: Start) -> None:
    app = start(made / "tab")
    prediction_id = app.predict([ROW]).json()["predictions"][0]["id"]

    for label in ("small", "large"):
        app.post("/feedback", json=[{"prediction_id": prediction_id, "label": label}])

    assert Journal(app.log).labels([prediction_id])[prediction_id].label == "large"


def test_one_wrong_label_of_a_list_refuses_all(made: Path, start: Start) -> None:
    app = start(made / "tab")
    ids = [row["id"] for row in app.predict([ROW, ROW]).json()["predictions"]]

    body = [{"prediction_id": each, "label": "small"} for each in (*ids, new_prediction_id())]
    assert app.post("/feedback", json=body).status_code == 404
    body = [{"prediction_id": ids[0], "label": "small"}, {"prediction_id": ids[1], "label": "largest"}]
    answer = app.post("/feedback", json=body)

    assert answer.status_code == 422
    assert "large" in answer.json()["error"]["remedy"]
    assert _labels(app) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"id": "01", "label": "small"}, "lacks 'prediction_id'"),
        ({"prediction_id": "01"}, "lacks 'label'"),
        ([{"prediction_id": "01", "label": "small", "lable": 1}], "unknown field 'lable'"),
        (["small"], "item 0 is not a label"),
    ],
)
def test_the_field_that_is_wrong_is_named(made: Path, start: Start, body: object, said: str) -> None:
    answer = start(made / "tab").post("/feedback", json=body)

    assert (answer.status_code, said in answer.json()["error"]["message"]) == (422, True), answer.text


def test_values_come_back_as_numbers(made: Path, start: Start) -> None:
    app = start(made / "reg")
    prediction_id = app.predict([ROW]).json()["predictions"][0]["id"]

    statuses = [
        app.post("/feedback", json={"prediction_id": prediction_id, "label": label}).status_code
        for label in (6.25, "6.5", "much", "nan", "1e999")
    ]

    assert statuses == [200, 200, 422, 422, 422]
    assert [label for _, label in _labels(app)] == ["6.25", "6.5"]


def _answered(layout: Layout, count: int) -> list[str]:
    """Ids of predictions in the project's log."""
    manifest = json.loads((layout.serving / "digits" / "champion.json").read_text())
    app = App(load(Path(manifest["place"])), layout.log)
    try:
        files = [("file", picture(number)) for number in range(count)]
        answer = app.post("/v1/models/digits:predict", files=files)
        return [row["id"] for row in answer.json()["predictions"]]
    finally:
        app.close()


def test_feedback_from_python(layout: Layout) -> None:
    ids = _answered(layout, 3)
    pairs = list(zip(ids, DIGITS, strict=False))

    assert serving.feedback(layout, pairs) == 3
    assert serving.feedback(layout, pairs) == 0
    assert {key: each.label for key, each in serving.log(layout).labels(ids).items()} == dict(pairs)
    with pytest.raises(ItemError, match="no label 'ten'") as caught:
        serving.feedback(layout, [(ids[0], "1"), (ids[1], "ten")])
    assert caught.value.index == 1
    with pytest.raises(ItemError, match="no prediction"):
        serving.feedback(layout, [(ids[0], "1"), (new_prediction_id(), "1")])
    assert serving.log(layout).labels(ids)[ids[0]].label == "0"


def test_the_command_takes_one_or_a_file(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    from tidemill.cli.commands.feedback import command

    ids = _answered(layout, 3)
    monkeypatch.chdir(layout.root)
    table = layout.root / "labels.csv"
    table.write_text("label,note,prediction_id\n" + "".join(f"{i},x,{each}\n" for i, each in enumerate(ids)))
    lines = layout.root / "labels.jsonl"
    lines.write_text("\n".join(json.dumps({"prediction_id": each, "label": 7}) for each in ids) + "\n")
    runner = CliRunner()

    assert runner.invoke(command, [ids[0], "0"]).output == "1 label taken\n"
    assert runner.invoke(command, ["--from", str(table)]).output == "3 labels taken, 1 known already\n"
    assert json.loads(runner.invoke(command, ["--from", str(lines), "--json"]).output)["accepted"] == 3
    assert {each.label for each in serving.log(layout).labels(ids).values()} == {"7"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "prediction_id,label\n{0},1\nnonsense,1\n", "line 3"),
        ("a.csv", "prediction_id,label\n{0},1\n{1},ten\n", "line 3"),
        ("a.csv", "prediction_id,label\n{0}\n", "line 2"),
        ("a.csv", "prediction_id,label\n{0},\n", "line 2"),
        ("a.csv", "id,label\n{0},1\n", "columns"),
        ("a.csv", "", "no label|columns"),
        ("a.csv", "prediction_id,label\n", "no label"),
        ("a.jsonl", '{{"prediction_id": "{0}", "label": "1"}}\n{{"prediction_id": "{1}"}}\n', "line 2"),
        ("a.jsonl", '{{"prediction_id": "{0}", "label": "1"}}\n{{broken\n', "line 2"),
        ("a.csv", "\x00\ufffd", "columns"),
    ],
)
def test_a_malformed_file_is_named_with_its_line_and_nothing_is_written(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, name: str, content: str, said: str
) -> None:
    from tidemill.cli.commands.feedback import command
    from tidemill.errors import InputError

    ids = _answered(layout, 2)
    monkeypatch.chdir(layout.root)
    (layout.root / name).write_text(content.format(*ids))

    with pytest.raises(InputError, match=said):
        CliRunner().invoke(command, ["--from", name], catch_exceptions=False)

    assert serving.log(layout).labels(ids) == {}
