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
        for content in _inputs(job):
            predictions.append(
                Prediction(
                    id=new_prediction_id(),
                    at=at,
                    model=model.name,
                    version=model.version,
                    bundle=model.digest,
                    input_digest=Digest.of_bytes(content),
                    input=content if len(content) <= MAX_INPUT else None,
                    scores=tuple(scores[index]),
                    output=outputs[index],
                    embedding=tuple(embedding[index]),
                    latency_ms=latency,
                )
            )
            index += 1
    return predictions


def _inputs(job: Job) -> Iterator[bytes]:
    if job.feed is None:
        yield from map(canonical_input, job.inputs or ())
        return
    for row in range(job.rows):
        yield _tensor_input({name: array[row] for name, array in job.feed.items()})


def _tensor_input(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """What a client that sends tensors could have sent raw: pixels become a PNG file, token ids JSON."""
    if "image" not in tensors:
        return canonical_json({name: array.tolist() for name, array in tensors.items()})
    pixels = tensors["image"]
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()
