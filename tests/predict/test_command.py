"""`tidemill predict`: pictures, texts and tables in, a table out; the bad are named and cost nobody else the answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from tests.predict.conftest import Predict
from tests.serve.bundles import image_bundle, picture, tabular_bundle, text_bundle
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.predictor import Predictor
from tidemill.bundle.read import open_bundle


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "inner").mkdir(parents=True)
    for number in range(70):
        (folder / "inner" / f"{number:02}.png").write_bytes(picture(number))
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_a_folder_of_pictures(tmp_path: Path, predict: Predict, pictures: Path) -> None:
    bundle = image_bundle(tmp_path / "bundle")
    rows = predict(bundle, str(pictures), "--json").json
    assert [Path(row["file"]).name for row in rows] == [f"{number:02}.png" for number in range(70)]
    opened = open_bundle(bundle)
    native = Predictor(opened, OnnxRuntime().load(bundle, opened.bundle, threads=1))
    answers = native.predict([picture(number) for number in range(70)])
    assert [row["output"] for row in rows] == [answer.output for answer in answers]
    assert rows[3]["score_7"] == pytest.approx(answers[3].scores["7"], abs=1e-6)
    one = predict(bundle, str(pictures / "inner" / "*3.png"))
    assert one.code == 0 and len(one.out.splitlines()) == 8


def test_bad_pictures_are_named_and_the_others_answered(tmp_path: Path, predict: Predict, pictures: Path) -> None:
    (pictures / "broken.png").write_bytes(picture(1)[:60])
    (pictures / "unreadable.png").symlink_to(tmp_path / "nowhere.png")
    (pictures / "text.jpg").write_text("hello")
    bundle = image_bundle(tmp_path / "bundle")
    done = predict(bundle, str(pictures), "--out", str(tmp_path / "answers.parquet"))
    assert done.code == 1
    assert "broken.png: a damaged or truncated picture" in done.err and "text.jpg: not a picture" in done.err
    assert "70 of 72 answered" in done.err
    table = pq.read_table(tmp_path / "answers.parquet")
    assert table.num_rows == 72 and table["output"].null_count == 2 and table["problem"].null_count == 70
    nothing = predict(bundle, str(pictures / "text.jpg"))
    assert nothing.code == 2 and "nothing could be answered" in nothing.err


def test_a_table_keeps_its_columns(tmp_path: Path, predict: Predict) -> None:
    bundle = tabular_bundle(tmp_path / "bundle", regression=True)
    (tmp_path / "rows.csv").write_text("id,height,width,output\na,1,2,x\nb,0.5,-3,y\n")
    done = predict(bundle, str(tmp_path / "rows.csv"), "--out", str(tmp_path / "answers.csv"))
    assert done.code == 0
    table = csv.read_csv(tmp_path / "answers.csv")
    assert table.column_names == ["id", "height", "width", "output_given", "output"]
    assert table["output"].to_pylist() == [4.0, -2.0] and table["output_given"].to_pylist() == ["x", "y"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "jsonl"])
def test_every_format_is_written(tmp_path: Path, predict: Predict, suffix: str) -> None:
    bundle = tabular_bundle(tmp_path / "bundle")
    rows = pa.table({"width": [1.0, -4.0], "height": [2.0, 0.0]})
    pq.write_table(rows, tmp_path / "rows.parquet")
    out = tmp_path / "new" / f"answers.{suffix}"
    missing = predict(bundle, str(tmp_path / "rows.parquet"), "--out", str(out))
    assert missing.code == 2 and "there is no folder" in missing.err
    out.parent.mkdir()
    assert predict(bundle, str(tmp_path / "rows.parquet"), "--out", str(out)).code == 0
    match suffix:
        case "jsonl":
            found = [json.loads(line)["output"] for line in out.read_text().splitlines()]
        case "parquet":
            found = pq.read_table(out)["output"].to_pylist()
        case _:
            delimiter = csv.ParseOptions(delimiter="," if suffix == "csv" else "\t")
            found = csv.read_csv(out, parse_options=delimiter)["output"].to_pylist()
    assert found == ["large", "small"]
    assert [entry.name for entry in out.parent.iterdir()] == [out.name]


def test_rows_as_json_as_the_server_takes_them(tmp_path: Path, predict: Predict) -> None:
    bundle = tabular_bundle(tmp_path / "bundle")
    rows = [{"width": 1.0, "height": 2.0}, {"width": -4, "height": 0}]
    (tmp_path / "request.json").write_text(json.dumps({"inputs": rows}))
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name in ("request.json", "rows.jsonl"):
        answers = predict(bundle, str(tmp_path / name), "--json").json
        assert [row["output"] for row in answers] == ["large", "small"]


def test_bad_rows_of_a_large_table_are_named(tmp_path: Path, predict: Predict) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{a:.3f},{b:.3f}" for a, b in rng.normal(size=(3000, 2))]
    lines[10], lines[1500], lines[2999] = "abc,1", ",1", "1e60,1"
    (tmp_path / "rows.csv").write_text("width,height\n" + "\n".join(lines) + "\n")
    bundle = tabular_bundle(tmp_path / "bundle")
    done = predict(bundle, str(tmp_path / "rows.csv"), "--json")
    assert done.code == 1
    assert "row 11: column 'width': 'abc' is not a number" in done.err
    assert "row 1501: column 'width': a number is missing" in done.err
    assert "row 3000: column 'width': 1e+60 is too large" in done.err
    rows = done.json
    assert len(rows) == 3000 and sum(row["output"] is None for row in rows) == 3
    assert rows[1501]["output"] in ("small", "medium", "large")


def test_texts_by_line_and_by_column(tmp_path: Path, predict: Predict) -> None:
    bundle = text_bundle(tmp_path / "bundle")
    (tmp_path / "lines.txt").write_text("the good tide\n\nbad bad\r\n", encoding="utf-8")
    rows = predict(bundle, str(tmp_path / "lines.txt"), "--json").json
    assert [(row["line"], row["text"], row["output"]) for row in rows] == [
        (1, "the good tide", "good"), (3, "bad bad", "bad")
    ]  # fmt: skip
    (tmp_path / "table.tsv").write_text("id\tsaid\n1\tgood\n2\tbad\n")
    assert [row["output"] for row in predict(bundle, str(tmp_path / "table.tsv"), "--json").json] == ["good", "bad"]
    (tmp_path / "two.csv").write_text("said,more\ngood,bad\n,bad\n")
    unclear = predict(bundle, str(tmp_path / "two.csv"))
    assert unclear.code == 2 and "--column" in unclear.err
    named = predict(bundle, str(tmp_path / "two.csv"), "--column", "more", "--json").json
    assert [row["output"] for row in named] == ["bad", "bad"]
    assert predict(bundle, str(tmp_path / "two.csv"), "--column", "mor").code == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.csv", b"width\n1\n"),
        ("empty.csv", b""),
        ("header.csv", b"width,height\n"),
        ("twice.csv", b"width,height,width\n1,2,3\n"),
        ("ragged.csv", b"width,height\n1\n1,2,3\n"),
        ("binary.csv", bytes(range(256))),
        ("none.parquet", b"PAR1 no"),
        ("table.xlsx", b"PK"),
        ("deep.json", b"[" * 100_000),
        ("value.json", b'{"inputs": 3}'),
        ("broken.jsonl", b'{"width": 1'),
    ],
)
def test_a_table_that_cannot_be_read_is_code_2(tmp_path: Path, predict: Predict, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    done = predict(tabular_bundle(tmp_path / "bundle"), str(tmp_path / name), "--out", str(tmp_path / "out.csv"))
    assert done.code == 2 and done.err.startswith("error: ") and len(done.err.splitlines()) <= 2
    assert "bug" not in done.err and not (tmp_path / "out.csv").exists()


def test_what_is_asked_for_is_checked_before_the_work(tmp_path: Path, predict: Predict, pictures: Path) -> None:
    bundle = image_bundle(tmp_path / "bundle")
    for args in (
        (str(tmp_path / "nothing.png"),),
        (str(pictures), "--out", "answers.xlsx"),
        (str(pictures), "--out", str(tmp_path)),
        (str(tmp_path / "bundle" / "report"),),
        (),
    ):
        assert predict(bundle, *args).code == 2
    (tmp_path / "empty").mkdir()
    assert "no picture" in predict(bundle, str(tmp_path / "empty")).err
    assert "tidemill.toml" in predict(Path("digits@champion"), str(pictures)).err
