"""Packing, reading back, and what is not what its record says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tidemill.dataset import write
from tidemill.dataset.read import RECORD, PackedDataset, open_dataset
from tidemill.dataset.write import pack
from tidemill.domain.dataset import Column
from tidemill.errors import DataError, NotFoundError

IMAGE = (Column("name", "string", "path"), Column("label", "string", "target"), Column("data", "binary", "image"))
TABLE = (Column("x", "double", "feature"), Column("c", "string", "feature"), Column("y", "double", "target"))


def pictures(root: Path, count: int = 40, size: int = 1000) -> PackedDataset:
    root.mkdir()
    chance = np.random.default_rng(0)
    batch = pa.record_batch(
        {
            "name": [f"{i}.png" for i in range(count)],
            "label": ["cat" if i % 4 else "dog" for i in range(count)],
            "data": pa.array([chance.bytes(size) for _ in range(count)], pa.binary()),
        }
    )
    pack(root, [("train", batch), ("test", batch.slice(0, 3))], name="pets", version="1.0.0", task="image",
         kind="classification", columns=IMAGE)  # fmt: skip
    return open_dataset(root, verify=True)


def test_pictures_come_back_byte_for_byte(tmp_path: Path) -> None:
    data = pictures(tmp_path / "pets")
    examples = data.examples("train")
    assert len(examples.inputs) == len(examples.names) == len(examples.labels) == 40
    assert examples.inputs[0] == np.random.default_rng(0).bytes(1000)
    assert examples.labels[:2] == ("dog", "cat")
    assert examples.values is None
    assert data.version.split("train").classes == {"cat": 30, "dog": 10}
    assert data.version.classes == ("cat", "dog")
    assert data.table("test", ["label"]).to_pydict() == {"label": ["dog", "cat", "cat"]}
    assert sum(batch.num_rows for batch in data.batches("train", rows=7)) == 40


def test_shards_stay_below_their_limit_and_packing_changes_no_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = pictures(tmp_path / "one", 200)
    monkeypatch.setattr(write, "SHARD_BYTES", 50_000)
    monkeypatch.setattr(write, "_GROUP_BYTES", 10_000)
    many = pictures(tmp_path / "many", 200)
    shards = many.version.split("train").shards
    assert len(shards) > 3
    assert all(shard.bytes < 60_000 for shard in shards)
    assert sum(shard.rows for shard in shards) == 200
    assert many.version.digest == one.version.digest
    assert many.examples("train").names == one.examples("train").names


def test_a_table_for_regression(tmp_path: Path) -> None:
    batch = pa.record_batch({"x": [1.5, None], "c": ["a", "b"], "y": [0.5, 2.0]})
    pack(tmp_path, [("train", batch)], name="t", version="1.0.0", task="tabular", kind="regression", columns=TABLE)
    examples = open_dataset(tmp_path).examples("train")
    assert list(examples.inputs) == [{"x": 1.5, "c": "a"}, {"x": None, "c": "b"}]
    assert examples.inputs[1] == {"x": None, "c": "b"}
    assert examples.inputs[::-1][0] == {"x": None, "c": "b"}
    assert examples.values is not None and examples.values.tolist() == [0.5, 2.0]
    assert examples.labels == () and examples.names == ("train/0", "train/1")


def test_an_unknown_split_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="train"):
        pictures(tmp_path / "pets").table("trian")


def test_an_altered_shard_is_found(tmp_path: Path) -> None:
    data = pictures(tmp_path / "pets")
    shard = data.root / data.version.split("train").shards[0].path
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match="altered"):
        open_dataset(data.root, verify=True)
    shard.write_bytes(content[:-1])
    with pytest.raises(DataError, match="incomplete"):
        open_dataset(data.root)


@pytest.mark.parametrize("path", ["../outside.parquet", "/etc/passwd", "shards\\x.parquet"])
def test_a_record_cannot_point_outside(tmp_path: Path, path: str) -> None:
    data = pictures(tmp_path / "pets")
    record = json.loads((data.root / RECORD).read_text())
    record["splits"][0]["shards"][0]["path"] = path
    (data.root / RECORD).write_text(json.dumps(record))
    with pytest.raises(DataError, match="outside"):
        open_dataset(data.root)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": 1}', "nonsense"])
def test_a_record_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(DataError, match="not the record"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="no packed data set"):
        open_dataset(tmp_path / "nowhere")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    data = pictures(tmp_path / "pets")
    record = json.loads((data.root / RECORD).read_text()) | {"format": 2}
    (data.root / RECORD).write_text(json.dumps(record))
    with pytest.raises(DataError, match="newer"):
        open_dataset(data.root)
