"""Sentences to token ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.domain.bundle import TextPreprocessing
from tidemill.errors import BundleError, ItemError, MissingExtraError, first_line

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Encoding

MAX_CHARACTERS = 100_000


class Sentences:
    """Tokenises as `preprocessing` says, with the tokenizer (Hugging Face tokenizers' JSON) at `path`."""

    def __init__(self, preprocessing: TextPreprocessing, path: Path) -> None:
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError:
            raise MissingExtraError("a model for text", "text") from None
        try:
            self._tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except BaseException as error:  # the parser's errors have no class of their own
            _let_through(error)
            raise BundleError(
                f"{path} is not a tokenizer: {str(error)[:200]}", "export the model again, or fetch the bundle anew"
            ) from None
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(preprocessing.max_length)
        self._pad_id = preprocessing.pad_id

    def prepare(self, inputs: Sequence[Any]) -> dict[str, NDArray[Any]]:
        """`input_ids` and `attention_mask`, int64 [N, L], padded to the longest. Raises ItemError."""
        for index, text in enumerate(inputs):
            _check(text, index)
        encodings = self._encode(list(inputs))
        lengths = [len(encoding) for encoding in encodings]
        if 0 in lengths:
            index = lengths.index(0)
            raise ItemError(index, f"input {index} is a text without a single token", "give a text with words in it")
        ids = np.full((len(encodings), max(lengths)), self._pad_id, np.int64)
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(encodings):
            ids[row, : lengths[row]] = encoding.ids
            mask[row, : lengths[row]] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def _encode(self, inputs: list[str]) -> list[Encoding]:
        """All of them; raises ItemError for the first that the tokenizer has no answer to."""
        try:
            return self._tokenizer.encode_batch_fast(inputs)
        except BaseException as error:  # as above
            _let_through(error)
            if len(inputs) == 1:
                raise _untold(0, error) from None
        encodings = []
        for index, text in enumerate(inputs):
            try:
                encodings += self._tokenizer.encode_batch_fast([text])
            except BaseException as error:
                _let_through(error)
                raise _untold(index, error) from None
        return encodings


def _let_through(error: BaseException) -> None:
    """Raise what has nothing to do with the tokenizer; its panics are no Exception, and their class has no module."""
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error


def _untold(index: int, error: BaseException) -> ItemError:
    return ItemError(
        index,
        f"input {index} cannot be tokenised: {first_line(error)}",
        "give a text of known words, or export the model with a tokenizer that knows what to do with others",
    )


def _check(text: object, index: int) -> None:
    if not isinstance(text, str):
        raise ItemError(index, f"input {index} is {type(text).__name__}, not text", 'send strings: {"inputs": ["…"]}')
    if len(text) > MAX_CHARACTERS:
        raise ItemError(
            index, f"input {index} has {len(text):,} characters", f"at most {MAX_CHARACTERS:,} are read: cut it"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ItemError(index, f"input {index} holds half a surrogate pair", "send valid Unicode") from None
