"""The evidence of a promotion: challenger and champion on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tidemill.bundle.decide import decide
from tidemill.domain.evidence import Check, Evidence
from tidemill.errors import DataError, GateError, InputError
from tidemill.stages.statistics import (
    Difference,
    bootstrap_rmse,
    mcnemar,
    paired_difference,
    wald_non_inferiority,
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
_FALL = 0.05
"""A class whose accuracy falls by more than this is named, whatever the floors say."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A version with its loaded bundle."""

    version: ModelVersion
    predictor: Predictor


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What the paired test says: figures for the evidence, and the check that decides."""

    difference: Difference
    p_value: float
    only_challenger: int | None
    only_champion: int | None
    check: Check


def compare(
    challenger: Contestant,
    champion: Contestant | None,
    examples: Examples,
    dataset: DatasetVersion,
    config: PromotionConfig,
    reporter: Reporter | None = None,
) -> Evidence:
    """Score both on every row of `examples`, the complete test split of `dataset`, and check what a champion must hold.

    Without a champion only the absolute checks count. Raises GateError when one of them cannot read the rows.
    """
    if not examples.names:
        raise DataError(f"{dataset.tag} has no test split to compare on", "add a version with a test split")
    if dataset.kind == "regression":
        return _regression(challenger, champion, examples, dataset, config, reporter)
    return _classification(challenger, champion, examples, dataset, config, reporter)


def _classification(
    challenger: Contestant,
    champion: Contestant | None,
    examples: Examples,
    dataset: DatasetVersion,
    config: PromotionConfig,
    reporter: Reporter | None,
) -> Evidence:
    truth = np.asarray(examples.labels)
    new = _outputs(challenger, examples, dataset, reporter) == truth
    old = None if champion is None else _outputs(champion, examples, dataset, reporter) == truth
    per_class = _per_class(truth, new, old)
    accuracy = float(new.mean())
    checks = [*_absolute(challenger.predictor, config), _minimum("accuracy", accuracy, config)]
    verdict = None
    if old is not None:
        verdict = _paired(new, old, config)
        checks += [verdict.check, _floors(per_class, config)]
    return _evidence("accuracy", challenger, champion, dataset, (accuracy, None if old is None else float(old.mean())),
                     len(truth), verdict, per_class, checks)  # fmt: skip


def _regression(
    challenger: Contestant,
    champion: Contestant | None,
    examples: Examples,
    dataset: DatasetVersion,
    config: PromotionConfig,
    reporter: Reporter | None,
) -> Evidence:
    assert examples.values is not None
    values = examples.values
    new = (_scores(challenger, examples, dataset, reporter)[:, 0] - values) ** 2
    old = None if champion is None else (_scores(champion, examples, dataset, reporter)[:, 0] - values) ** 2
    spread = float(((values - values.mean()) ** 2).mean())
    explained = 1 - float(new.mean()) / spread if spread else 0.0
    checks = [*_absolute(challenger.predictor, config), _minimum("R²", explained, config)]
    verdict = None
    if old is not None:
        verdict = _bootstrapped(new, old, config)
        checks.append(verdict.check)
    figures = float(np.sqrt(new.mean())), None if old is None else float(np.sqrt(old.mean()))
    return _evidence("rmse", challenger, champion, dataset, figures, len(values), verdict, {}, checks)


def _evidence(
    metric: str,
    challenger: Contestant,
    champion: Contestant | None,
    dataset: DatasetVersion,
    figures: tuple[float, float | None],
    rows: int,
    verdict: _Verdict | None,
    per_class: Mapping[str, Mapping[str, float | None]],
    checks: Sequence[Check],
) -> Evidence:
    return Evidence(
        metric=metric,
        dataset=dataset.tag,
        dataset_digest=dataset.digest,
        rows=rows,
        challenger_version=challenger.version.number,
        challenger=figures[0],
        champion_version=None if champion is None else champion.version.number,
        champion=figures[1],
        difference=verdict.difference.value if verdict else None,
        low=verdict.difference.low if verdict else None,
        high=verdict.difference.high if verdict else None,
        p_value=verdict.p_value if verdict else None,
        only_challenger=verdict.only_challenger if verdict else None,
        only_champion=verdict.only_champion if verdict else None,
        per_class=per_class,
        checks=tuple(checks),
    )


def _outputs(
    contestant: Contestant, examples: Examples, dataset: DatasetVersion, reporter: Reporter | None
) -> NDArray[np.str_]:
    scores = _scores(contestant, examples, dataset, reporter)
    return np.asarray(decide(contestant.predictor.bundle.signature, scores))


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


def _absolute(predictor: Predictor, config: PromotionConfig) -> list[Check]:
    parity = predictor.bundle.parity
    size = sum(record.bytes for record in predictor.bundle.files.values()) / 1e6
    return [
        Check(
            "parity",
            parity.held,
            f"{parity.changed} of {parity.rows} decisions changed by the export, at most {parity.limit:.2%} may",
        ),
        Check("size", size <= config.max_size_mb, f"{size:.1f} MB, at most {config.max_size_mb:g} MB"),
    ]


def _minimum(name: str, value: float, config: PromotionConfig) -> Check:
    return Check("minimum", value >= config.min_score, f"{name} {value:.4f}, at least {config.min_score:g}")


def _paired(new: NDArray[np.bool_], old: NDArray[np.bool_], config: PromotionConfig) -> _Verdict:
    b, c = int((new & ~old).sum()), int((old & ~new).sum())
    difference = paired_difference(b, c, len(new))
    detail = (
        f"accuracy {new.mean():.4f} against {old.mean():.4f}, difference {difference.value * 100:+.2f} points "
        f"[{difference.low * 100:+.2f}, {difference.high * 100:+.2f}], only one right: {b} against {c}"
    )
    if config.mode == "non_inferiority":
        p_value = wald_non_inferiority(b, c, len(new), config.margin)
        check = _decided("not worse", p_value, config.alpha, f"{detail}, margin {config.margin * 100:g} points")
    else:
        p_value = mcnemar(b, c)
        check = _decided("better", p_value, config.alpha, detail)
    return _Verdict(difference, p_value, b, c, check)


def _bootstrapped(new: NDArray[np.float64], old: NDArray[np.float64], config: PromotionConfig) -> _Verdict:
    worse = config.mode == "non_inferiority"
    champion = float(np.sqrt(old.mean()))
    margin = config.margin * champion if worse else 0.0
    difference, p_value = bootstrap_rmse(new, old, margin=margin)
    detail = (
        f"error {np.sqrt(new.mean()):.5g} against {champion:.5g}, difference {difference.value:+.3g} "
        f"[{difference.low:+.3g}, {difference.high:+.3g}]"
    )
    if worse:
        detail += f", margin {margin:.3g}"
    check = _decided("not worse" if worse else "better", p_value, config.alpha, detail)
    return _Verdict(difference, p_value, None, None, check)


def _decided(name: str, p_value: float, alpha: float, detail: str) -> Check:
    return Check(name, p_value < alpha, f"{detail}, p = {p_value:.3g}, below {alpha:g} is asked")


def _per_class(
    truth: NDArray[np.str_], new: NDArray[np.bool_], old: NDArray[np.bool_] | None
) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for label in dict.fromkeys(truth.tolist()):
        rows = truth == label
        found[label] = {
            "rows": float(rows.sum()),
            "challenger": float(new[rows].mean()),
            "champion": None if old is None else float(old[rows].mean()),
        }
    return found


def _floors(per_class: Mapping[str, Mapping[str, float | None]], config: PromotionConfig) -> Check:
    pairs = {
        label: (row["challenger"], row["champion"])
        for label, row in per_class.items()
        if row["challenger"] is not None and row["champion"] is not None
    }
    below = [label for label, (new, old) in pairs.items() if new < config.class_floor <= old]
    fallen = sorted((new - old, label) for label, (new, old) in pairs.items() if old - new > _FALL)
    detail = f"no class that was at {config.class_floor:g} or above falls below it"
    if below:
        detail = f"below {config.class_floor:g}: " + ", ".join(
            f"{label} ({pairs[label][1]:.3f} to {pairs[label][0]:.3f})" for label in below[:5]
        )
    if fallen:
        detail += "; falls: " + ", ".join(f"{label} {change * 100:+.1f} points" for change, label in fallen[:5])
    return Check("classes", not below, detail)
