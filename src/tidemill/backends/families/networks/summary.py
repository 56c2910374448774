"""A table of a network's layers: kind, shape of what leaves it, parameters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from tidemill.files import write_atomic
from tidemill.ports import Summarised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.backends.families.networks.graphs import Graph
    from tidemill.ports import Reporter

SUMMARY = "summary.txt"
_DEEPEST = 3  # levels below the network that are shown


class Layer(NamedTuple):
    """`shape` of its output for one row, empty when that is no tensor; `params` of all that is in it."""

    name: str
    kind: str
    shape: str
    params: int


def summarise(graph: Graph, inputs: Sequence[Tensor], report: Reporter, path: Path) -> None:
    """Keep the table of `graph`, run on one row of `inputs`, at `path`, and show it to those who want to see it."""
    text = table(graph, layers(graph, [each[:1] for each in inputs]))
    write_atomic(path, text.encode())
    if isinstance(report, Summarised):
        report.summary(text)


def layers(graph: Graph, inputs: Sequence[Tensor]) -> list[Layer]:
    """The layers of `graph.network`, down to three levels, in the order in which they are declared.

    `inputs` is a batch that the graph is run on once, without training anything.
    """
    shown = {
        module: name.removeprefix("network.")
        for name, module in graph.named_modules()
        if name.startswith("network.") and name.count(".") <= _DEEPEST
    }
    shapes: dict[nn.Module, str] = {}

    def note(module: nn.Module, _: Any, output: Any) -> None:
        found = output if isinstance(output, Tensor) else output[0] if isinstance(output, tuple | list) else None
        shapes[module] = " x ".join(map(str, found.shape[1:])) if isinstance(found, Tensor) else ""

    hooks = [module.register_forward_hook(note) for module in shown]
    modes = [(module, module.training) for module in graph.modules()]  # frozen parts have another than the rest
    try:
        graph.eval()
        with torch.inference_mode():
            graph.logits(*inputs)
    finally:
        for module, training in modes:
            module.training = training
        for hook in hooks:
            hook.remove()
    return [
        Layer(name, type(module).__name__, shapes.get(module, ""), sum(each.numel() for each in module.parameters()))
        for module, name in shown.items()
    ]


def table(graph: Graph, found: Sequence[Layer]) -> str:
    """The layers as text, with the sum."""
    head = Layer("layer", "kind", "output", 0)
    widths = [max(len(str(each[column])) for each in (head, *found)) for column in range(3)]
    lines = [_line(head, widths, "parameters"), "  ".join("-" * width for width in (*widths, 12))]
    lines += [_line(each, widths, f"{each.params:,}") for each in found]
    every = list(graph.parameters())
    total, size = sum(each.numel() for each in every), sum(each.numel() * each.element_size() for each in every)
    return "\n".join([*lines, "", f"{total:,} parameters, {size / 1e6:,.1f} MB"]) + "\n"


def _line(layer: Layer, widths: Sequence[int], params: str) -> str:
    cells = [str(cell).ljust(width) for cell, width in zip(layer[:3], widths, strict=True)]
    return "  ".join([*cells, params.rjust(12)])
