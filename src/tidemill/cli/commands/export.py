"""`tidemill export`: a version exported again, in any form, compared with its source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidemill.cli.bars import bar
from tidemill.cli.options import json_option, print_json
from tidemill.cli.tables import mark, print_table
from tidemill.errors import InputError

if TYPE_CHECKING:
    from tidemill.domain.bundle import Parity
    from tidemill.project.comparing import Compared, Variant, Written
    from tidemill.project.exporting import Exported

_PRECISIONS = ("float32", "float16", "int8_dynamic", "int8_static")


@click.command(epilog="Example: tidemill export digits@champion --precision int8_static --to digits-int8")
@click.argument("model")
@click.option("--to", type=click.Path(path_type=Path), help="A directory to make, with what was exported.")
@click.option("--precision", type=click.Choice(_PRECISIONS), help="Of the graph; as it is registered by default.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("onnx", "torchscript", "torch_export")),
    default="onnx",
    help="onnx, which servers read, or a format of torch, to be used elsewhere.",
)
@click.option("--register", is_flag=True, help="Make the export in another precision a version, the challenger.")
@click.option("--compare", is_flag=True, help="Print a table of all precisions and formats, and write nothing.")
@json_option
def command(
    model: str, to: Path | None, precision: str | None, form: str, register: bool, compare: bool, as_json: bool
) -> None:
    """Export MODEL again from the source its run keeps, and compare it with that on every test row.

    Every training exports; this repeats it on this machine, or does it in fewer bits. Exits with 1 when more changes
    than the limits under export allow.
    """
    from tidemill.project.layout import find_project

    if compare and (to or precision or register or form != "onnx"):
        raise InputError("--compare writes nothing: it takes no other option but --json", "leave the others out")
    if form != "onnx" and (precision or register):
        raise InputError(f"{form} is written in float32, to a folder, and not registered", "leave the others out")
    layout = find_project()
    with bar() as reporter:
        if compare:
            from tidemill.project.comparing import compare_variants

            found: Compared | Written | Exported = compare_variants(layout, model, reporter=reporter)
        elif form != "onnx":
            from tidemill.project.comparing import export_torch

            place = to or Path(f"{model.replace('@', '-').replace('/', '-')}-{form}")
            found = export_torch(layout, model, form, place, reporter=reporter)  # type: ignore[arg-type]  # a Choice
        else:
            from tidemill.project.exporting import export_again

            found = export_again(
                layout, model, to=to, precision=precision, register=register, reporter=reporter  # type: ignore[arg-type]  # a Choice
            )  # fmt: skip
    if as_json:
        print_json(found)
    else:
        _show(found)


def _show(found: Compared | Written | Exported) -> None:
    from tidemill.project.comparing import Compared, Written

    if isinstance(found, Compared):
        _show_table(found)
        return
    if isinstance(found, Written):
        click.secho(f"{found.version} as {found.format}", bold=True)
        lines = _lines(found.parity)
        click.echo("".join(f"  {name:<20}{what}\n" for name, what in lines), nl=False)
        click.echo(f"wrote {found.file.parent}", err=True)
        return
    click.secho(f"{found.version}, exported again", bold=True)
    same = "the registered graph, byte for byte" if found.same_graph else "another file than the registered graph"
    lines = [*_lines(found.parity), ("graph", f"{found.parity.precision}, {same}"), ("bundle", str(found.bundle))]
    click.echo("".join(f"  {name:<20}{what}\n" for name, what in lines), nl=False)
    if found.registered is not None:
        click.echo(f"registered {found.registered}, the challenger", err=True)
    if found.to is not None:
        click.echo(f"wrote {found.to}; serve it anywhere:  tidemill serve {found.to}", err=True)


def _lines(parity: Parity) -> list[tuple[str, str]]:
    before = parity.source_latency
    what = "accuracy" if parity.worst_class else "R²"
    return [
        ("rows", f"{parity.rows:,}"),
        ("decisions changed", f"{mark(parity.held)} {parity.changed} ({parity.share:.2%}, at most {parity.limit:.2%})"),
        ("largest difference", f"{parity.largest_difference:.3g}"),
        ("lost", f"{_share(parity.loss)} of {what} (at most {parity.loss_limit:.2%}){_worst(parity, ', ')}"),
        ("size", f"{parity.bytes / 1e6:.2f} MB, its source {parity.source_bytes / 1e6:.2f} MB"),
        ("latency", f"{parity.latency_ms:.3g} ms a request, its source {before.one_ms:.3g} ms"),
        ("latency of 32", f"{parity.batch_latency_ms:.3g} ms, its source {before.batch_ms:.3g} ms"),
    ]


_COLUMNS = ("form", "", "changed", "difference", "lost", "worst class", "MB", "1 request", "32 requests")


def _show_table(found: Compared) -> None:
    measured = [each.parity for each in found.variants if each.parity is not None]
    click.secho(f"{found.version}: its exports against its source", bold=True)
    rows = [_row(each) for each in found.variants]
    if measured:
        first = measured[0]
        click.echo(f"on {first.rows:,} test rows; on the CPU of this machine", err=True)
        source = first.source_latency
        size = f"{first.source_bytes / 1e6:.2f}"
        rows.insert(0, ("source", "", "", "", "", "", size, f"{source.one_ms:.3g} ms", f"{source.batch_ms:.3g} ms"))
    print_table(_COLUMNS, rows, right=_COLUMNS[2:])
    for each in found.variants:
        if each.refused:
            click.echo(f"{mark(False)} {each.name}: {each.refused}")


def _row(variant: Variant) -> tuple[str, ...]:
    parity = variant.parity
    if parity is None:
        return (variant.name, "✗", *("",) * 7)
    return (
        variant.name,
        "✓" if parity.held else "✗",
        f"{parity.share:.2%}",
        f"{parity.largest_difference:.2g}",
        _share(parity.loss),
        _worst(parity),
        f"{parity.bytes / 1e6:.2f}",
        f"{parity.latency_ms:.3g} ms",
        f"{parity.batch_latency_ms:.3g} ms",
    )


def _worst(parity: Parity, before: str = "") -> str:
    """The class that lost most for its limit; nothing where none lost."""
    return f"{before}{parity.worst_class} {_share(parity.class_loss)}" if parity.class_loss > 0 else ""


def _share(value: float) -> str:
    """As per cent; a gain is negative, and nothing has no sign."""
    return f"{value:.2%}" if abs(value) >= 5e-5 else "0.00%"
