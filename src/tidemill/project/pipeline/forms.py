"""The same steps in the forms of others: DVC, Prefect, Kubeflow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.domain.record import to_plain
from tidemill.errors import ConfigError, InputError, nearest
from tidemill.ports import Stage
from tidemill.project.configuration import config
from tidemill.project.layout import Layout
from tidemill.project.pipeline.running import Done, do
from tidemill.stages.pipeline import CODE, STEPS, Step

if TYPE_CHECKING:
    from tidemill.config.schema import Config
    from tidemill.ports import Reporter

PARAMS = ("seed", "data.version", "trainer.max_epochs", "trainer.batch_size", "optimizer.lr")
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "requirements.txt", "constraints.txt", "pyproject.toml")


def stages(layout: Layout, settings: Config) -> list[Stage]:
    """The steps as an orchestrator sees them."""
    return [
        Stage(
            step.name, step.about, ("pipeline", "step", step.name), step.needs,
            tuple(step.sections), tuple(_deps(layout, settings, step)),
        )
        for step in STEPS
    ]  # fmt: skip


def _deps(layout: Layout, settings: Config, step: Step) -> list[str]:
    """Files and folders of the project that the step reads."""
    found = []
    working = f"data/{settings.data.name}"
    if step.name == "data" and settings.data.version == "latest" and (layout.root / f"{working}.dvc").is_file():
        found.append(working)
    if step.made_by_code:
        found += [name for name in (*CODE, *_LOCKS) if (layout.root / name).exists()]
    return found


def write_dvc(layout: Layout, overrides: Sequence[str] = ()) -> tuple[Path, Path]:
    """dvc.yaml and params.yaml in the project's folder; the configuration is that of now, with `overrides`."""
    from tidemill.backends.orchestrators.dvc import PARAMS as FILE
    from tidemill.backends.orchestrators.dvc import DvcForm
    from tidemill.config.compose import config_plain

    settings = config(layout, overrides)
    path = layout.root / "dvc.yaml"
    DvcForm().write(stages(layout, settings), to_plain(config_plain(settings)), path)
    return path, layout.root / FILE


def run_prefect(
    layout: Layout, overrides: Sequence[str] = (), *, report: Reporter | None = None, retries: int = 0,
    took: Callable[[Done], None] = lambda done: None,
) -> list[Done]:  # fmt: skip
    """The steps as tasks of a Prefect flow. Raises MissingExtraError, and what a step raises."""
    from tidemill.backends.orchestrators.prefect import PrefectRunner

    settings = config(layout, overrides)
    done: list[Done] = []

    def one(name: str) -> str:
        done.append(do(layout, settings, name, report=report))
        took(done[-1])
        return "cached" if done[-1].cached else "done"

    PrefectRunner(layout.state / "prefect", retries=retries).run(
        f"{settings.name}-training", stages(layout, settings), one
    )
    return done


def write_kubeflow(
    layout: Layout, overrides: Sequence[str] = (), *, out: Path, image: str, params: Sequence[str] = PARAMS
) -> list[Stage]:
    """The compiled pipeline at `out`; `params` are the settings that a run of it can be given. Raises ConfigError."""
    from tidemill.backends.orchestrators.kubeflow import KubeflowForm
    from tidemill.config.compose import config_plain
    from tidemill.stages.train import flat

    if not out.absolute().parent.is_dir():
        raise InputError(f"{out.absolute().parent} is no folder to write into", "make it first")
    settings = config(layout, overrides)
    values: dict[str, Any] = flat(config_plain(settings))
    for name in params:
        if name not in values:
            raise ConfigError(f"there is no setting {name!r}", nearest(name, values, kind="settings"))
    given = [each for each in overrides if each.partition("=")[0] not in params]
    found = [stage._replace(arguments=(*stage.arguments, *given)) for stage in stages(layout, settings)]
    KubeflowForm(settings.name, image=image).write(found, {name: values[name] for name in params}, out)
    return found
