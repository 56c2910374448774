"""The model card: what a person wants to know of a version, from its record alone."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.domain.bundle import Bundle


def card(bundle: Bundle) -> str:
    """Markdown."""
    signature, lineage, parity = bundle.signature, bundle.lineage, bundle.parity
    what = f"{signature.task} {signature.kind}"
    sections = [
        f"# {bundle.name}\n\nA model for {what}, trained on {lineage.dataset}.",
        _table("Metrics", ("metric", "value"), [(name, _figure(value)) for name, value in bundle.metrics.items()]),
        _per_class(bundle.per_class),
        _table(
            "Export",
            ("", ""),
            [
                ("rows compared with the source model", f"{parity.rows:,}"),
                ("decisions changed", f"{parity.changed} (limit {parity.limit:.2%})"),
                ("largest difference", f"{parity.largest_difference:.3g}"),
                ("latency, one request, median", f"{parity.latency_ms:.3g} ms"),
            ],
        ),
        _table("Inputs", ("input", "type", "shape"), [(t.name, t.dtype, _shape(t.shape)) for t in signature.inputs]),
        _table(
            "Lineage",
            ("", ""),
            [
                ("run", lineage.run),
                ("data", f"{lineage.dataset}, {lineage.dataset_digest}"),
                ("code", f"{lineage.commit}, {lineage.code}"),
                ("configuration", str(lineage.config)),
                ("environment", str(lineage.environment)),
                ("seed", str(lineage.seed)),
                *([("decision", lineage.decision)] if lineage.decision else []),
            ],
        ),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _per_class(per_class: Mapping[str, Mapping[str, float]]) -> str:
    if not per_class:
        return ""
    names = list(dict.fromkeys(name for row in per_class.values() for name in row))
    rows = [(label, *(_figure(row[name]) if name in row else "" for name in names)) for label, row in per_class.items()]
    return _table("Per class", ("class", *names), rows)


def _table(title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in (header, *rows)]
    lines.insert(1, "|" + " --- |" * len(header))
    return f"## {title}\n\n" + "\n".join(lines)


def _cell(text: str) -> str:
    """Text that came from data or settings, so that it stays inside its cell and is no markup."""
    flat = " ".join(text.split())
    return "".join(f"\\{character}" if character in "\\|`*_<>[]!#" else character for character in flat)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join("any" if size == -1 else str(size) for size in shape)


def _figure(value: float) -> str:
    return f"{value:.4f}" if not float(value).is_integer() else f"{value:g}"
