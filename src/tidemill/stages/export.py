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

from tidemill.bundle.examples import write_examples
from tidemill.bundle.golden import replay, write_golden
from tidemill.bundle.preprocess import Preprocessor
from tidemill.bundle.read import GRAPH, TOKENIZER, OpenBundle, open_bundle
from tidemill.bundle.reference import write_reference
from tidemill.bundle.write import record_files, write_bundle
from tidemill.domain.bundle import PROTOCOL, Bundle, Golden, Lineage, Parity
from tidemill.errors import DataError, GateError
from tidemill.files import staged_directory, sweep_staging, write_atomic
from tidemill.ports import Scored
from tidemill.stages.card import card
from tidemill.stages.evaluate import evaluate
from tidemill.stages.latency import latencies
from tidemill.stages.parity import Comparison, Measured, allowed_difference, check_parity, judge, one_by_one, score_rows
from tidemill.stages.parity_page import PAGE, parity_page

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidemill.config.schema import ExportConfig
    from tidemill.dataset.read import Examples
    from tidemill.ports import Exporter, Reporter, Runtime, Session, SourceModel

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
    refused: Path | None = None,
    reporter: Reporter | None = None,
) -> OpenBundle:
    """Make the bundle of `model` and put it at `bundles`/<its digest>.

    `examples` is the complete test split; `report` a folder whose files go into the bundle's report/. The bundle is
    built in `staging` and appears whole or not at all. Raises GateError when parity or a golden request does not hold;
    the page that shows the worst rows is then written to the folder `refused`.
    """
    staging.mkdir(parents=True, exist_ok=True)
    sweep_staging(staging)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=staging) as folder:
        built = Path(folder)
        opened, _ = build(
            built, model, examples, name=name, config=config, lineage=lineage, metrics=metrics, per_class=per_class,
            exporter=exporter, runtime=runtime, threads=threads, report=report, refused=refused,
            reporter=reporter,
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
    refused: Path | None = None,
    reporter: Reporter | None = None,
) -> tuple[OpenBundle, Comparison]:
    """Write a bundle into the empty `directory`; returns it, audited, with the comparison that it passed."""
    if not examples.names:
        raise DataError("the test split has no rows to compare the export on", "add a version with a test split")
    session, preprocessor = write_model(
        directory, model, exporter, runtime, name=name, lineage=lineage, threads=threads
    )
    size = (directory / GRAPH).stat().st_size
    comparison = comparison_of(model, session, preprocessor, examples, config, size, reporter)
    page = parity_page(name, model.signature, comparison, examples)
    if not comparison.parity.held and refused is not None:
        write_atomic(refused / PAGE, page.encode())
    check_parity(name, comparison, examples.names, refused / PAGE if refused is not None else None)
    if config.precision != "float32":  # what was measured was the source, and this graph differs
        measured = evaluate(model.signature, comparison.exported, examples)
        metrics, per_class = measured.metrics, measured.per_class
    golden = _write_golden(directory, model, examples, comparison, config, session, preprocessor)
    _write_reference(directory, model, examples, comparison.exported, config.reference_rows)
    draft = _draft(directory, model, name=name, lineage=lineage)
    draft = replace(draft, metrics=metrics, per_class=per_class, parity=comparison.parity, golden=golden)
    (directory / "card.md").write_text(card(draft, report), encoding="utf-8")
    if report is not None:
        _copy_report(report, directory / "report")
    (directory / "report").mkdir(exist_ok=True)
    (directory / "report" / PAGE).write_text(page, encoding="utf-8")
    write_bundle(
        directory, name=name, signature=model.signature, preprocessing=model.preprocessing, lineage=lineage,
        metrics=metrics, per_class=per_class, parity=comparison.parity, golden=golden,
    )  # fmt: skip
    opened = open_bundle(directory)
    replay(opened, session)
    return opened, comparison


def write_model(
    directory: Path, model: SourceModel, exporter: Exporter, runtime: Runtime, *, name: str, lineage: Lineage,
    threads: int,
) -> tuple[Session, Preprocessor]:  # fmt: skip
    """Write model.onnx, and for text tokenizer.json; returns the graph, loaded, and what makes requests ready for it.

    Raises GateError for a model that `exporter` cannot write.
    """
    exporter.export(model, directory / GRAPH)
    content: bytes | None = getattr(model, "tokenizer", None)  # only models of text have one
    if content is not None:
        (directory / TOKENIZER).write_bytes(content)
    session = runtime.load(directory, _draft(directory, model, name=name, lineage=lineage), threads=threads)
    return session, Preprocessor(model.preprocessing, directory / TOKENIZER if content is not None else None)


def _draft(directory: Path, model: SourceModel, *, name: str, lineage: Lineage) -> Bundle:
    """The record of what is in `directory` so far."""
    return Bundle(
        protocol=PROTOCOL, name=name, signature=model.signature, preprocessing=model.preprocessing,
        files=record_files(directory), lineage=lineage, metrics={}, parity=Parity(0, 0, 0.0, 0.0, 0.0, 0.0),
        golden=Golden(0, 0.0),
    )  # fmt: skip


def comparison_of(
    model: SourceModel, session: Session, preprocessor: Preprocessor, examples: Examples, config: ExportConfig,
    size: int, reporter: Reporter | None,
) -> Comparison:  # fmt: skip
    """The export that is loaded as `session`, and `size` bytes large, against `model`."""
    scorers = {"source": model.score, "exported": session.run}
    ways = scorers | ({"alone": one_by_one(session.run)} if config.precision == "int8_dynamic" else {})
    answers = score_rows(ways, preprocessor, examples.inputs, reporter)
    times = latencies(scorers, preprocessor, examples.inputs)
    measured = Measured(size, source_bytes(model), times["exported"], times["source"])
    source = answers.pop("source")
    return judge(
        model.signature, examples, source, list(answers.values()), precision=config.precision,
        limits=config.limits(config.precision), measured=measured,
    )  # fmt: skip


def source_bytes(model: SourceModel) -> int:
    """What `model` weighs in its framework's own format."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder))
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def _write_golden(
    directory: Path, model: SourceModel, examples: Examples, comparison: Comparison, config: ExportConfig,
    session: Session, preprocessor: Preprocessor,
) -> Golden:  # fmt: skip
    """Requests spread over the classes, with the source's answers.

    Rows where a rounding moved the answer by more than half the tolerance are counted by parity; here they would fail
    on another machine's arithmetic. A graph is held to twice of what it was off at most on those that were chosen, or
    to a tenth of the tolerance, whichever is more, where that is less than its own: what is altered later shall show,
    and what another machine rounds otherwise shall not.
    """
    tolerance = comparison.parity.tolerance
    usable: list[int] = np.flatnonzero(comparison.difference <= tolerance / 2).tolist()
    if not usable:
        raise GateError(
            f"no test row is answered within {tolerance / 2:g} of the source model", "export.tolerance sets how close"
        )
    if isinstance(examples.inputs[0], bytes):
        usable = [index for index in usable if len(examples.inputs[index]) <= _LARGE] or usable
    chosen = spread(usable, examples, comparison.source.scores, config.golden_rows)
    inputs = [examples.inputs[index] for index in chosen]
    scores = comparison.source.scores[chosen]
    write_golden(directory, model.signature, inputs, scores)
    together = np.abs(session.run(preprocessor.prepare(inputs)).scores - scores).max()
    off = max(float(together), float(comparison.difference[chosen].max()))
    least = allowed_difference(model.signature, comparison.source.scores, config.tolerance / 10)
    return Golden(len(chosen), min(tolerance, max(least, 2 * off)))


def spread(usable: Sequence[int], examples: Examples, scores: NDArray[np.float32], rows: int) -> list[int]:
    """At most `rows` of the positions `usable`: of each class in turn, or evenly over the values of a regression.

    Of a class those come first of which the model is least sure: where it is sure, much can be altered before it shows.
    """
    rows = max(1, min(rows, len(usable)))
    if not examples.labels:
        order = np.asarray(usable)[np.argsort(scores[list(usable), 0], kind="stable")]
        return sorted(order[np.linspace(0, len(order) - 1, rows).round().astype(int)].tolist())
    first, second = np.partition(scores, [-2, -1], axis=1)[:, [-1, -2]].T
    queues: dict[str, list[int]] = {}
    for index in sorted(usable, key=(first - second).__getitem__):
        queues.setdefault(examples.labels[index], []).append(index)
    turns = [(turn, index) for queue in queues.values() for turn, index in enumerate(queue)]
    return sorted(index for _, index in sorted(turns)[:rows])


def _write_reference(directory: Path, model: SourceModel, examples: Examples, scored: Scored, rows: int) -> None:
    """A random part of the test split, always the same one, with the graph's answers; and examples out of it."""
    number = len(examples.names)
    chosen = np.arange(number)
    if number > rows:
        chosen = np.sort(np.random.default_rng(0).choice(number, rows, replace=False))
    values = examples.values
    labels = [examples.labels[i] if values is None else repr(float(values[i])) for i in chosen.tolist()]
    part = Scored(scored.scores[chosen], scored.embedding[chosen])
    inputs = [examples.inputs[i] for i in chosen.tolist()]
    write_reference(directory, model.signature, inputs, part, labels)
    write_examples(directory, model.signature, inputs, part.scores, labels)


def _copy_report(report: Path, into: Path) -> None:
    """The files of `report`, flat, their names as a bundle allows them."""
    for path in sorted(path for path in report.rglob("*") if path.is_file()):
        into.mkdir(exist_ok=True)
        flat = "_".join(path.relative_to(report).parts)
        name = re.sub(r"[^A-Za-z0-9._-]", "_", flat).lstrip(".")[-100:] or "file"
        shutil.copyfile(path, into / name)
