"""From a trained model to a bundle: graph, parity gate, golden requests, reference sample, card."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tidemill.bundle.golden import replay, write_golden
from tidemill.bundle.preprocess import Preprocessor
from tidemill.bundle.read import GRAPH, TOKENIZER, OpenBundle, open_bundle
from tidemill.bundle.reference import write_reference
from tidemill.bundle.write import record_files, write_bundle
from tidemill.domain.bundle import PROTOCOL, Bundle, Golden, Lineage, Parity
from tidemill.errors import DataError, GateError
from tidemill.files import staged_directory, sweep_staging
from tidemill.ports import Scored
from tidemill.stages.card import card
from tidemill.stages.parity import Comparison, check_parity, compare_exported

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.config.schema import ExportConfig
    from tidemill.dataset.read import Examples
    from tidemill.ports import Exporter, Reporter, Runtime, SourceModel

_LARGE = 1 << 20  # bytes; golden pictures are smaller where there are such


def export(
    model: SourceModel,
    examples: Examples,
    *,
    name: str,
    config: ExportConfig,
    lineage: Lineage,
    metrics: Mapping[str, float],
    per_class: Mapping[str, Mapping[str, float]],
    exporter: Exporter,
    runtime: Runtime,
    bundles: Path,
    staging: Path,
    threads: int,
    report: Path | None = None,
    reporter: Reporter | None = None,
) -> OpenBundle:
    """Make the bundle of `model` and put it at `bundles`/<its digest>.

    `examples` is the complete test split; `report` a folder whose files go into the bundle's report/. The bundle is
    built in `staging` and appears whole or not at all. Raises GateError when parity or a golden request does not hold.
    """
    staging.mkdir(parents=True, exist_ok=True)
    sweep_staging(staging)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=staging) as folder:
        built = Path(folder)
        opened, _ = build(
            built, model, examples, name=name, config=config, lineage=lineage, metrics=metrics, per_class=per_class,
            exporter=exporter, runtime=runtime, threads=threads, report=report, reporter=reporter,
        )  # fmt: skip
        final = bundles / opened.digest.hex
        place(built, final, staging=staging)
    return replace(opened, directory=final)


def place(built: Path, final: Path, *, staging: Path) -> None:
    """Move the files of `built` to the new directory `final`, whole or not at all."""
    with staged_directory(final, staging=staging) as beside:
        for entry in sorted(built.iterdir()):
            shutil.move(entry, beside / entry.name)


def build(
    directory: Path,
    model: SourceModel,
    examples: Examples,
    *,
    name: str,
    config: ExportConfig,
    lineage: Lineage,
    metrics: Mapping[str, float],
    per_class: Mapping[str, Mapping[str, float]],
    exporter: Exporter,
    runtime: Runtime,
    threads: int,
    report: Path | None = None,
    reporter: Reporter | None = None,
) -> tuple[OpenBundle, Comparison]:
    """Write a bundle into the empty `directory`; returns it, audited, with the comparison that it passed."""
    if not examples.names:
        raise DataError("the test split has no rows to compare the export on", "add a version with a test split")
    tokenizer = _write_model(directory, model, exporter)
    draft = Bundle(
        protocol=PROTOCOL, name=name, signature=model.signature, preprocessing=model.preprocessing,
        files=record_files(directory), lineage=lineage, metrics=metrics, per_class=per_class,
        parity=Parity(0, 0, 0.0, 0.0, 0.0, 0.0), golden=Golden(0, 0.0),
    )  # fmt: skip
    session = runtime.load(directory, draft, threads=threads)
    preprocessor = Preprocessor(model.preprocessing, tokenizer)
    comparison = compare_exported(model, session, preprocessor, examples.inputs, config, reporter)
    check_parity(name, comparison, examples.names)
    golden = _write_golden(directory, model, examples, comparison, config)
    _write_reference(directory, model, examples, comparison.exported, config.reference_rows)
    draft = replace(draft, parity=comparison.parity, golden=golden)
    (directory / "card.md").write_text(card(draft), encoding="utf-8")
    if report is not None:
        _copy_report(report, directory / "report")
    write_bundle(
        directory, name=name, signature=model.signature, preprocessing=model.preprocessing, lineage=lineage,
        metrics=metrics, per_class=per_class, parity=comparison.parity, golden=golden,
    )  # fmt: skip
    opened = open_bundle(directory)
    replay(opened, session)
    return opened, comparison


def _write_model(directory: Path, model: SourceModel, exporter: Exporter) -> Path | None:
    """model.onnx, and for text tokenizer.json, whose path is returned."""
    exporter.export(model, directory / GRAPH)
    content: bytes | None = getattr(model, "tokenizer", None)  # only models of text have one
    if content is None:
        return None
    (directory / TOKENIZER).write_bytes(content)
    return directory / TOKENIZER


def _write_golden(
    directory: Path, model: SourceModel, examples: Examples, comparison: Comparison, config: ExportConfig
) -> Golden:
    """Requests spread over the classes, with the source's answers.

    Rows where a rounding moved the answer by more than half the tolerance are counted by parity; here they would fail
    on another machine's arithmetic.
    """
    tolerance = comparison.parity.tolerance
    close = np.abs(comparison.exported.scores - comparison.source.scores).max(axis=1) <= tolerance / 2
    usable: list[int] = np.flatnonzero(close).tolist()
    if not usable:
        raise GateError(
            f"no test row is answered within {tolerance / 2:g} of the source model", "export.tolerance sets how close"
        )
    if isinstance(examples.inputs[0], bytes):
        usable = [index for index in usable if len(examples.inputs[index]) <= _LARGE] or usable
    chosen = spread(usable, examples, comparison.source.scores, config.golden_rows)
    inputs = [examples.inputs[index] for index in chosen]
    write_golden(directory, model.signature, inputs, comparison.source.scores[chosen])
    return Golden(len(chosen), tolerance)


def spread(usable: Sequence[int], examples: Examples, scores: NDArray[np.float32], rows: int) -> list[int]:
    """At most `rows` of the positions `usable`: of each class in turn, or evenly over the values of a regression."""
    rows = max(1, min(rows, len(usable)))
    if not examples.labels:
        order = np.asarray(usable)[np.argsort(scores[list(usable), 0], kind="stable")]
        return sorted(order[np.linspace(0, len(order) - 1, rows).round().astype(int)].tolist())
    queues: dict[str, list[int]] = {}
    for index in usable:
        queues.setdefault(examples.labels[index], []).append(index)
    turns = [(turn, index) for queue in queues.values() for turn, index in enumerate(queue)]
    return sorted(index for _, index in sorted(turns)[:rows])


def _write_reference(directory: Path, model: SourceModel, examples: Examples, scored: Scored, rows: int) -> None:
    """A random part of the test split, always the same one, with the graph's answers."""
    number = len(examples.names)
    chosen = np.arange(number)
    if number > rows:
        chosen = np.sort(np.random.default_rng(0).choice(number, rows, replace=False))
    values = examples.values
    labels = [examples.labels[i] if values is None else repr(float(values[i])) for i in chosen.tolist()]
    part = Scored(scored.scores[chosen], scored.embedding[chosen])
    write_reference(directory, model.signature, [examples.inputs[i] for i in chosen.tolist()], part, labels)


def _copy_report(report: Path, into: Path) -> None:
    """The files of `report`, flat, their names as a bundle allows them."""
    for path in sorted(path for path in report.rglob("*") if path.is_file()):
        into.mkdir(exist_ok=True)
        flat = "_".join(path.relative_to(report).parts)
        name = re.sub(r"[^A-Za-z0-9._-]", "_", flat).lstrip(".")[-100:] or "file"
        shutil.copyfile(path, into / name)
