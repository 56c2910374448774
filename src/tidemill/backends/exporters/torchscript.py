"""TorchScript: one file that libtorch reads, in C++ too. Deprecated; torch.export succeeds it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.backends.exporters._torch import TorchSession, converting, input_names, network, tensors

if TYPE_CHECKING:
    from tidemill.ports import Exporter, Session, SourceModel

FORM = "TorchScript"


class TorchScriptExporter:
    """Traces the module on two rows; what depends on the rows themselves would be kept as it was for those."""

    def export(self, model: SourceModel, path: Path) -> None:
        """Raises GateError for what is no torch module, or cannot be traced."""
        import torch

        source = network(model, FORM)
        example = tensors(source.example(), input_names(model))
        with converting(FORM), torch.no_grad():
            traced = torch.jit.trace(source.module, example, check_trace=False)  # type: ignore[no-untyped-call]  # torch's
            torch.jit.save(traced, str(path))


def load(path: Path, model: SourceModel) -> TorchSession:
    """Read back what this process has written. Raises GateError."""
    import torch

    with converting(FORM):
        module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]  # torch's
        return TorchSession(module, input_names(model))


if TYPE_CHECKING:
    _exporter: Exporter = TorchScriptExporter()
    _session: type[Session] = TorchSession
