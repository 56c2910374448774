"""Sentences to token ids, and the bytes that stand for any request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from tidemill.bundle.preprocess import Preprocessor, canonical_input, input_digest, raw_input
from tidemill.domain.bundle import TextPreprocessing
from tidemill.errors import BundleError, InputError, ItemError


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    made = Tokenizer(WordLevel({"[UNK]": 0, "[PAD]": 7, "the": 1, "tide": 2, "turns": 3}, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.enable_padding(pad_id=0, length=50)  # what the file says of padding does not count
    (tmp_path / "tokenizer.json").write_text(made.to_str(), encoding="utf-8")
    return tmp_path / "tokenizer.json"


@pytest.fixture
def preprocessor(tokenizer: Path) -> Preprocessor:
    return Preprocessor(TextPreprocessing(max_length=4, pad_id=7), tokenizer)


def test_a_batch_is_padded_to_its_longest_and_cut_at_the_limit(preprocessor: Preprocessor) -> None:
    feed = preprocessor.prepare(["the tide turns", "tide"])
    assert feed["input_ids"].tolist() == [[1, 2, 3], [2, 7, 7]]
    assert feed["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert feed["input_ids"].dtype == feed["attention_mask"].dtype == np.int64
    assert preprocessor.prepare(["tide " * 9])["input_ids"].tolist() == [[2, 2, 2, 2]]


@pytest.mark.parametrize("bad", [None, 3, b"bytes", ["the"], {"text": "the"}, "", "   ", "tide\ud800", "x" * 100_001])
def test_what_is_no_text_is_refused_and_named(preprocessor: Preprocessor, bad: Any) -> None:
    with pytest.raises(ItemError, match="input 1 ") as refused:
        preprocessor.prepare(["the tide", bad])
    assert refused.value.index == 1


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"model": {"type": "Evil"}}'])
def test_a_tokenizer_that_is_none_is_a_bundle_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(BundleError, match="is not a tokenizer"):
        Preprocessor(TextPreprocessing(4, 0), tmp_path / "tokenizer.json")


def _tokenizer(folder: Path, **parts: Any) -> Path:
    plain: dict[str, Any] = {
             "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
             "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
             "model": {"type": "WordLevel", "vocab": {"the": 1}, "unk_token": "[UNK]"}}  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(plain | parts))
    return folder / "tokenizer.json"


def test_a_text_to_which_the_tokenizer_has_no_answer_is_named_and_the_others_are_fine(tmp_path: Path) -> None:
    preprocessor = Preprocessor(TextPreprocessing(4, 0), _tokenizer(tmp_path))
    with pytest.raises(ItemError, match="input 1 cannot be tokenised") as refused:
        preprocessor.prepare(["the", "tide", "the"])
    assert refused.value.index == 1
    assert preprocessor.prepare(["the", "the"])["input_ids"].tolist() == [[1], [1]]


def test_a_tokenizer_that_panics_is_an_error_like_any_other(tmp_path: Path) -> None:
    precompiled = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    with pytest.raises(BundleError, match="is not a tokenizer"):
        Preprocessor(TextPreprocessing(4, 0), _tokenizer(tmp_path, normalizer=precompiled))
    path = _tokenizer(tmp_path, pre_tokenizer={"type": "FixedLength", "length": 0})
    with pytest.raises(ItemError, match="cannot be tokenised"):
        Preprocessor(TextPreprocessing(4, 0), path).prepare(["the"])


def test_text_needs_its_tokenizer() -> None:
    with pytest.raises(BundleError):
        Preprocessor(TextPreprocessing(4, 0))


def test_a_request_has_one_form_in_bytes() -> None:
    assert canonical_input(b"\x89PNG") == b"\x89PNG"
    assert canonical_input("Größe") == "Größe".encode()
    assert canonical_input({"b": 1.5, "a": "ö", "c": None}) == '{"a":"ö","b":1.5,"c":null}'.encode()
    assert input_digest({"b": 1, "a": 2}) == input_digest({"a": 2, "b": 1})
    assert input_digest({"a": 1}) != input_digest({"a": 2})


@pytest.mark.parametrize("raw", [{"a": float("nan")}, {"a": object()}, {"a": {1, 2}}, "half \ud800"])
def test_a_request_that_has_no_such_form_is_refused(raw: Any) -> None:
    with pytest.raises(InputError):
        canonical_input(raw)


def test_the_form_is_read_back() -> None:
    assert raw_input("image", b"\x89PNG") == b"\x89PNG"
    assert raw_input("text", "Größe".encode()) == "Größe"
    assert raw_input("tabular", b'{"a": null}') == {"a": None}
    for task, content in (("text", b"\xff"), ("tabular", b"[1]"), ("tabular", b"{")):
        with pytest.raises(ValueError, match=r".+"):
            raw_input(task, content)  # type: ignore[arg-type]  # a Literal
