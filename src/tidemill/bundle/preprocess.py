"""Raw requests to arrays: the one implementation, used in training, evaluation and serving alike."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.bundle.pictures import prepare_pictures
from tidemill.bundle.rows import Rows, prepare_table
from tidemill.bundle.sentences import Sentences
from tidemill.domain.bundle import ImagePreprocessing, Preprocessing, TabularPreprocessing, TextPreprocessing
from tidemill.domain.dataset import Task
from tidemill.domain.digest import Digest, canonical_json
from tidemill.errors import BundleError, InputError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from tidemill.ports import Raw


class Preprocessor:
    """Makes requests ready for the graph as `preprocessing` declares it; `tokenizer` is tokenizer.json, for text.

    Safe to call from several threads. One bad request of a batch raises ItemError, which names it by its index.
    """

    def __init__(self, preprocessing: Preprocessing, tokenizer: Path | None = None) -> None:
        self.preprocessing = preprocessing
        self._sentences: Sentences | None = None
        self._rows = Rows(preprocessing) if isinstance(preprocessing, TabularPreprocessing) else None
        if isinstance(preprocessing, TextPreprocessing):
            if tokenizer is None:
                raise BundleError("text cannot be prepared without tokenizer.json", "give the path of the tokenizer")
            self._sentences = Sentences(preprocessing, tokenizer)

    def prepare(self, inputs: Sequence[Raw]) -> dict[str, NDArray[Any]]:
        """The graph's inputs, by name, for N requests.

        Pictures (bytes): `image` uint8 [N, H, W, C]. Sentences (str): `input_ids` and `attention_mask` int64 [N, L],
        L the longest of the batch. Rows (mappings): for each column an array [N, 1], float32, or object of str.
        Raises ItemError for the first request that cannot be used.
        """
        if not inputs:
            raise InputError("there is nothing to predict: the list of inputs is empty", "give at least one input")
        match self.preprocessing:
            case ImagePreprocessing():
                return {"image": prepare_pictures(self.preprocessing, inputs)}
            case TextPreprocessing():
                assert self._sentences is not None
                return self._sentences.prepare(inputs)
            case TabularPreprocessing():
                assert self._rows is not None
                return self._rows.prepare(inputs)

    def prepare_table(self, table: pa.Table) -> dict[str, NDArray[Any]]:
        """What `prepare` gives for the rows of `table`, whole columns at a time, with the same checks."""
        if not isinstance(self.preprocessing, TabularPreprocessing):
            raise InputError("only a tabular model reads tables", "give pictures or sentences")
        return prepare_table(self.preprocessing, table)


def canonical_input(raw: Raw) -> bytes:
    """A request as bytes, for logs and digests: the file itself, the sentence as UTF-8, the row as canonical JSON.

    Raises InputError for what has no such form (a NaN in a row, half a surrogate pair in a sentence).
    """
    if isinstance(raw, bytes):
        return raw
    try:
        return raw.encode() if isinstance(raw, str) else canonical_json(dict(raw))
    except (UnicodeEncodeError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"this input cannot be written as UTF-8 or JSON: {error}", "give plain values") from None


def input_digest(raw: Raw) -> Digest:
    """The digest of `canonical_input(raw)`."""
    return Digest.of_bytes(canonical_input(raw))


def raw_input(task: Task, content: bytes) -> Raw:
    """The request that `canonical_input` gave as `content`. Raises ValueError for bytes that no request gives."""
    match task:
        case "image":
            return content
        case "text":
            return content.decode()
        case "tabular":
            return taken(task, json.loads(content))


def asked(raw: Raw) -> Any:
    """A request as a value of JSON, as /v1 takes it: a picture's file in base64, a sentence, a row.

    Raises InputError as `canonical_input` does.
    """
    content = canonical_input(raw)
    if isinstance(raw, bytes):
        return {"b64": b64encode(content).decode("ascii")}
    return raw if isinstance(raw, str) else json.loads(content)


def taken(task: Task, value: Any) -> Raw:
    """The request that `asked` gave as `value`. Raises ValueError for what no request gives."""
    match task:
        case "image":
            if not isinstance(value, dict) or value.keys() != {"b64"} or not isinstance(value["b64"], str):
                raise ValueError("a picture must be an object with its file in base64 as 'b64'")
            return b64decode(value["b64"], validate=True)
        case "text":
            if not isinstance(value, str):
                raise ValueError("a sentence must be text")
            return value
        case "tabular":
            if not isinstance(value, Mapping):
                raise ValueError("a row must be a JSON object")
            return value
