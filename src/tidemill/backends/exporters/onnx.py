"""ONNX: one file with normalisation inside, whose outputs are `scores` and `embedding`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.backends.exporters.converters.network import NetworkSource, convert_network
from tidemill.backends.exporters.converters.table import LinearSource, TreesSource, convert_table
from tidemill.bundle.graph import audit_graph
from tidemill.errors import BundleError, GateError

if TYPE_CHECKING:
    from tidemill.backends.exporters.precisions.static import Calibration
    from tidemill.domain.bundle import Precision
    from tidemill.ports import Exporter, SourceModel


class OnnxExporter:
    """Converts torch modules, scikit-learn pipelines, and XGBoost boosters; networks also to fewer bits.

    `calibration` gives the rows that int8 is made with; no other precision asks for them.
    """

    def __init__(self, precision: Precision = "float32", calibration: Callable[[], Calibration] | None = None) -> None:
        self._precision = precision
        self._calibration = calibration

    def export(self, model: SourceModel, path: Path) -> None:
        """Write `model` to `path`, and audit what was written as a reader will.

        Raises GateError naming what cannot be converted.
        """
        if isinstance(model, NetworkSource):
            convert_network(model, path)
        elif isinstance(model, LinearSource | TreesSource):
            convert_table(model, path)
        else:
            raise GateError(
                f"{type(model).__name__} cannot be exported: it has neither a module nor a pipeline",
                "known are torch modules, scikit-learn pipelines and XGBoost",
            )
        self._reduce(path)
        _check(model, path)

    def _reduce(self, path: Path) -> None:
        if self._precision == "float32":
            return
        import onnx

        from tidemill.backends.exporters.precisions import dynamic, halves, static

        graph = onnx.load(path)
        if self._precision == "float16":
            halves.to_halves(graph)
            onnx.save(graph, path)
            return
        rows = self._calibration() if self._calibration else static.Calibration(())
        if self._precision == "int8_dynamic":
            dynamic.to_integers_dynamic(graph, path, rows.measured)
        else:
            static.to_integers_static(graph, path, rows)


def _check(model: SourceModel, path: Path) -> None:
    try:
        graph = audit_graph(path)
    except BundleError as error:
        raise GateError(f"the exported graph would be refused: {error.headline}", "choose another model") from None
    wanted = {tensor.name: tensor.dtype for tensor in model.signature.inputs}
    if graph.inputs != wanted:
        missing = sorted(set(wanted) - set(graph.inputs)) or sorted(wanted)
        raise GateError(
            f"the exported graph does not take the input {missing[0]!r} as {wanted[missing[0]]}",
            "the model does not use it: leave the column out of the data",
        )


if TYPE_CHECKING:
    _exporter: Exporter = OnnxExporter()
