"""A version's source model against every form that it can be exported in, side by side."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from tidemill.domain.bundle import Parity, Precision
from tidemill.domain.digest import Digest
from tidemill.domain.record import to_plain
from tidemill.domain.registry import ModelVersion
from tidemill.errors import DataError, GateError
from tidemill.files import staged_directory
from tidemill.process import usable_cores
from tidemill.project.exporting import check_free
from tidemill.project.layout import Layout
from tidemill.project.origins import Origin, origin

if TYPE_CHECKING:
    from tidemill.bundle.preprocess import Preprocessor
    from tidemill.ports import Exporter, Reporter, Session, SourceModel
    from tidemill.stages.parity import Scorer

TorchFormat = Literal["torchscript", "torch_export"]
FILES: Mapping[TorchFormat, str] = {"torchscript": "model.torchscript.pt", "torch_export": "model.pt2"}


@dataclass(frozen=True, slots=True)
class Variant:
    """A form of the model. `parity` is null when it could not be made; `refused` says why it cannot be used, or ''."""

    name: str
    parity: Parity | None
    refused: str


@dataclass(frozen=True, slots=True)
class Compared:
    """All forms of a version, on the same rows and in the same run."""

    version: ModelVersion
    variants: tuple[Variant, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A file in a format of torch, its size and parity, and the folder that was made."""

    version: ModelVersion
    format: TorchFormat
    parity: Parity
    file: Path


class _Made(NamedTuple):
    session: Session
    precision: Precision
    bytes: int


def compare_variants(layout: Layout, model: str, *, reporter: Reporter | None = None) -> Compared:
    """Export `model` in every precision and format, and compare each with the source on the whole test split.

    A form that cannot be made is in the answer too, with the reason. Raises as `export_again`, but for parity.
    """
    with origin(layout, model) as found:
        made, refused = _make_all(found, reporter)
        parities = _judged(found, made, reporter)
        names = [*get_args(Precision), *FILES]
        variants = tuple(_variant(name, parities.get(name), refused.get(name, "")) for name in names)
        return Compared(found.version, variants)


def export_torch(
    layout: Layout, model: str, form: TorchFormat, to: Path, *, reporter: Reporter | None = None
) -> Written:
    """Write `model` in a format of torch to the new directory `to`, whole or not at all, and compare what is read back.

    Beside the file lie `export.json` (signature, preprocessing, parity, digest, and where it comes from) and, for text,
    the tokenizer. Raises GateError for a model that is not torch's, or whose export is not its source.
    """
    from tidemill.stages.export import comparison_of
    from tidemill.stages.parity import check_parity
    from tidemill.stages.parity_page import PAGE, parity_page

    check_free(to)
    with origin(layout, model) as found:
        beside = found.folder / "out"
        beside.mkdir()
        file = beside / FILES[form]
        session = _torch(found.model, form, file)
        examples = found.data.examples("test")
        comparison = comparison_of(
            found.model, session, _preprocessor(found), examples, replace(found.settings, precision="float32"),
            file.stat().st_size, reporter,
        )  # fmt: skip
        check_parity(f"{found.version} as {form}", comparison, examples.names)
        record = found.opened.bundle
        page = parity_page(f"{record.name}, {form}", record.signature, comparison, examples)
        (beside / PAGE).write_text(page, encoding="utf-8")
        if found.opened.tokenizer is not None:
            (beside / "tokenizer.json").write_bytes(found.opened.tokenizer.read_bytes())
        told = {
            "format": form, "file": file.name, "digest": Digest.of_file(file), "version": str(found.version),
            "bundle": found.opened.digest, "signature": record.signature, "preprocessing": record.preprocessing,
            "lineage": record.lineage, "parity": comparison.parity,
        }  # fmt: skip
        (beside / "export.json").write_text(json.dumps(to_plain(told), indent=1, ensure_ascii=False) + "\n", "utf-8")
        with staged_directory(to, staging=to.absolute().parent) as final:
            shutil.copytree(beside, final, dirs_exist_ok=True)
    return Written(found.version, form, comparison.parity, to / FILES[form])


def _make_all(found: Origin, reporter: Reporter | None) -> tuple[dict[str, _Made], dict[str, str]]:
    """Every form that could be made, loaded; and why the others could not."""
    made: dict[str, _Made] = {}
    refused: dict[str, str] = {}
    precisions: tuple[Precision, ...] = get_args(Precision)
    ways: dict[str, Callable[[], _Made]] = {name: _onnx_maker(found, name) for name in precisions}
    ways |= {form: _torch_maker(found, form) for form in FILES}
    for done, (name, make) in enumerate(ways.items()):
        if reporter is not None:
            reporter.progress(done, len(ways), f"exporting {name}")
        try:
            made[name] = make()
        except GateError as error:
            refused[name] = error.headline
    return made, refused


def _onnx_maker(found: Origin, precision: Precision) -> Callable[[], _Made]:
    def make() -> _Made:
        from tidemill.backends.runtimes.onnx import OnnxRuntime
        from tidemill.bundle.read import GRAPH
        from tidemill.project.calibration import exporter_of
        from tidemill.stages.export import write_model

        directory = found.folder / precision
        directory.mkdir()
        exporter = exporter_of(replace(found.settings, precision=precision), found.model, found.data)
        record = found.opened.bundle
        session, _ = write_model(
            directory, found.model, exporter, OnnxRuntime(), name=record.name, lineage=record.lineage,
            threads=usable_cores(),
        )  # fmt: skip
        return _Made(session, precision, (directory / GRAPH).stat().st_size)

    return make


def _torch_maker(found: Origin, form: TorchFormat) -> Callable[[], _Made]:
    def make() -> _Made:
        file = found.folder / FILES[form]
        return _Made(_torch(found.model, form, file), "float32", file.stat().st_size)

    return make


def _torch(model: SourceModel, form: TorchFormat, file: Path) -> Session:
    """Written and read back."""
    from tidemill.backends.exporters import torch_export, torchscript

    if form == "torchscript":
        exporter: Exporter = torchscript.TorchScriptExporter()
        exporter.export(model, file)
        return torchscript.load(file, model)
    exporter = torch_export.TorchExportExporter()
    exporter.export(model, file)
    return torch_export.load(file, model)


def _judged(found: Origin, made: Mapping[str, _Made], reporter: Reporter | None) -> dict[str, Parity]:
    from tidemill.stages.export import source_bytes
    from tidemill.stages.latency import latencies
    from tidemill.stages.parity import Measured, judge, one_by_one, score_rows

    examples = found.data.examples("test")
    if not examples.names:
        raise DataError("the test split has no rows to compare exports on", "add a version with a test split")
    preprocessor = _preprocessor(found)
    scorers: dict[str, Scorer] = {name: each.session.run for name, each in made.items()}
    scorers["source"] = found.model.score
    alone = {"alone": one_by_one(scorers["int8_dynamic"])} if "int8_dynamic" in made else {}
    answers = score_rows(scorers | alone, preprocessor, examples.inputs, reporter)
    times = latencies(scorers, preprocessor, examples.inputs)
    weight = source_bytes(found.model)
    parities = {}
    for name, each in made.items():
        ways = [answers[name], *([answers["alone"]] if name == "int8_dynamic" else [])]
        measured = Measured(each.bytes, weight, times[name], times["source"])
        parities[name] = judge(
            found.model.signature, examples, answers["source"], ways, precision=each.precision,
            limits=found.settings.limits(each.precision), measured=measured,
        ).parity  # fmt: skip
    return parities


def _variant(name: str, parity: Parity | None, refused: str) -> Variant:
    return Variant(name, parity, refused or ("; ".join(parity.exceeded) if parity is not None else ""))


def _preprocessor(found: Origin) -> Preprocessor:
    from tidemill.bundle.preprocess import Preprocessor

    return Preprocessor(found.model.preprocessing, found.opened.tokenizer)
