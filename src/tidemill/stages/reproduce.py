"""Whether a training came out as it did before: step by step, and what is the likely cause when it did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tidemill.stages.chain import first_difference

if TYPE_CHECKING:
    from tidemill.domain.chain import Link
    from tidemill.domain.run import Environment

Cause = Literal["data", "code", "environment", "nondeterminism", ""]
Figures = Mapping[tuple[str, int], float]
"""Metrics by name and step."""

# What computes: another version of these may give other weights. The first are named first.
_COMPUTE = (
    "torch", "xgboost-cpu", "xgboost", "scikit-learn", "numpy", "transformers", "tokenizers", "scipy", "lightning",
    "pandas", "pyarrow", "pillow", "onnxruntime", "timm", "tidemill",
)  # fmt: skip
_TIMED = ("seconds", "per_second", "duration")


@dataclass(frozen=True, slots=True)
class Change:
    """Something of the environment that is not as it was recorded; '' where there is none. `matters`: it computes."""

    name: str
    recorded: str
    present: str
    matters: bool


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is known before anything runs.

    `files` are the project's lock and requirement files that are not as the run had them, `code` what of the recorded
    code could not be had (or was not asked for), `data` what is wrong with the data, `notes` what no record covers.
    `threads` and `cores` are recorded -> present; 0 where an older run did not record them.
    """

    run: str
    spec: str
    changes: tuple[Change, ...] = ()
    files: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    data: str = ""
    notes: tuple[str, ...] = ()
    threads: tuple[int, int] = (0, 0)
    cores: tuple[int, int] = (0, 0)
    deterministic: bool = True
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`links` is how many digests of weights were compared; `step` the first that differs, None when none does.

    `metrics` are the figures that differ, as "name at step: was -> is"; `files` the files of the model that do.
    """

    identical: bool
    links: int
    compared: int
    step: int | None = None
    after: int | None = None
    metrics: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    cause: Cause = ""
    reason: str = ""


def environment_changes(recorded: Environment, present: Environment) -> tuple[Change, ...]:
    """What differs between the environments, what computes first."""
    found = []
    for name, was, now in (
        ("python", recorded.python, present.python),
        ("platform", recorded.platform, present.platform),
    ):
        if was != now:
            found.append(Change(name, was, now, True))
    one, other = ({_canonical(k): v for k, v in each.packages.items()} for each in (recorded, present))
    differing = {name for name in {*one, *other} if one.get(name) != other.get(name)}
    ranked = sorted(differing, key=lambda name: (_rank(name), name))
    return (*found, *(Change(name, one.get(name, ""), other.get(name, ""), name in _COMPUTE) for name in ranked))


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _rank(name: str) -> int:
    return _COMPUTE.index(name) if name in _COMPUTE else len(_COMPUTE)


def differing_link(recorded: Sequence[Link], fresh: Sequence[Link], *, ended: bool) -> Link | None:
    """The first link of `fresh` that is not as recorded; before it has `ended`, what is still to come is not missed."""
    if not ended:
        recorded = recorded[: len(fresh)]
    return first_difference(fresh, recorded)


def comparable(name: str) -> bool:
    """Whether a metric is of the model, and not of the clock or the machine."""
    return not name.startswith("system/") and not any(part in name for part in _TIMED)


def differing_figures(recorded: Figures, fresh: Figures) -> list[str]:
    """Every figure that is not exactly as recorded, in the order of the steps. Not a number equals itself."""
    found = []
    for name, step in sorted({*recorded, *fresh}, key=lambda key: (key[1], key[0])):
        was, now = recorded.get((name, step)), fresh.get((name, step))
        if was != now and not (was is not None and now is not None and was != was and now != now):  # noqa: PLR0124 - NaN
            found.append(f"{name} at {step}: {_shown(was)} -> {_shown(now)}")
    return found


def _shown(value: float | None) -> str:
    return "none" if value is None else repr(value)


def judge(
    prepared: Preparation, recorded: Sequence[Link], fresh: Sequence[Link], *, metrics: Sequence[str],
    files: Sequence[str], compared: int, ended: bool = True,
) -> Verdict:  # fmt: skip
    """The verdict on a rerun; `metrics` and `files` are what differs of those that were compared."""
    link = differing_link(recorded, fresh, ended=ended)
    if link is None and not metrics and not files:
        return Verdict(True, len(fresh), compared)
    cause, reason = likely_cause(prepared)
    before = [each.step for each in recorded if link is not None and each.step < link.step]
    return Verdict(
        False, len(fresh), compared, link.step if link else None, before[-1] if before else None,
        tuple(metrics), tuple(files), cause, reason,
    )  # fmt: skip


def likely_cause(prepared: Preparation) -> tuple[Cause, str]:
    """The strongest of what is known to differ; without any, what may differ from run to run by itself."""
    if prepared.data:
        return "data", prepared.data
    if prepared.code:
        return "code", "; ".join(prepared.code)
    heavy = [each for each in prepared.changes if each.matters]
    told = [f"{each.name} {each.recorded or 'none'} -> {each.present or 'none'}" for each in heavy]
    if differing := told or _threads(prepared):
        return "environment", "; ".join(differing)
    if prepared.device != "cpu":
        return "nondeterminism", f"trained on {prepared.device}: its sums are taken in any order"
    return "nondeterminism", _unrecorded(prepared)


def _unrecorded(prepared: Preparation) -> str:
    if not prepared.deterministic:
        return "trainer.deterministic is false"
    others = [each.name for each in prepared.changes]
    said = "code, data, threads and what computes are as recorded; the training draws on something that no record has"
    if prepared.notes:
        said += f" ({'; '.join(prepared.notes)})"
    return said + (f"; packages that should not matter differ: {', '.join(others[:4])}" if others else "")


def _threads(prepared: Preparation) -> list[str]:
    pairs = (("threads", prepared.threads), ("cores", prepared.cores))
    return [f"{was} {name} computed, and here it is {now}" for name, (was, now) in pairs if was and was != now]
