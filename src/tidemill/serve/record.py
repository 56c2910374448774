"""Answered rows as the log keeps them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from tidemill.bundle.preprocess import canonical_input
from tidemill.domain.digest import Digest, canonical_json
from tidemill.domain.prediction import Prediction, new_prediction_id
from tidemill.domain.record import now as present

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.ports import Scored
    from tidemill.serve.job import Job
    from tidemill.serve.model import ServedModel

MAX_INPUT = 1 << 20  # bytes; of a larger input the log keeps the digest only


def to_predictions(
    model: ServedModel, jobs: Sequence[Job], scored: Scored, outputs: Sequence[str], *, now: float
) -> list[Prediction]:
    """A record for each row of `jobs`, in order, with a new id. `now` is time.perf_counter(), as `Job.received` is."""
    at = present()
    scores, embedding = scored.scores.tolist(), scored.embedding.tolist()
    predictions = []
    index = 0
    for job in jobs:
        latency = (now - job.received) * 1000
        for content, is_raw in _inputs(job):
            predictions.append(
                Prediction(
                    id=new_prediction_id(),
                    at=at,
                    model=model.name,
                    version=model.version,
                    bundle=model.digest,
                    input_digest=Digest.of_bytes(content),
                    input=content if is_raw and len(content) <= MAX_INPUT else None,
                    scores=tuple(scores[index]),
                    output=outputs[index],
                    embedding=tuple(embedding[index]),
                    latency_ms=latency,
                )
            )
            index += 1
    return predictions


def _inputs(job: Job) -> Iterator[tuple[bytes, bool]]:
    """What the digest of each row is of, and whether it is an input that a client could have sent raw."""
    if job.feed is None:
        for raw in job.inputs or ():
            yield canonical_input(raw), True
        return
    for row in range(job.rows):
        yield _tensor_input({name: array[row] for name, array in job.feed.items()})


def _tensor_input(tensors: Mapping[str, NDArray[Any]]) -> tuple[bytes, bool]:
    """Pixels become a PNG file. Token ids become JSON, which nobody must take for the sentence that they were."""
    if "image" not in tensors:
        return canonical_json({name: array.tolist() for name, array in tensors.items()}), False
    pixels = tensors["image"]
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG", compress_level=1)
    return file.getvalue(), True
