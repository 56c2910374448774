"""Running the steps: what each is made of now, whether it has to be done, and doing it whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.domain.digest import Digest
from tidemill.errors import ConfigError, NotFoundError, StateError, nearest
from tidemill.files import fsync_tree, locked, sweep_staging
from tidemill.process import limit_threads
from tidemill.project.configuration import config
from tidemill.project.layout import Layout, read_marker
from tidemill.stages.pipeline import (
    CODE,
    STEPS,
    Receipt,
    Step,
    after,
    changes,
    read_receipt,
    step_named,
    write_receipt,
)

if TYPE_CHECKING:
    from tidemill.config.schema import Config
    from tidemill.ports import Reporter

FOLDER = "pipeline"


@dataclass(frozen=True, slots=True)
class State:
    """Whether a step would be done, and why; `receipt` is what it left the last time."""

    step: str
    about: str
    stale: bool
    reasons: tuple[str, ...]
    receipt: Receipt | None


@dataclass(frozen=True, slots=True)
class Done:
    """A step after a run of the pipeline: `cached` when nothing had to be done."""

    step: str
    cached: bool
    reasons: tuple[str, ...]
    facts: Mapping[str, Any]


def folder_of(layout: Layout) -> Path:
    """Where the steps lie by default."""
    return layout.state / FOLDER


def from_params(layout: Layout, file: Path) -> Config:
    """The whole configuration as `file` has it (YAML, as `pipeline dvc` writes it). Raises ConfigError."""
    import yaml

    from tidemill.config.check import checked

    try:
        plain = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{file} cannot be read: {str(error).splitlines()[0]}", "tidemill pipeline dvc  writes it"
        ) from None
    if not isinstance(plain, dict):
        raise ConfigError(f"{file} holds no settings", "tidemill pipeline dvc  writes it")
    settings = checked(plain, lambda path: f"{file.name}: {path}")
    if settings.task != read_marker(layout).task:
        raise ConfigError(f"{file.name}: task is {settings.task}, and the project's is not", "leave task as it is")
    return settings


def states(layout: Layout, settings: Config, *, folder: Path | None = None, anyway: bool = False) -> list[State]:
    """Every step, in order, with what would be done. Nothing is changed."""
    folder = folder or folder_of(layout)
    receipts: dict[str, Receipt] = {}
    found: list[State] = []
    for step in STEPS:
        receipt, problem = read_receipt(folder / step.name)
        waits = [each.step for each in found if each.stale and each.step in step.needs]
        if waits:
            reasons = [f"{name} comes first" for name in waits]
        else:
            reasons = _reasons(receipt, problem, inputs(layout, settings, step, receipts), anyway=anyway)
        if receipt is not None and not reasons:
            receipts[step.name] = receipt
        found.append(State(step.name, step.about, bool(reasons), tuple(reasons), receipt))
    return found


def _reasons(receipt: Receipt | None, problem: str, present: Mapping[str, str], *, anyway: bool) -> list[str]:
    return [problem] if receipt is None else changes(receipt.inputs, present, anyway=anyway)


def inputs(layout: Layout, settings: Config, step: Step, receipts: Mapping[str, Receipt]) -> dict[str, str]:
    """All that the step is made of, by name: settings, what the steps before it left, code, environment."""
    found = _settings(settings, step.sections)
    if step.name == "data":
        found["content"] = _present_data(layout, settings)
    found |= {f"{name}'s outcome": str(receipts[name].digest) for name in step.needs}
    return found | _made_by(layout) if step.made_by_code else found


def _settings(settings: Config, sections: Sequence[str]) -> dict[str, str]:
    from tidemill.config.compose import config_plain
    from tidemill.stages.train import flat

    plain = {name: str(value) for name, value in flat(config_plain(settings)).items()}
    return {name: value for name, value in plain.items()
            if any(name == section or name.startswith(f"{section}.") for section in sections)}  # fmt: skip


def _present_data(layout: Layout, settings: Config) -> str:
    from tidemill.project.data.versions import versions

    name, version = settings.data.name, settings.data.version
    known = versions(layout, name)
    chosen = known[-1:] if version == "latest" else [each for each in known if each.version == version]
    return f"{chosen[0].tag} {chosen[0].digest}" if chosen else "none"


def _made_by(layout: Layout) -> dict[str, str]:
    from tidemill.stages.snapshot import environment

    present = environment()
    found = {f"{name}/": _tree(layout.root / name) for name in CODE}
    found |= {"python": present.python, "platform": present.platform}
    return found | {f"package {name}": version for name, version in present.packages.items()}


def _tree(folder: Path) -> str:
    """The digest of every file below `folder`, caches aside; '' without one."""
    if not folder.is_dir():
        return ""
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return Digest.of_json({path.relative_to(folder).as_posix(): Digest.of_file(path) for path in sorted(files)})


def run(
    layout: Layout, overrides: Sequence[str] = (), *, settings: Config | None = None, report: Reporter | None = None,
    force: str = "", anyway: bool = False, took: Callable[[Done], None] = lambda done: None,
) -> list[Done]:  # fmt: skip
    """Every step whose inputs have changed, in order; `took` hears of each.

    `force` is a step that is done in any case, with what follows; with `anyway` what is installed does not count.
    """
    forced = after(known(force).name) if force else set()
    settings = settings or config(layout, overrides)
    done = []
    for step in STEPS:
        done.append(do(layout, settings, step.name, report=report, force=step.name in forced, anyway=anyway))
        took(done[-1])
    return done


def known(name: str) -> Step:
    """Raises NotFoundError that lists the steps."""
    step = step_named(name)
    if step is None:
        raise NotFoundError(
            f"there is no step {name[:60]!r}", nearest(name, [each.name for each in STEPS], kind="steps")
        )
    return step


def do(
    layout: Layout, settings: Config, name: str, *, folder: Path | None = None, out: Path | None = None,
    given: Mapping[str, Path] | None = None, report: Reporter | None = None, force: bool = False, anyway: bool = False,
) -> Done:  # fmt: skip
    """One step, unless it was done with the same inputs; its folder appears whole or not at all.

    Steps lie in `folder`, one folder each; `out` is another place for this one, `given` for those before it. Raises
    NotFoundError for an unknown step, StateError when one before it has not been done, and what the step raises.
    """
    from tidemill.project.pipeline.steps import DO, Work
    from tidemill.project.training import Silent

    limit_threads()
    for each in given or ():
        known(each)
    step, folder = known(name), folder or folder_of(layout)
    final = (out or folder / name).absolute()
    places = {each: (given or {}).get(each, folder / each) for each in step.needs}
    with locked(
        layout.locks / f"pipeline-{Digest.of_bytes(str(final).encode()).short}", what=f"the step {name}", timeout=3600
    ):
        receipts = {each: _receipt(each, place) for each, place in places.items()}
        made_of = inputs(layout, settings, step, receipts)
        receipt, problem = read_receipt(final)
        reasons = _reasons(receipt, problem, made_of, anyway=anyway) or (["asked for"] if force else [])
        if receipt is not None and not reasons:
            return Done(name, True, (), receipt.facts)
        facts = _filled(final, lambda into: _did(DO[name], Work(layout, settings, places, receipts, report or Silent()),
                                                 into, made_of))  # fmt: skip
        return Done(name, False, tuple(reasons), facts)


def _did(function: Any, work: Any, into: Path, made_of: Mapping[str, str]) -> Mapping[str, Any]:
    name = function.__name__
    receipt = write_receipt(into, name, made_of, function(work, into))
    return receipt.facts


def _receipt(name: str, place: Path) -> Receipt:
    receipt, problem = read_receipt(place)
    if receipt is None:
        raise StateError(
            f"the step {name} has to come first: {problem}", f"tidemill pipeline run,  or  pipeline step {name}"
        )
    return receipt


def _filled(final: Path, fill: Callable[[Path], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Let `fill` make a folder beside, and put it in the place of what was there."""
    staging = final.parent / ".staging"
    sweep_staging(staging)
    beside = staging / f"{os.getpid()}-{uuid.uuid4().hex}"
    beside.mkdir(parents=True)
    try:
        facts = fill(beside)
        fsync_tree(beside)
        if final.exists():
            os.rename(final, staging / f"{os.getpid()}-{uuid.uuid4().hex}")
        os.rename(beside, final)
        return facts
    finally:
        for left in staging.glob(f"{os.getpid()}-*"):
            shutil.rmtree(left, ignore_errors=True)
        if not any(staging.iterdir()):
            staging.rmdir()
