"""A bundle that is open and loaded, and answers raw requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.bundle.decide import decide
from tidemill.bundle.preprocess import Preprocessor
from tidemill.bundle.read import OpenBundle
from tidemill.domain.bundle import Bundle
from tidemill.errors import BundleError, GateError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.ports import Raw, Scored, Session


@dataclass(frozen=True, slots=True)
class Answer:
    """`output` is the label, or the value as text; `scores` the probability of each label, or {"value": …}."""

    output: str
    scores: Mapping[str, float]


class Predictor:
    """Preprocessing, graph and decision of one bundle. Safe to call from several threads."""

    def __init__(self, opened: OpenBundle, session: Session) -> None:
        self.opened = opened
        self.session = session
        self.preprocessor = Preprocessor(opened.bundle.preprocessing, opened.tokenizer)

    @property
    def bundle(self) -> Bundle:
        return self.opened.bundle

    def score(self, inputs: Sequence[Raw]) -> Scored:
        """Scores float32 [N, C] and embedding float32 [N, D]. Raises ItemError for a request that cannot be used."""
        return self.score_feed(self.preprocessor.prepare(inputs))

    def score_feed(self, feed: Mapping[str, NDArray[Any]]) -> Scored:
        """`score` for what the preprocessor made ready. Raises GateError for an answer that is no number."""
        scored = self.session.run(feed)
        classes = len(self.bundle.signature.labels) or 1
        if scored.scores.ndim != 2 or scored.scores.shape[1] != classes:
            raise BundleError(
                f"{self.bundle.name} gives scores of shape {scored.scores.shape}, not [N, {classes}]",
                "export the model again",
            )
        if not np.isfinite(scored.scores).all():
            row = int((~np.isfinite(scored.scores)).any(axis=1).argmax())
            raise GateError(f"{self.bundle.name} has no number for input {row}", "the model needs a new training")
        return scored

    def predict(self, inputs: Sequence[Raw]) -> list[Answer]:
        """An answer for each request, in order. Raises ItemError for a request that cannot be used."""
        return self.answers(self.score(inputs).scores)

    def answers(self, scores: NDArray[np.float32]) -> list[Answer]:
        """Scores [N, C] as answers."""
        names = self.bundle.signature.labels or ("value",)
        outputs = decide(self.bundle.signature, scores)
        return [
            Answer(output, dict(zip(names, row, strict=True)))
            for output, row in zip(outputs, scores.tolist(), strict=True)
        ]
