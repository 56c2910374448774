"""Requests of any kind: prepared, or refused with one clear error that names the request."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from tests.fuzz.conftest import FUZZ
from tests.fuzz.mutate import mutated
from tidemill.bundle.preprocess import Preprocessor
from tidemill.domain.bundle import ImagePreprocessing, TableColumn, TabularPreprocessing, TextPreprocessing
from tidemill.errors import InputError, ItemError


def _picture(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
    Image.fromarray(noise).save(file, kind, **options)
    return file.getvalue()


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


PICTURES = [
    _picture("PNG"), _picture("PNG", exif=_turned()), _picture("JPEG", exif=_turned()),
    _picture("JPEG", progressive=True), _picture("WEBP"), _picture("WEBP", lossless=True), _picture("GIF"),
    _picture("BMP"), _picture("TIFF"), _picture("TIFF", compression="tiff_lzw"), _picture("TIFF", compression="jpeg"),
]  # fmt: skip
READERS = [Preprocessor(ImagePreprocessing(mode, 6, 8)) for mode in ("RGB", "L")]


@pytest.mark.parametrize("sound", PICTURES, ids=range(len(PICTURES)))
@FUZZ
@given(data=st.data())
def test_pictures(sound: bytes, data: st.DataObject) -> None:
    content = data.draw(mutated(sound))
    for reader in READERS:
        try:
            assert reader.prepare([content])["image"].dtype == np.uint8
        except ItemError as refused:
            assert refused.index == 0
            assert "\n" not in refused.headline


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ROWS = Preprocessor(
    TabularPreprocessing(
        (
            TableColumn("a", "float", (), True),
            TableColumn("b", "integer"),
            TableColumn("c", "category", ("x", "y")),
            TableColumn("d", "category", ("true", "false"), True),
        )
    )
)
NEAR = st.fixed_dictionaries({"a": VALUES, "b": VALUES, "c": VALUES | st.just("x"), "d": VALUES | st.just("true")})


@FUZZ
@given(st.lists(NEAR | st.dictionaries(st.text(max_size=3), VALUES, max_size=5) | VALUES, min_size=1, max_size=3))
def test_rows(rows: list[Any]) -> None:
    try:
        feed = ROWS.prepare(rows)
    except ItemError as refused:
        assert 0 <= refused.index < len(rows)
        assert "\n" not in refused.headline
        assert len(refused.headline) < 2000
    else:
        assert all(values.shape == (len(rows), 1) for values in feed.values())
        assert np.isfinite(feed["b"]).all()


@FUZZ
@given(
    st.lists(st.none() | st.floats() | st.integers(-(2**63), 2**63 - 1), max_size=4),
    st.lists(st.none() | st.text(max_size=5), max_size=4),
)
def test_tables(numbers: list[Any], texts: list[Any]) -> None:
    size = min(len(numbers), len(texts))
    plain = [None if value is None else float(value) for value in numbers[:size]]
    try:
        number, text = pa.array(plain, pa.float64()), pa.array(texts[:size], pa.string())
    except UnicodeEncodeError:
        return  # half a surrogate pair: no table has it
    try:
        feed = ROWS.prepare_table(pa.table({"a": number, "b": number, "c": text, "d": text}))
    except InputError as refused:
        assert "\n" not in refused.headline
    else:
        assert all(values.shape == (size, 1) for values in feed.values())


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Preprocessor:
    made = Tokenizer(WordLevel({"[UNK]": 0, "the": 1, "tide": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(made.to_str(), encoding="utf-8")
    return Preprocessor(TextPreprocessing(16, 3), path)


@FUZZ
@given(st.lists(st.text(st.characters(), max_size=60) | VALUES, min_size=1, max_size=3))
def test_sentences(sentences: Preprocessor, texts: list[Any]) -> None:
    try:
        feed = sentences.prepare(texts)
    except ItemError as refused:
        assert 0 <= refused.index < len(texts)
        assert "\n" not in refused.headline
    else:
        assert feed["input_ids"].shape == feed["attention_mask"].shape
        assert 1 <= feed["input_ids"].shape[1] <= 16
