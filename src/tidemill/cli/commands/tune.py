"""Search for better settings, and register the best model as challenger.

SETTINGS with several values are tried, the others are the same for all:  model.params.depth='range(2,9)' seed=7
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tidemill.cli.options import json_option, print_json
from tidemill.cli.tables import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.project.layout import Layout
    from tidemill.project.searching.studies import Found
    from tidemill.project.searching.tune import Tuned
    from tidemill.project.training import Trained

_LISTED = 10


@click.command(
    epilog="Example: tidemill tune optimizer.lr='tag(log,interval(1e-4,1e-1))' search.trials=30 search.workers=2",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("settings", nargs=-1, type=click.UNPROCESSED)
@click.option("--study", metavar="NAME", help="The study's name; by default it follows from what is searched.")
@click.option("--no-register", is_flag=True, help="Leave it at the search: same as search.register=false.")
@click.option("--show", metavar="STUDY", help="Print the trials of a study and where its page is, and end.")
@click.option("--list", "listed", is_flag=True, help="List the project's studies, and end.")
@json_option
def command(
    settings: tuple[str, ...], study: str | None, no_register: bool, show: str | None, listed: bool, as_json: bool
) -> None:
    """Search for better settings, and register the best model as challenger.

    SETTINGS with several values are tried (model.params.depth='range(2,9)'), the others are the same for all. How to
    search is said by search.… settings. The same command goes on where a killed or finished search ended. Trials are
    judged on validation data alone; the best settings are trained again in the end, and tested once.
    """
    for each in settings:
        if each.startswith("-"):
            raise click.UsageError(f"no option {each}", click.get_current_context())
    from tidemill.project.layout import find_project

    layout = find_project()
    if listed:
        _list(layout, as_json=as_json)
    elif show is not None:
        from tidemill.project.searching import studies

        _print_found(studies.show(layout, show), as_json=as_json)
    else:
        arguments = [*settings, "search.register=false"] if no_register else list(settings)
        _print_tuned(_search(layout, arguments, study), as_json=as_json)


def _search(layout: Layout, arguments: list[str], study: str | None) -> Tuned:
    from tidemill.cli.training import train_shown
    from tidemill.cli.tuning import tuning_display
    from tidemill.project.searching.tune import tune

    with tuning_display() as display:

        def train(overrides: Sequence[str], parent: str) -> Trained:
            display.end()  # a training draws itself
            return train_shown(layout, list(overrides), None, parent=parent)

        tuned = tune(layout, arguments, study=study, watch=display.begin, train=train)
    if tuned.unwritten:
        click.secho(f"MLflow did not take {len(tuned.unwritten)} things: {tuned.unwritten[0]}", fg="yellow", err=True)
    return tuned


def _list(layout: Layout, *, as_json: bool) -> None:
    from tidemill.project.searching import studies

    names = studies.names(layout)
    if as_json:
        print_json(names)
    elif names:
        click.echo("\n".join(names))
    else:
        click.echo("there is no study yet; make one:  tidemill tune", err=True)


def _print_tuned(tuned: Tuned, *, as_json: bool) -> None:
    from tidemill.cli.training import plain

    if as_json:
        trained = plain(tuned.trained) if tuned.trained is not None else None
        print_json({**_plain(tuned.found), "ended": tuned.ended, "overrides": tuned.overrides, "trained": trained,
                    "registered_before": tuned.known.number if tuned.known else None})  # fmt: skip
        return
    _table(tuned.found)
    for overrides in tuned.overrides[:_LISTED]:
        click.echo(f"\n  tidemill train {' '.join(_quoted(each) for each in overrides)}")
    if tuned.known is not None:
        click.echo(f"\nmodel     {tuned.known} was made of these settings by this study before; nothing was trained")
    if tuned.trained is not None:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in tuned.trained.evaluation.metrics.items())
        if tuned.trained.registered is None:
            click.echo(f"\nmodel     not registered: {tuned.trained.refusal}; on the test split: {figures}")
            return
        version = tuned.trained.version
        click.echo(f"\nmodel     {version} (challenger), on the test split: {figures}")
        click.echo(f"next:     tidemill models promote {version.name} {version.number}")


def _print_found(found: Found, *, as_json: bool) -> None:
    if as_json:
        print_json(_plain(found))
    else:
        _table(found)


def _table(found: Found) -> None:
    from tidemill.stages.search.table import ranked
    from tidemill.stages.search.words import short, spell

    rows = ranked(found.trials, maximize=found.directions[0] == "maximize")
    width = len(found.metrics)
    names = short(name for row in rows for name in row.settings)
    print_table(
        ("trial", *found.metrics, *names.values(), "seconds", "state"),
        [
            (str(row.number), *[*(f"{value:.5g}" for value in row.values), *[""] * width][:width],
             *(spell(row.settings.get(name, "")) for name in names),
             "" if row.seconds is None else f"{row.seconds:.1f}", f"{row.state} {row.reason}".strip())
            for row in rows[:_LISTED]
        ],
    )  # fmt: skip
    states = [row.state for row in found.trials]
    counts = ", ".join(f"{states.count(name)} {name}" for name in dict.fromkeys(sorted(states)))
    click.echo(f"\nstudy     {found.study}: {counts}")
    click.echo(f"page      {found.page}")


def _plain(found: Found) -> dict[str, Any]:
    return {
        "study": found.study, "metrics": found.metrics, "directions": found.directions, "run": found.run,
        "page": str(found.page), "best": found.best, "trials": found.trials,
    }  # fmt: skip


def _quoted(override: str) -> str:
    import shlex

    return shlex.quote(override)
