"""What a frame's payload says: one prediction, or one feedback, as JSON; or a batch of predictions (`batches`).

Times are microseconds since 1970 in UTC; bytes are base64; an embedding is the base64 of its float32 values,
little-endian, because digits would take four times the room.
"""

from __future__ import annotations

import sys
from array import array
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from tidemill.domain.digest import Digest
from tidemill.domain.prediction import Feedback, Prediction
from tidemill.journal.batches import is_batch, read_batch

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def prediction_payload(prediction: Prediction) -> bytes:
    """`prediction` as a frame's payload. Scores must be finite numbers."""
    kept = prediction.input
    return orjson.dumps(
        {
            "kind": "prediction",
            "id": prediction.id,
            "at": to_micros(prediction.at),
            "model": prediction.model,
            "version": prediction.version,
            "bundle": str(prediction.bundle),
            "input_digest": str(prediction.input_digest),
            "input": None if kept is None else b2a_base64(kept, newline=False).decode("ascii"),
            "scores": prediction.scores,
            "output": prediction.output,
            "embedding": _pack_floats(prediction.embedding),
            "latency_ms": prediction.latency_ms,
        }
    )


def feedback_payload(feedback: Feedback) -> bytes:
    """`feedback` as a frame's payload."""
    return orjson.dumps(
        {
            "kind": "feedback",
            "prediction_id": feedback.prediction_id,
            "label": feedback.label,
            "at": to_micros(feedback.at),
            "model": feedback.model,
        }
    )


def read_payload(payload: bytes) -> list[dict[str, Any]]:
    """The rows of a frame: their fields, with bytes and embedding decoded; `at` stays in microseconds."""
    if is_batch(payload):
        return list(read_batch(payload))
    fields: dict[str, Any] = orjson.loads(payload)
    if fields["kind"] == "prediction":
        if fields["input"] is not None:
            fields["input"] = a2b_base64(fields["input"])
        fields["embedding"] = _unpack_floats(fields["embedding"])
    return [fields]


def to_prediction(fields: Mapping[str, Any]) -> Prediction:
    """The record that `fields` (of a payload, or of a Parquet row with `at` in microseconds) stand for."""
    return Prediction(
        id=fields["id"],
        at=from_micros(fields["at"]),
        model=fields["model"],
        version=fields["version"],
        bundle=Digest(fields["bundle"]),
        input_digest=Digest(fields["input_digest"]),
        input=fields["input"],
        scores=tuple(fields["scores"]),
        output=fields["output"],
        embedding=tuple(fields["embedding"]),
        latency_ms=fields["latency_ms"],
    )


def to_feedback(fields: Mapping[str, Any]) -> Feedback:
    """The record that `fields` (of a payload, or of a Parquet row with `at` in microseconds) stand for."""
    return Feedback(fields["prediction_id"], fields["label"], from_micros(fields["at"]), fields["model"])


def to_micros(at: datetime) -> int:
    """Microseconds since 1970, UTC."""
    return (at - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The instant `micros` microseconds after 1970, UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def _pack_floats(values: tuple[float, ...]) -> str:
    packed = array("f", values)
    if sys.byteorder == "big":
        packed.byteswap()
    return b2a_base64(packed.tobytes(), newline=False).decode("ascii")


def _unpack_floats(text: str) -> array[float]:
    packed = array("f", a2b_base64(text))
    if sys.byteorder == "big":
        packed.byteswap()
    return packed
