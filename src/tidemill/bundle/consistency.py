"""Whether the parts of a bundle's record agree with each other."""

from __future__ import annotations

from tidemill.domain.bundle import (
    Bundle,
    ImagePreprocessing,
    Preprocessing,
    Signature,
    TabularPreprocessing,
    Tensor,
    TextPreprocessing,
)
from tidemill.domain.dataset import Kind, Task, is_name

_MAX_SIDE = 4096
_MAX_TOKENS = 100_000


def check_consistency(bundle: Bundle) -> None:
    """Raises ValueError with what does not fit."""
    if not is_name(bundle.name):
        raise ValueError(f"{bundle.name[:80]!r} is no name of a model")
    if bundle.signature.inputs != expected_inputs(bundle.preprocessing):
        raise ValueError("the inputs of its signature are not what its preprocessing gives")
    if bundle.signature.task != bundle.preprocessing.type:
        raise ValueError(f"its task is {bundle.signature.task}, its preprocessing for {bundle.preprocessing.type}")
    _check_preprocessing(bundle.preprocessing)
    _check_outputs(bundle.signature)
    golden, parity = bundle.golden, bundle.parity
    if golden.rows < 1 or golden.tolerance <= 0:
        raise ValueError("it has no golden requests")
    if not 0 <= parity.changed <= parity.rows:
        raise ValueError("its parity counts more changed rows than rows")


def expected_inputs(preprocessing: Preprocessing) -> tuple[Tensor, ...]:
    """The inputs that a graph must have for what `preprocessing` gives, in order."""
    match preprocessing:
        case ImagePreprocessing(mode=mode, height=height, width=width):
            return (Tensor("image", "uint8", (-1, height, width, 1 if mode == "L" else 3)),)
        case TextPreprocessing():
            return (Tensor("input_ids", "int64", (-1, -1)), Tensor("attention_mask", "int64", (-1, -1)))
        case TabularPreprocessing(columns=columns):
            return tuple(
                Tensor(column.name, "str" if column.type == "category" else "float32", (-1, 1)) for column in columns
            )


def expected_outputs(classes: int, width: int) -> tuple[Tensor, ...]:
    """The outputs of every graph: `classes` scores (1 for regression), and an embedding of `width` numbers."""
    return (Tensor("scores", "float32", (-1, classes)), Tensor("embedding", "float32", (-1, width)))


def signature_of(task: Task, preprocessing: Preprocessing, labels: tuple[str, ...], width: int) -> Signature:
    """The signature of a model with these `labels` (none: regression) and an embedding of `width` numbers."""
    kind: Kind = "classification" if labels else "regression"
    outputs = expected_outputs(len(labels) or 1, width)
    return Signature(task, kind, expected_inputs(preprocessing), outputs, labels)


def _check_outputs(signature: Signature) -> None:
    if signature.kind == "regression":
        if signature.labels:
            raise ValueError("a regression has no labels")
    elif len(set(signature.labels)) != len(signature.labels) or len(signature.labels) < 2:
        raise ValueError("a classification needs two labels or more, each once")
    width = signature.outputs[1].shape[-1] if len(signature.outputs) == 2 and signature.outputs[1].shape else 0
    if width < 1 or signature.outputs != expected_outputs(len(signature.labels) or 1, width):
        raise ValueError("its outputs must be scores float32 [N, labels] and embedding float32 [N, D]")


def _check_preprocessing(preprocessing: Preprocessing) -> None:
    match preprocessing:
        case ImagePreprocessing(height=height, width=width):
            if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
                raise ValueError(f"pictures of {height} x {width} pixels are not supported")
        case TextPreprocessing(max_length=length, pad_id=pad):
            if not (0 < length <= _MAX_TOKENS and 0 <= pad < 1 << 31):
                raise ValueError(f"texts of {length} tokens, padded with {pad}, are not supported")
        case TabularPreprocessing(columns=columns):
            names = [column.name for column in columns]
            if not names or len(set(names)) != len(names) or not all(names):
                raise ValueError("its columns must each have a name of their own")
            if {"scores", "embedding"}.intersection(names):
                raise ValueError("no column may be called scores or embedding: those are outputs")
            for column in columns:
                if (column.type == "category") != bool(column.categories):
                    raise ValueError(f"the column {column.name!r} and its categories do not fit")
                low, high = column.low, column.high
                if (column.type == "category" and (low, high) != (None, None)) or not _ordered(low, high):
                    raise ValueError(f"the range of the column {column.name!r} is none")


def _ordered(low: float | None, high: float | None) -> bool:
    return low is None or high is None or low <= high
