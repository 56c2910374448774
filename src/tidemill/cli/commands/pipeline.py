"""The training as cached steps: run, show, and the forms of DVC, Prefect and Kubeflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidemill.cli.options import json_option, print_json
from tidemill.cli.tables import print_table

if TYPE_CHECKING:
    from tidemill.project.pipeline import Done

_FREE = {"ignore_unknown_options": True}
_PATH = click.Path(path_type=Path)
_settings = click.argument("settings", nargs=-1, type=click.UNPROCESSED)
_anyway = click.option("--anyway", is_flag=True, help="Another environment alone is no reason to do a step again.")


@click.group(epilog="Example: tidemill pipeline run trainer.max_epochs=5")
def command() -> None:
    """Run the training as cached steps (data, train, evaluate, export, register), here or by DVC, Prefect, Kubeflow.

    A step is done again when what it is made of has changed: settings, data, code, environment, or a step before it.
    """


@command.command(context_settings=_FREE, epilog="Example: tidemill pipeline run optimizer.lr=0.01")
@_settings
@click.option("--force", default="", metavar="STEP", help="Do this step again in any case, and what follows it.")
@_anyway
@json_option
def run(settings: tuple[str, ...], force: str, anyway: bool, as_json: bool) -> None:
    """Do every step whose inputs have changed; SETTINGS are as for train."""
    from tidemill.cli.progress import PlainLog
    from tidemill.project import pipeline
    from tidemill.project.layout import find_project

    _no_options(settings)
    done = pipeline.run(
        find_project(), list(settings), report=PlainLog(), force=force, anyway=anyway, took=_quiet if as_json else _told
    )
    if as_json:
        print_json(done)


@command.command(context_settings=_FREE, epilog="Example: tidemill pipeline show")
@_settings
@_anyway
@json_option
def show(settings: tuple[str, ...], anyway: bool, as_json: bool) -> None:
    """Show each step, whether it would be done, and why."""
    from tidemill.project import pipeline
    from tidemill.project.configuration import config
    from tidemill.project.layout import find_project

    _no_options(settings)
    layout = find_project()
    found = pipeline.states(layout, config(layout, list(settings)), anyway=anyway)
    if as_json:
        print_json(found)
        return
    rows = [(each.step, "to do" if each.stale else "done", _few(each.reasons) or each.about) for each in found]
    print_table(("step", "state", "why"), rows)


@command.command(
    context_settings=_FREE, epilog="Example: tidemill pipeline step train --params params.yaml --folder pipeline"
)
@click.argument("name")
@_settings
@click.option("--params", type=_PATH, help="Take the whole configuration from this file, not from conf/.")
@click.option("--folder", type=_PATH, help="Where the steps lie; by default .tidemill/pipeline.")
@click.option("--out", type=_PATH, help="Where this one is put; by default FOLDER/NAME.")
@click.option(
    "--given", nargs=2, multiple=True, metavar="STEP DIR", help="Where a step before it lies; may be repeated."
)
@click.option("--metrics", type=_PATH, help="Write its figures to this file, too.")
@json_option
def step(
    name: str, settings: tuple[str, ...], params: Path | None, folder: Path | None, out: Path | None,
    given: tuple[tuple[str, str], ...], metrics: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Do the step NAME, as orchestrators call it: data, train, evaluate, export or register."""
    from tidemill.cli.progress import PlainLog
    from tidemill.files import write_atomic
    from tidemill.project import pipeline
    from tidemill.project.configuration import config
    from tidemill.project.layout import find_project

    _no_options(settings)
    if params is not None and settings:
        raise click.UsageError("settings are in the file of --params", click.get_current_context())
    layout = find_project()
    composed = pipeline.from_params(layout, params) if params else config(layout, list(settings))
    places = {key: Path(value) for key, value in given}
    done = pipeline.do(layout, composed, name, folder=folder, out=out, given=places, report=PlainLog())
    if metrics is not None:
        figures = {key: value for key, value in done.facts.items() if isinstance(value, float)}
        write_atomic(metrics, json.dumps(figures, indent=2).encode())
    if as_json:
        print_json(done)
    else:
        _told(done)


@command.command(context_settings=_FREE, epilog="Example: tidemill pipeline dvc model=resnet18 && dvc repro")
@_settings
def dvc(settings: tuple[str, ...]) -> None:
    """Write dvc.yaml and params.yaml: then  dvc repro  does what changed."""
    from tidemill.project import pipeline
    from tidemill.project.layout import find_project

    _no_options(settings)
    for path in pipeline.write_dvc(find_project(), list(settings)):
        click.echo(f"wrote    {path.name}")
    click.echo("\nnext:  dvc repro;   dvc params diff and dvc metrics show  tell what changed")


@command.command(context_settings=_FREE, epilog="Example: tidemill pipeline prefect trainer.max_epochs=5")
@_settings
@click.option("--retries", type=click.IntRange(0, 100), default=0, help="How often a task that failed is tried again.")
@json_option
def prefect(settings: tuple[str, ...], retries: int, as_json: bool) -> None:
    """Run the steps as a Prefect flow, on the server of PREFECT_API_URL or without one."""
    from tidemill.cli.progress import PlainLog
    from tidemill.project import pipeline
    from tidemill.project.layout import find_project

    _no_options(settings)
    done = pipeline.run_prefect(
        find_project(), list(settings), report=PlainLog(), retries=retries, took=_quiet if as_json else _told
    )
    if as_json:
        print_json(done)


@command.command(
    context_settings=_FREE, epilog="Example: tidemill pipeline kubeflow --out pipeline.yaml --image registry/digits:1"
)
@_settings
@click.option("--out", type=_PATH, default=Path("pipeline.yaml"), show_default=True, help="The compiled pipeline.")
@click.option("--image", required=True, help="The image with the project in it, where the steps run.")
@click.option(
    "--param", "params", multiple=True, metavar="SETTING", help="A setting that a run can be given; may be repeated."
)
def kubeflow(settings: tuple[str, ...], out: Path, image: str, params: tuple[str, ...]) -> None:
    """Compile the steps for Kubeflow Pipelines, and check the file with Kubeflow's own reader."""
    from tidemill.project import pipeline
    from tidemill.project.layout import find_project
    from tidemill.project.pipeline.forms import PARAMS

    _no_options(settings)
    found = pipeline.write_kubeflow(find_project(), list(settings), out=out, image=image, params=params or PARAMS)
    click.echo(f"wrote    {out}: {' -> '.join(stage.name for stage in found)}")


def _no_options(settings: tuple[str, ...]) -> None:
    for each in settings:
        if each.startswith("-"):
            raise click.UsageError(f"no option {each}", click.get_current_context())


def _quiet(done: Done) -> None:
    """Say nothing: all comes as JSON."""


def _told(done: Done) -> None:
    facts = "  ".join(f"{key} {_value(value)}" for key, value in list(done.facts.items())[:4])
    mark = click.style("cached" if done.cached else "done  ", fg="cyan" if done.cached else "green")
    click.echo(f"{done.step:<9} {mark}  {facts}")
    if done.reasons:
        click.echo(click.style(f"{'':<17} {_few(done.reasons)}", dim=True))


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)[7:19] if str(value).startswith("sha256:") else str(value)


def _few(reasons: tuple[str, ...]) -> str:
    return ", ".join(reasons[:3]) + (f" and {len(reasons) - 3} more" if len(reasons) > 3 else "")
