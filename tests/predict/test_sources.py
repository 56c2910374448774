"""What is given in other ways: several tables, bad rows of each kind, and pictures that come back with answers."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.predict.conftest import Predict
from tests.serve.bundles import image_bundle, picture, tabular_bundle, text_bundle
from tidemill.domain.bundle import TableColumn
from tidemill.errors import InputError
from tidemill.project.predicting.annotate import annotated
from tidemill.project.predicting.tables import Tables


def test_a_folder_of_tables_is_one(tmp_path: Path, predict: Predict) -> None:
    bundle = tabular_bundle(tmp_path / "bundle", regression=True)
    (tmp_path / "days").mkdir()
    for number, width in enumerate((1.0, 2.0)):
        pq.write_table(pa.table({"width": [width] * 3, "height": [1.0] * 3}), tmp_path / "days" / f"{number}.parquet")
    done = predict(bundle, str(tmp_path / "days"), "--out", str(tmp_path / "out.parquet"))
    assert done.code == 0, done.err
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["output"].to_pylist() == [3.0] * 3 + [4.0] * 3
    assert [Path(file).name for file in table["file"].to_pylist()] == ["0.parquet"] * 3 + ["1.parquet"] * 3
    (tmp_path / "days" / "2.csv").write_text("width,height,more\n1,1,1\n")
    assert "other columns" in predict(bundle, str(tmp_path / "days")).err


def test_bad_rows_of_csv_keep_their_place(tmp_path: Path, predict: Predict) -> None:
    bundle = tabular_bundle(tmp_path / "bundle", regression=True)
    lines = [b"%d,1" % number for number in range(40)]
    lines[3], lines[4], lines[20], lines[39] = b"3", b"4,1,1", b"\xff,1", b"39"
    (tmp_path / "rows.csv").write_bytes(b"width,height\n" + b"\n".join(lines) + b"\n")
    done = predict(bundle, str(tmp_path / "rows.csv"), "--json")
    answers = [row["output"] for row in done.json]
    assert answers == [None if number in (3, 4, 20, 39) else number + 2.0 for number in range(40)]
    said = done.err.splitlines()
    assert said[0] == "no answer for row 4: 1 cell, not 2" and said[1] == "no answer for row 5: 3 cells, not 2"
    assert said[2].startswith("no answer for row 21: column 'width'") and said[3].startswith("no answer for row 40: ")


def test_bad_lines_of_json_keep_their_place(tmp_path: Path, predict: Predict) -> None:
    bundle = tabular_bundle(tmp_path / "bundle", regression=True)
    good = json.dumps({"width": 1, "height": 1, "id": 7})
    lines = [good, '{"width": ', "[1]", '{"width": "x", "height": 1}', '{"width": 1}', good]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    done = predict(bundle, str(tmp_path / "rows.jsonl"), "--json")
    assert [row["output"] for row in done.json] == [3.0, None, None, None, None, 3.0]
    assert [row["id"] for row in done.json] == ["7", None, None, None, None, "7"]
    assert "row 2: no JSON" in done.err and "row 3: not an object" in done.err
    assert "row 4: column 'width': 'x' is not a number" in done.err and "row 5: column 'height'" in done.err


def test_more_bad_rows_than_good_ones(tmp_path: Path, predict: Predict) -> None:
    bundle = tabular_bundle(tmp_path / "bundle", regression=True)
    lines = [f"{'x' if number % 3 else number},1" for number in range(3000)]
    (tmp_path / "rows.csv").write_text("width,height\n" + "\n".join(lines))
    done = predict(bundle, str(tmp_path / "rows.csv"), "--out", str(tmp_path / "out.csv"))
    assert "1,000 of 3,000 answered" in done.err and "… and for 1,990 more" in done.err


def test_a_line_that_is_no_text(tmp_path: Path, predict: Predict) -> None:
    (tmp_path / "said.txt").write_bytes(b"good\n\xff\xfe\nbad\n")
    done = predict(text_bundle(tmp_path / "bundle"), str(tmp_path / "said.txt"), "--json")
    assert [row["output"] for row in done.json] == ["good", None, "bad"]
    assert done.err == "no answer for line 2: not text in UTF-8\n"


def test_what_csv_cannot_hold_is_said_before_the_work(tmp_path: Path, predict: Predict) -> None:
    pq.write_table(pa.table({"width": [1.0], "height": [1.0], "tags": [["a", "b"]]}), tmp_path / "rows.parquet")
    bundle = tabular_bundle(tmp_path / "bundle")
    done = predict(bundle, str(tmp_path / "rows.parquet"), "--out", str(tmp_path / "out.csv"))
    assert done.code == 2 and "'tags'" in done.err
    assert predict(bundle, str(tmp_path / "rows.parquet"), "--out", str(tmp_path / "out.jsonl")).code == 0
    assert json.loads((tmp_path / "out.jsonl").read_text())["tags"] == ["a", "b"]


def test_pictures_come_back_with_their_answers(tmp_path: Path, predict: Predict) -> None:
    bundle, drawn = image_bundle(tmp_path / "bundle"), tmp_path / "drawn"
    for name in ("a/x.png", "b/x.png", "b/y.gif"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(picture(len(name)))
    (tmp_path / "in" / "b" / "bad.png").write_bytes(b"no")
    done = predict(bundle, str(tmp_path / "in"), "--annotate", str(drawn), "--out", str(tmp_path / "out.csv"))
    assert done.code == 1 and "3 of 4 answered" in done.err
    found = sorted(str(path.relative_to(drawn)) for path in drawn.rglob("*") if path.is_file())
    assert found == ["a/x.png", "b/x.png", "b/y.gif.png"]
    with Image.open(drawn / "a" / "x.png") as made:
        pixels = np.asarray(made)
    assert pixels.shape == (192 + 22, 192, 3)  # eight pixels made readable, and the band
    assert pixels[192:].max() == 255 and (pixels[:192, :, 0] == np.asarray(pixels[:192, :, 1])).all()
    same = predict(bundle, str(tmp_path / "in"), "--annotate", str(tmp_path / "in"))
    assert same.code == 2 and "where the pictures are" in same.err


def test_the_answer_is_what_is_drawn() -> None:
    plain = [annotated(picture(1), said, "PNG") for said in ("cat  99.0%", "cat  99.0%", "dog  99.0%")]
    assert plain[0] == plain[1] != plain[2]
    with Image.open(io.BytesIO(annotated(picture(1, 900), "a label that goes on " * 20, "JPEG"))) as made:
        assert made.format == "JPEG" and made.size == (900, 900 + 900 // 14)


def test_only_pictures_are_annotated(tmp_path: Path, predict: Predict) -> None:
    (tmp_path / "said.txt").write_text("good")
    done = predict(text_bundle(tmp_path / "bundle"), str(tmp_path / "said.txt"), "--annotate", str(tmp_path / "drawn"))
    assert done.code == 2 and "for pictures" in done.err


def test_only_texts_have_a_column(tmp_path: Path, predict: Predict) -> None:
    (tmp_path / "rows.csv").write_text("width,height\n1,2\n")
    done = predict(tabular_bundle(tmp_path / "bundle"), str(tmp_path / "rows.csv"), "--column", "width")
    assert done.code == 2 and "--column is for tables of texts" in done.err


def test_of_many_missing_columns_some_are_named_and_all_counted(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match=r"lacks the columns 'c0', .*, 'c7' and 3 more"):
        Tables([tmp_path / "rows.csv"], [TableColumn(f"c{number}", "float") for number in range(11)])
