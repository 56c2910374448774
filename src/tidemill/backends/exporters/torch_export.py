"""torch.export: the module as a graph of ATen operators with a batch of any size (https://docs.pytorch.org/docs/stable/export.html)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.backends.exporters._torch import TorchSession, converting, input_names, network, tensors
from tidemill.backends.exporters.converters.network import dynamic_sizes

if TYPE_CHECKING:
    from tidemill.ports import Exporter, SourceModel

FORM = "torch.export"


class TorchExportExporter:
    """The archive (.pt2) that torch.export.load and AOTInductor read."""

    def export(self, model: SourceModel, path: Path) -> None:
        """Raises GateError for what is no torch module, or cannot be captured whole."""
        import torch

        source = network(model, FORM)
        example = tensors(source.example(), input_names(model))
        with converting(FORM), torch.no_grad(), path.open("wb") as file:
            program = torch.export.export(source.module, example, dynamic_shapes=dynamic_sizes(source))
            torch.export.save(program, file)


def load(path: Path, model: SourceModel) -> TorchSession:
    """Read back what this process has written. Raises GateError."""
    import torch

    with converting(FORM), path.open("rb") as file:
        return TorchSession(torch.export.load(file).module(), input_names(model))


if TYPE_CHECKING:
    _exporter: Exporter = TorchExportExporter()
