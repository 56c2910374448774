"""The evidence of a promotion: challenger and champion on the same rows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill.domain.evidence import Check, Evidence
from tidemill.errors import DataError, GateError, InputError
from tidemill.stages.slices import slices_of
from tidemill.stages.verdict import (
    Metric,
    Part,
    Verdict,
    accuracy_floors,
    error_rises,
    figure,
    judge,
    losses,
    metric_of,
    parts_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.bundle.predictor import Predictor
    from tidemill.config.schema import PromotionConfig
    from tidemill.dataset.read import Examples
    from tidemill.domain.dataset import DatasetVersion
    from tidemill.domain.registry import ModelVersion
    from tidemill.ports import Reporter

_BATCH = 256
_TIMED = 60  # single requests whose median is the latency
_WARMUP = 5
_TIMED_SECONDS = 1.0  # a slow model is timed for so long, and with three requests at least


@dataclass(frozen=True, slots=True)
class Contestant:
    """A version with its loaded bundle."""

    version: ModelVersion
    predictor: Predictor


@dataclass(frozen=True, slots=True)
class _Scored:
    """A contestant's answers to every row: losses [N] by the deciding metric, and whether each is right [N]."""

    loss: NDArray[np.float64]
    wrong: NDArray[np.float64]
    size_mb: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class _Parts:
    per_class: Mapping[str, Part]
    slices: Mapping[str, Part]
    checks: Sequence[Check]


def compare(
    challenger: Contestant,
    champion: Contestant | None,
    examples: Examples,
    dataset: DatasetVersion,
    config: PromotionConfig,
    reporter: Reporter | None = None,
) -> Evidence:
    """Score both on every row of `examples`, the complete test split of `dataset`, and check what a champion must hold.

    Without a champion only the absolute checks count. Raises GateError when one of them cannot read the rows,
    ConfigError for a metric or slice that this data does not have.
    """
    if not examples.names:
        raise DataError(f"{dataset.tag} has no test split to compare on", "add a version with a test split")
    metric = metric_of(dataset.kind, config)
    masks = slices_of(examples, config)
    new = _scored(challenger, examples, dataset, metric, reporter)
    old = None if champion is None else _scored(champion, examples, dataset, metric, reporter)
    checks = [*_absolute(challenger.predictor, new, old, config), _minimum(examples, new, config)]
    verdict = None
    if old is not None:
        verdict = judge(metric, new.loss, old.loss, config)
        checks.append(verdict.check)
    parts = _parts(examples, metric, masks, new, old, config)
    return _evidence(metric, challenger, champion, dataset, (new, old), verdict, parts, checks, config)


def _evidence(
    metric: Metric,
    challenger: Contestant,
    champion: Contestant | None,
    dataset: DatasetVersion,
    scored: tuple[_Scored, _Scored | None],
    verdict: Verdict | None,
    parts: _Parts,
    checks: Sequence[Check],
    config: PromotionConfig,
) -> Evidence:
    new, old = scored
    both = {"challenger": new} | ({} if old is None else {"champion": old})
    return Evidence(
        metric=metric,
        dataset=dataset.tag,
        dataset_digest=dataset.digest,
        rows=len(new.loss),
        challenger_version=challenger.version.number,
        challenger=figure(metric, new.loss),
        champion_version=None if champion is None else champion.version.number,
        champion=None if old is None else figure(metric, old.loss),
        difference=verdict.difference.value if verdict else None,
        low=verdict.difference.low if verdict else None,
        high=verdict.difference.high if verdict else None,
        p_value=verdict.p_value if verdict else None,
        only_challenger=verdict.only_challenger if verdict else None,
        only_champion=verdict.only_champion if verdict else None,
        per_class=parts.per_class,
        checks=(*checks, *parts.checks),
        mode=config.mode,
        alpha=config.alpha,
        slices=parts.slices,
        size_mb={name: round(each.size_mb, 3) for name, each in both.items()},
        latency_ms={name: each.latency_ms for name, each in both.items()},
    )


def _scored(
    contestant: Contestant, examples: Examples, dataset: DatasetVersion, metric: Metric, reporter: Reporter | None
) -> _Scored:
    scores = _scores(contestant, examples, dataset, reporter)
    bundle = contestant.predictor.bundle
    if examples.values is None:
        places = {label: place for place, label in enumerate(bundle.signature.labels)}
        truth: NDArray[Any] = np.array([places.get(label, -1) for label in examples.labels], np.int64)
        wrong = losses("accuracy", scores, truth)
    else:
        truth = examples.values
        wrong = losses("rmse", scores, truth)
    size = sum(record.bytes for record in bundle.files.values()) / 1e6
    return _Scored(losses(metric, scores, truth), wrong, size, _latency(contestant.predictor, examples))


def _scores(
    contestant: Contestant, examples: Examples, dataset: DatasetVersion, reporter: Reporter | None
) -> NDArray[np.float32]:
    predictor, number = contestant.predictor, len(examples.names)
    if predictor.bundle.signature.kind != dataset.kind or predictor.bundle.task != dataset.task:
        raise GateError(
            f"{contestant.version} is for {predictor.bundle.task} {predictor.bundle.signature.kind}, and {dataset.tag} "
            f"for {dataset.task} {dataset.kind}",
            "register this model under another name",
        )
    parts = []
    for start in range(0, number, _BATCH):
        try:
            parts.append(predictor.score(examples.inputs[start : start + _BATCH]).scores)
        except InputError as error:
            raise GateError(
                f"{contestant.version} cannot read the rows of {dataset.tag}: {error.headline}",
                "the data's columns or values changed: promote with --force REASON, or keep the old columns",
            ) from None
        if reporter is not None:
            reporter.progress(min(start + _BATCH, number), number, f"scoring with {contestant.version}")
    return np.concatenate(parts)


def _latency(predictor: Predictor, examples: Examples) -> float:
    """Median milliseconds of a single request, preprocessing counted."""
    seconds: list[float] = []
    until = time.perf_counter() + _TIMED_SECONDS
    for turn in range(_WARMUP + _TIMED):
        row = turn % len(examples.names)
        started = time.perf_counter()
        predictor.score(examples.inputs[row : row + 1])
        ended = time.perf_counter()
        if turn >= _WARMUP or ended > until:
            seconds.append(ended - started)
        if ended > until and len(seconds) >= 3:
            break
    return round(float(np.median(seconds)) * 1000, 4)


def _absolute(predictor: Predictor, new: _Scored, old: _Scored | None, config: PromotionConfig) -> list[Check]:
    parity = predictor.bundle.parity
    against = f" against {old.latency_ms:.3g}" if old is not None else ""
    slowdown = new.latency_ms / old.latency_ms if old is not None and old.latency_ms else 1.0
    limits = f"at most {config.max_latency_ms:g}" + (
        f" and {config.max_slowdown:g} times the champion's" if old else ""
    )
    return [
        Check(
            "parity",
            parity.held,
            f"{parity.changed} of {parity.rows} decisions changed by the export, at most {parity.limit:.2%} may",
        ),
        Check("size", new.size_mb <= config.max_size_mb, f"{new.size_mb:.1f} MB, at most {config.max_size_mb:g} MB"),
        Check(
            "latency",
            new.latency_ms <= config.max_latency_ms and slowdown <= config.max_slowdown,
            f"{new.latency_ms:.3g} ms a request{against}, {limits}",
        ),
    ]


def _minimum(examples: Examples, new: _Scored, config: PromotionConfig) -> Check:
    if examples.values is None:
        name, value = "accuracy", figure("accuracy", new.wrong)
    else:
        spread = float(((examples.values - examples.values.mean()) ** 2).mean())
        name, value = "R²", 1 - float(new.wrong.mean()) / spread if spread else 0.0
    return Check("minimum", value >= config.min_score, f"{name} {value:.4f}, at least {config.min_score:g}")


def _parts(
    examples: Examples,
    metric: Metric,
    masks: Mapping[str, NDArray[np.bool_]],
    new: _Scored,
    old: _Scored | None,
    config: PromotionConfig,
) -> _Parts:
    """Classes and slices, by accuracy; those of values by the deciding metric."""
    if examples.values is not None:
        slices = parts_of(metric, masks, new.loss, old.loss if old else None)
        return _Parts({}, slices, [error_rises(slices, config)] if old and slices else [])
    truth = np.asarray(examples.labels)
    of_classes = {label: truth == label for label in dict.fromkeys(examples.labels)}
    wrong = old.wrong if old else None
    per_class = parts_of("accuracy", of_classes, new.wrong, wrong)
    slices = parts_of("accuracy", masks, new.wrong, wrong)
    checks = []
    if old is not None:
        checks.append(accuracy_floors("classes", per_class, config.class_floor, config, 1))
        if slices:
            checks.append(accuracy_floors("slices", slices, config.slice_floor, config, config.min_slice_rows))
    return _Parts(per_class, slices, checks)
