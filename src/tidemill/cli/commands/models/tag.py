"""Set or remove tags of a version."""

from __future__ import annotations

import click

from tidemill.cli.options import json_option, print_json


@click.command(epilog="Example: tidemill models tag digits/2 owner=ines reviewed=yes --remove draft")
@click.argument("model")
@click.argument("tags", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--remove", multiple=True, metavar="KEY", help="Take this tag away; may be given again.")
@json_option
def command(model: str, tags: tuple[str, ...], remove: tuple[str, ...], as_json: bool) -> None:
    """Set or remove tags of MODEL; without any, show those it has. They are MLflow's, its UI shows them too."""
    from tidemill.project import finding, models
    from tidemill.project.layout import find_project

    given = dict(_pair(each) for each in tags)
    layout = find_project()
    models.reconcile(layout)
    version = models.resolve(layout, model)
    if given or remove:
        finding.tag(layout, version, given, remove)
    rows = finding.versions(layout, version.name)
    held: dict[str, str] = next((row["tags"] for row in rows if row["version"] == version.number), {})
    if as_json:
        print_json({"version": str(version), "tags": held})
    else:
        for key, value in sorted(held.items()):
            click.echo(f"{key}={value}")


def _pair(text: str) -> tuple[str, str]:
    from tidemill.errors import InputError

    key, mark, value = text.partition("=")
    if not mark or not key.strip() or len(key) > 250 or len(value) > 5000:
        raise InputError(f"{text[:60]!r} is no tag", "write it as  KEY=VALUE,  at most 250 and 5,000 characters")
    return key.strip(), value
