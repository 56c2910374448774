"""The audit of model.onnx, before ONNX Runtime sees it (onnx/onnx.proto, IR version 13).

Refused: tensors outside the file, sparse tensors, operators of a domain that is not listed, functions, training
graphs, tensors whose declared size is not the size of their data, constants that blow up to something enormous, fields
that are not known, more fields than can be read in seconds, and a file that ONNX Runtime could take for one of
its own format. What only shows when the graph runs (a product of harmless sizes) is not caught here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tidemill.bundle.tensor import RANK, elements, refused, text
from tidemill.bundle.tensor import audit as audit_tensor
from tidemill.bundle.wire import LENGTH, RUN, Tally, WireError, fields, signed, varints
from tidemill.errors import BundleError

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""Whose operators may run: the standard's own. A list, and no flag widens it."""

MAX_ELEMENTS = 1 << 28
MAX_BYTES = (1 << 31) - 1
"""Protocol Buffers' own limit."""

MAX_FIELDS = 1 << 22
_OTHER_FORMAT = b"ORTM"
"""At byte 4 it makes ONNX Runtime read a file in its own format, in which nothing was audited."""

_GROWING = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}
_RANDOM = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
_DEPTH = 16

# Fields that are neither followed nor looked at, by message.
_MODEL_PLAIN = {1, 2, 3, 4, 5, 6, 14, 26}
_GRAPH_PLAIN = {2, 10, 13, 14, 16}
_NODE_PLAIN = {3, 6, 8, 9, 10}
_ATTRIBUTE_PLAIN = {1, 2, 3, 4, 7, 8, 9, 13, 14, 15, 20, 21}

DTYPES = {1: "float32", 2: "uint8", 7: "int64", 8: "str"}


@dataclass(slots=True)
class Graph:
    """What the audit saw: inputs and outputs by name, with their types as `Tensor.dtype` has them ('' for another)."""

    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    nodes: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    """For each small constant: the number of elements that it asks for when it is used as a shape."""
    growing: list[tuple[str, str]] = field(default_factory=list)
    """Operators that make a tensor of a shape, with the name of that shape."""
    tally: Tally = field(default_factory=lambda: Tally(MAX_FIELDS))


def audit_graph(path: Path) -> Graph:
    """Raises BundleError for a graph that is refused; returns what goes in and comes out."""
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise refused(f"it has {size:,} bytes, more than {MAX_BYTES:,}")
        return audit_bytes(path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}", "fetch the bundle anew") from None


def audit_bytes(content: bytes) -> Graph:
    """`audit_graph` for the bytes of a file."""
    graph = Graph()
    if content[4:8] == _OTHER_FORMAT:
        raise refused("it looks like a file of ONNX Runtime's own format")
    try:
        _model(memoryview(content), graph)
        for operator, shape in graph.growing:
            if graph.sizes.get(shape, 0) > MAX_ELEMENTS:
                raise refused(f"{operator} asks for a tensor of {graph.sizes[shape]:,} elements")
    except (WireError, UnicodeDecodeError) as error:
        raise refused(f"it is no ONNX file: {error}") from None
    if not graph.nodes or not graph.outputs:
        raise refused("it holds no graph")
    return graph


Visit = Callable[[memoryview], object]


def _walk(
    message: memoryview, graph: Graph, name: str, plain: set[int], visits: Mapping[int, Visit], single: set[int]
) -> None:
    """Hand each field's bytes to its visitor; refuse unknown fields, and repetitions that readers would merge."""
    seen: set[int] = set()
    for number, kind, value in fields(message, graph.tally):
        if number in plain:
            continue
        visit = visits.get(number)
        if visit is None:
            raise refused(f"{name} has a field of unknown meaning ({number})")
        if number in single and number in seen:
            raise refused(f"{name} gives field {number} twice")
        seen.add(number)
        if kind != LENGTH or isinstance(value, int):
            raise refused(f"{name} has a field {number} of the wrong kind")
        visit(value)


def _model(message: memoryview, graph: Graph) -> None:
    visits: dict[int, Visit] = {
        7: lambda m: _graph(m, graph, 0),
        8: lambda m: _opset(m, graph),
        20: lambda _: _refuse("it holds a training graph"),
        25: lambda _: _refuse("it holds functions"),
    }
    _walk(message, graph, "the model", _MODEL_PLAIN, visits, {7})


def _graph(message: memoryview, graph: Graph, depth: int) -> None:
    if depth > _DEPTH:
        raise refused("graphs are nested too deep")
    top = depth == 0
    visits: dict[int, Visit] = {
        1: lambda m: _node(m, graph, depth),
        5: lambda m: _tensor(m, graph),
        11: lambda m: _value(m, graph, graph.inputs) if top else None,
        12: lambda m: _value(m, graph, graph.outputs) if top else None,
        15: lambda _: _refuse("it holds sparse tensors"),
    }
    _walk(message, graph, "a graph", _GRAPH_PLAIN, visits, set())


def _node(message: memoryview, graph: Graph, depth: int) -> None:
    inputs: list[str] = []
    outputs: list[str] = []
    operator: list[str] = []
    tensors: list[int] = []
    visits: dict[int, Visit] = {
        1: lambda m: inputs.append(text(m)),
        2: lambda m: outputs.append(text(m)),
        4: lambda m: operator.append(text(m)),
        5: lambda m: _attribute(m, graph, depth, tensors),
        7: _domain,
    }
    _walk(message, graph, "a node", _NODE_PLAIN, visits, {4, 7})
    graph.nodes += 1
    name = operator[0] if operator else ""
    if name in _RANDOM:
        raise refused(f"the operator {name} gives another answer each time")
    if name in _GROWING and len(inputs) > _GROWING[name]:
        graph.growing.append((name, inputs[_GROWING[name]]))
    if name == "Constant" and outputs and tensors:
        _keep_size(graph, outputs[0], max(tensors))


def _attribute(message: memoryview, graph: Graph, depth: int, tensors: list[int]) -> None:
    plain: set[int] = set()
    shape: list[int] = []
    for number, kind, value in fields(
        message, graph.tally, runs=True
    ):  # not _walk: trees keep millions of numbers in here
        if kind == RUN:
            shape += [1] * (RANK + 1)  # far more than a shape has
            continue
        if number == 8 and len(shape) <= RANK:
            shape += islice(varints(value), RANK + 1) if isinstance(value, memoryview) else [signed(value)]
        if number in _ATTRIBUTE_PLAIN:
            continue
        if number not in (5, 6, 10, 11, 22, 23):
            raise refused(f"an attribute has a field of unknown meaning ({number})")
        if number in (22, 23):
            raise refused("it holds sparse tensors")
        if kind != LENGTH or isinstance(value, int) or number in plain:
            raise refused(f"an attribute has a field {number} of the wrong kind, or twice")
        if number in (5, 6):
            plain.add(number)
        if number in (6, 11):
            _graph(value, graph, depth + 1)
        else:
            tensors.append(_tensor(value, graph))
    if 0 < len(shape) <= RANK:
        tensors.append(elements(shape))


def _keep_size(graph: Graph, name: str, size: int) -> None:
    """The largest size counts: inner graphs may use a name again, and which one a shape means is not followed."""
    graph.sizes[name] = max(size, graph.sizes.get(name, 0))


def _tensor(message: memoryview, graph: Graph) -> int:
    name, size = audit_tensor(message, graph.tally)
    if name:
        _keep_size(graph, name, size)
    return size


def _value(message: memoryview, graph: Graph, values: dict[str, str]) -> None:
    """A ValueInfoProto: name, and the element type of a tensor (type.tensor_type.elem_type)."""
    name, dtype = "", 0
    for number, _, value in fields(message, graph.tally):
        if number == 1 and isinstance(value, memoryview):
            name = text(value)
        elif number == 2 and isinstance(value, memoryview):
            for kind, _, tensor in fields(value, graph.tally):
                if kind == 1 and isinstance(tensor, memoryview):
                    dtype = next((v for n, _, v in fields(tensor, graph.tally) if n == 1 and isinstance(v, int)), 0)
    if name in values:
        raise refused(f"two values are named {name!r}")
    values[name] = DTYPES.get(dtype, "")


def _opset(message: memoryview, graph: Graph) -> None:
    for number, _, value in fields(message, graph.tally):
        if number == 1 and isinstance(value, memoryview):
            _domain(value)


def _domain(name: memoryview) -> None:
    domain = text(name)
    if domain not in DOMAINS:
        raise refused(f"it uses operators of the domain {domain[:60]!r}")


def _refuse(problem: str) -> None:
    raise refused(problem)
