"""Opening a bundle: whatever is altered, missing, hostile or too new is refused, and only ever as a BundleError."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.bundle.conftest import EXAMPLE
from tests.bundle.sealing import Record, edit, reseal
from tidemill.bundle.read import open_bundle
from tidemill.domain.bundle import PROTOCOL
from tidemill.domain.digest import Digest
from tidemill.errors import BundleError

FILES = sorted(path.relative_to(EXAMPLE).as_posix() for path in EXAMPLE.rglob("*") if path.is_file())
SOUND = Digest.of_file(EXAMPLE / "bundle.json")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.37, 0.99])
def test_a_flipped_bit_is_seen(example: Path, name: str, share: float) -> None:
    content = bytearray((example / name).read_bytes())
    content[int(share * (len(content) - 1))] ^= 4
    (example / name).write_bytes(content)
    with pytest.raises(BundleError):
        open_bundle(example, expected=SOUND)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_torn_write_is_seen(example: Path, name: str, share: float) -> None:
    os.truncate(example / name, int(share * (example / name).stat().st_size))
    with pytest.raises(BundleError):
        open_bundle(example)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_seen(example: Path, name: str) -> None:
    (example / name).unlink()
    with pytest.raises(BundleError):
        open_bundle(example)


def test_a_directory_named_by_a_digest_is_held_to_it(example: Path, tmp_path: Path) -> None:
    right = example.rename(tmp_path / SOUND.hex)
    assert open_bundle(right).digest == SOUND
    wrong = right.rename(tmp_path / ("0" * 64))
    with pytest.raises(BundleError, match="its digest is"):
        open_bundle(wrong)


def test_nothing_there(tmp_path: Path) -> None:
    for place in (tmp_path / "none", tmp_path):
        with pytest.raises(BundleError, match="there is no bundle"):
            open_bundle(place)


@pytest.mark.parametrize("name", ["extra.bin", "model.onnx.data", ".hidden", "report/.hidden", "report/a b"])
def test_a_file_that_is_no_part_of_a_bundle_is_refused(example: Path, name: str) -> None:
    (example / name).write_bytes(b"x")
    with pytest.raises(BundleError, match="not listed"):
        open_bundle(example)
    reseal(example)
    with pytest.raises(BundleError, match="no part of a bundle"):
        open_bundle(example)


@pytest.mark.parametrize("name", ["model.onnx", "card.md", "report/evaluation.json", "bundle.json"])
def test_a_symbolic_link_is_refused_also_to_the_right_bytes(example: Path, tmp_path: Path, name: str) -> None:
    (example / name).rename(tmp_path / "elsewhere")
    (example / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="not a plain file"):
        open_bundle(example)


def test_a_folder_in_the_place_of_the_report_may_not_be_a_link(example: Path, tmp_path: Path) -> None:
    (example / "report").rename(tmp_path / "elsewhere")
    (example / "report").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="not a plain file"):
        open_bundle(example)


def test_a_pipe_does_not_block(example: Path) -> None:
    (example / "card.md").unlink()
    os.mkfifo(example / "card.md")
    with pytest.raises(BundleError, match="not a plain file"):
        open_bundle(example)


@pytest.mark.parametrize("name", FILES)
def test_a_hole_of_a_terabyte_is_not_read(example: Path, name: str) -> None:
    os.truncate(example / name, 1 << 40)
    if name != "bundle.json":
        edit(example, lambda record: record["files"][name].update(bytes=1 << 40))
    with pytest.raises(BundleError, match=r"more than|larger than"):
        open_bundle(example)


def test_more_files_than_any_report_has_are_not_read(example: Path) -> None:
    for number in range(1000):
        (example / "report" / str(number)).touch()
    reseal(example)
    with pytest.raises(BundleError, match="files, more than 1,000"):
        open_bundle(example)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "report/../../outside", "report/", "report//x", "a\\b"])
def test_a_path_that_leaves_is_refused(example: Path, name: str) -> None:
    edit(example, lambda record: record["files"].update({name: record["files"]["card.md"]}))
    with pytest.raises(BundleError, match="no part of a bundle"):
        open_bundle(example)


def test_a_newer_protocol_says_what_to_do(example: Path) -> None:
    edit(example, lambda record: record.update(protocol=PROTOCOL + 1, unheard_of={"new": True}))
    with pytest.raises(BundleError, match=rf"protocol {PROTOCOL + 1}.*reads up to {PROTOCOL}") as refused:
        open_bundle(example)
    assert "upgrade" in refused.value.remedy


@pytest.mark.parametrize("protocol", [0, -1, True, "1", None, 1.0, [1]])
def test_a_protocol_that_never_was(example: Path, protocol: Any) -> None:
    edit(example, lambda record: record.update(protocol=protocol))
    with pytest.raises(BundleError):
        open_bundle(example)


def _deep(depth: int) -> bytes:
    return b'{"protocol":' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"protocol": 1}',
        b"\xff\xfe",
        _deep(100_000),
        b'{"protocol": 1, "protocol": 1}',
        b'{"protocol": NaN}',
        b'{"protocol": 1e999}',
        b'{"protocol": ' + b"9" * 5000 + b"}",
        b" " * (9 << 20),
    ],
    ids=range(12),
)
def test_a_record_that_is_none(example: Path, content: bytes) -> None:
    (example / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError):
        open_bundle(example)


def _drop_column(record: Record) -> None:
    del record["preprocessing"]["columns"][0]


def _swap_inputs(record: Record) -> None:
    record["signature"]["inputs"].reverse()


def _repeat_label(record: Record) -> None:
    record["signature"]["labels"][0] = "virginica"


def _other_task(record: Record) -> None:
    record["signature"]["task"] = "image"


def _wide_scores(record: Record) -> None:
    record["signature"]["outputs"][0]["shape"] = [-1, 4]


def _no_golden(record: Record) -> None:
    record["golden"]["rows"] = 0


def _path_as_name(record: Record) -> None:
    record["name"] = "../iris"


def _column_named_as_output(record: Record) -> None:
    record["preprocessing"]["columns"][0]["name"] = record["signature"]["inputs"][0]["name"] = "scores"


def _renamed_input(record: Record) -> None:
    record["preprocessing"]["columns"][0]["name"] = record["signature"]["inputs"][0]["name"] = "another"


@pytest.mark.parametrize(
    "change",
    [_drop_column, _swap_inputs, _repeat_label, _other_task, _wide_scores, _no_golden, _path_as_name,
     _column_named_as_output, _renamed_input],
)  # fmt: skip
def test_parts_that_do_not_fit_each_other(example: Path, change: Callable[[Record], None]) -> None:
    edit(example, change)
    with pytest.raises(BundleError):
        open_bundle(example)


def test_a_number_beyond_float_is_named(example: Path) -> None:
    edit(example, lambda record: record["golden"].update(tolerance=10**400))
    with pytest.raises(BundleError, match="tolerance is too large"):
        open_bundle(example)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        found += _spots(child, (*path, key))
    return found


SPOTS = _spots(json.loads((EXAMPLE / "bundle.json").read_bytes()))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spot=st.sampled_from(SPOTS), value=VALUES)
@example(spot=("per_class",), value={"a\n\x1b[2Jb": None})
def test_any_value_in_any_place_opens_or_is_a_bundle_error(
    tmp_path_factory: pytest.TempPathFactory, spot: tuple[Any, ...], value: Any
) -> None:
    copy = Path(shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("fuzz") / "bundle"))
    record = json.loads((copy / "bundle.json").read_bytes())
    inner = record
    for key in spot[:-1]:
        inner = inner[key]
    inner[spot[-1]] = value
    (copy / "bundle.json").write_text(json.dumps(record), encoding="utf-8", errors="surrogatepass")
    try:
        open_bundle(copy)
    except BundleError as refused:
        assert refused.headline.isprintable()
    finally:
        shutil.rmtree(copy)
