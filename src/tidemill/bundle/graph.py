"""The audit of model.onnx, before ONNX Runtime sees it (onnx/onnx.proto, IR version 13).

Refused: tensors outside the file, sparse tensors, operators of a domain that is not listed, functions, training
graphs, tensors whose declared size is not the size of their data, constants that blow up to something enormous, fields
that are not known. What only shows when the graph runs (a product of harmless sizes) is not caught here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tidemill.bundle.wire import LENGTH, WireError, count_varints, fields, signed, varints
from tidemill.errors import BundleError

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""Whose operators may run: the standard's own. A list, and no flag widens it."""

MAX_ELEMENTS = 1 << 28
_GROWING = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}
_RANDOM = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
_DEPTH = 16
_RANK = 16
"""More numbers than this are not taken for a shape."""

# Fields that are neither followed nor looked at, by message.
_MODEL_PLAIN = {1, 2, 3, 4, 5, 6, 14, 26}
_GRAPH_PLAIN = {2, 10, 13, 14, 16}
_NODE_PLAIN = {3, 6, 8, 9, 10}
_ATTRIBUTE_PLAIN = {1, 2, 3, 4, 7, 8, 9, 13, 14, 15, 20, 21}
_TENSOR_PLAIN = {8, 12, 16}

_STRING = 8
_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
         17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8}  # fmt: skip
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


def audit_graph(path: Path) -> Graph:
    """Raises BundleError for a graph that is refused; returns what goes in and comes out."""
    try:
        return audit_bytes(path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}", "fetch the bundle anew") from None


def audit_bytes(content: bytes) -> Graph:
    """`audit_graph` for the bytes of a file."""
    graph = Graph()
    try:
        _model(memoryview(content), graph)
        for operator, shape in graph.growing:
            if graph.sizes.get(shape, 0) > MAX_ELEMENTS:
                raise _refused(f"{operator} asks for a tensor of {graph.sizes[shape]:,} elements")
    except (WireError, UnicodeDecodeError) as error:
        raise _refused(f"it is no ONNX file: {error}") from None
    if not graph.nodes or not graph.outputs:
        raise _refused("it holds no graph")
    return graph


Visit = Callable[[memoryview], object]


def _walk(message: memoryview, name: str, plain: set[int], visits: Mapping[int, Visit], single: set[int]) -> None:
    """Hand each field's bytes to its visitor; refuse unknown fields, and repetitions that readers would merge."""
    seen: set[int] = set()
    for number, kind, value in fields(message):
        if number in plain:
            continue
        visit = visits.get(number)
        if visit is None:
            raise _refused(f"{name} has a field of unknown meaning ({number})")
        if number in single and number in seen:
            raise _refused(f"{name} gives field {number} twice")
        seen.add(number)
        if kind != LENGTH or isinstance(value, int):
            raise _refused(f"{name} has a field {number} of the wrong kind")
        visit(value)


def _model(message: memoryview, graph: Graph) -> None:
    visits: dict[int, Visit] = {
        7: lambda m: _graph(m, graph, 0),
        8: _opset,
        20: lambda _: _refuse("it holds a training graph"),
        25: lambda _: _refuse("it holds functions"),
    }
    _walk(message, "the model", _MODEL_PLAIN, visits, {7})


def _graph(message: memoryview, graph: Graph, depth: int) -> None:
    if depth > _DEPTH:
        raise _refused("graphs are nested too deep")
    top = depth == 0
    visits: dict[int, Visit] = {
        1: lambda m: _node(m, graph, depth),
        5: lambda m: _tensor(m, graph),
        11: lambda m: _value(m, graph.inputs) if top else None,
        12: lambda m: _value(m, graph.outputs) if top else None,
        15: lambda _: _refuse("it holds sparse tensors"),
    }
    _walk(message, "a graph", _GRAPH_PLAIN, visits, set())


def _node(message: memoryview, graph: Graph, depth: int) -> None:
    inputs: list[str] = []
    outputs: list[str] = []
    operator: list[str] = []
    tensors: list[int] = []
    visits: dict[int, Visit] = {
        1: lambda m: inputs.append(_text(m)),
        2: lambda m: outputs.append(_text(m)),
        4: lambda m: operator.append(_text(m)),
        5: lambda m: _attribute(m, graph, depth, tensors),
        7: _domain,
    }
    _walk(message, "a node", _NODE_PLAIN, visits, {4, 7})
    graph.nodes += 1
    name = operator[0] if operator else ""
    if name in _RANDOM:
        raise _refused(f"the operator {name} gives another answer each time")
    if name in _GROWING and len(inputs) > _GROWING[name]:
        graph.growing.append((name, inputs[_GROWING[name]]))
    if name == "Constant" and outputs and tensors:
        _keep_size(graph, outputs[0], max(tensors))


def _attribute(message: memoryview, graph: Graph, depth: int, tensors: list[int]) -> None:
    plain: set[int] = set()
    shape: list[int] = []
    for number, kind, value in fields(message):  # not _walk: trees keep millions of unpacked numbers in here
        if number == 8 and len(shape) <= _RANK:
            shape += islice(varints(value), _RANK + 1) if isinstance(value, memoryview) else [signed(value)]
        if number in _ATTRIBUTE_PLAIN:
            continue
        if number not in (5, 6, 10, 11, 22, 23):
            raise _refused(f"an attribute has a field of unknown meaning ({number})")
        if number in (22, 23):
            raise _refused("it holds sparse tensors")
        if kind != LENGTH or isinstance(value, int) or number in plain:
            raise _refused(f"an attribute has a field {number} of the wrong kind, or twice")
        if number in (5, 6):
            plain.add(number)
        if number in (6, 11):
            _graph(value, graph, depth + 1)
        else:
            tensors.append(_tensor(value, graph))
    if 0 < len(shape) <= _RANK:
        tensors.append(_elements(shape))


def _keep_size(graph: Graph, name: str, size: int) -> None:
    """The largest size counts: inner graphs may use a name again, and which one a shape means is not followed."""
    graph.sizes[name] = max(size, graph.sizes.get(name, 0))


def _tensor(message: memoryview, graph: Graph) -> int:
    """Check one TensorProto; returns what `Graph.sizes` keeps for it."""
    dims: list[int] = []
    dtype = stored = 0
    raw: memoryview | None = None
    integers: list[int] = []
    name = ""
    for number, kind, value in fields(message):
        if number == 1:
            dims += varints(value) if isinstance(value, memoryview) else [signed(value)]
        elif number == 2 and isinstance(value, int):
            dtype = value
        elif number == 9 and isinstance(value, memoryview) and raw is None:
            raw = value
        elif number in (4, 5, 6, 7, 10, 11):
            stored += 1 if number == 6 or isinstance(value, int) else _stored(number, value)
            if number == 7 and len(integers) <= _RANK:
                integers += islice(varints(value), _RANK + 1) if isinstance(value, memoryview) else [signed(value)]
        elif number in (13, 14) and (kind == LENGTH or value):
            raise _refused("it keeps a tensor outside the file")
        elif number == 8 and isinstance(value, memoryview):
            name = _text(value)
        elif number not in _TENSOR_PLAIN and number != 14:
            raise _refused(f"a tensor has a field of unknown meaning or kind ({number})")
    _check_size(dims, dtype, raw, stored, name)
    size = _product_of_values(dtype, raw, integers)
    if name:
        _keep_size(graph, name, size)
    return size


def _stored(number: int, packed: memoryview) -> int:
    """Numbers in a packed field of a TensorProto: 4 float_data, 10 double_data, else varints."""
    return {4: len(packed) // 4, 10: len(packed) // 8}[number] if number in (4, 10) else count_varints(packed)


def _check_size(dims: list[int], dtype: int, raw: memoryview | None, stored: int, name: str) -> None:
    if any(size < 0 for size in dims):
        raise _refused(f"the tensor {name!r} has a negative size")
    elements = math.prod(dims)
    if dtype == _STRING:
        have, need = stored, elements
    elif dtype not in _BITS:
        raise _refused(f"the tensor {name!r} has an unknown type ({dtype})")
    elif raw is not None:
        have, need = len(raw) + stored, -(-elements * _BITS[dtype] // 8)
    else:
        pair = dtype in (14, 15)  # complex numbers are stored as two
        have, need = stored, -(-elements // 2) if _BITS[dtype] == 4 else elements * (1 + pair)
    if have != need:
        raise _refused(f"the tensor {name!r} says it has {elements:,} elements, and its data has another size")


def _product_of_values(dtype: int, raw: memoryview | None, integers: list[int]) -> int:
    """The number of elements of a tensor of this shape, when this small int64 tensor is one; else 0."""
    if dtype != 7 or (raw is not None and len(raw) > 8 * _RANK) or len(integers) > _RANK:
        return 0
    values = list(integers)
    if raw is not None:
        values += [int.from_bytes(raw[at : at + 8], "little", signed=True) for at in range(0, len(raw), 8)]
    return _elements(values)


def _elements(shape: list[int]) -> int:
    return math.prod(max(1, abs(size)) for size in shape)


def _value(message: memoryview, values: dict[str, str]) -> None:
    """A ValueInfoProto: name, and the element type of a tensor (type.tensor_type.elem_type)."""
    name, dtype = "", 0
    for number, _, value in fields(message):
        if number == 1 and isinstance(value, memoryview):
            name = _text(value)
        elif number == 2 and isinstance(value, memoryview):
            for kind, _, tensor in fields(value):
                if kind == 1 and isinstance(tensor, memoryview):
                    dtype = next((v for n, _, v in fields(tensor) if n == 1 and isinstance(v, int)), 0)
    if name in values:
        raise _refused(f"two values are named {name!r}")
    values[name] = DTYPES.get(dtype, "")


def _opset(message: memoryview) -> None:
    for number, _, value in fields(message):
        if number == 1 and isinstance(value, memoryview):
            _domain(value)


def _domain(name: memoryview) -> None:
    domain = _text(name)
    if domain not in DOMAINS:
        raise _refused(f"it uses operators of the domain {domain[:60]!r}")


def _text(value: memoryview) -> str:
    return str(value, "utf-8")


def _refuse(problem: str) -> None:
    raise _refused(problem)


def _refused(problem: str) -> BundleError:
    return BundleError(
        f"model.onnx is refused: {problem}", "use a bundle that tidemill exported, from a source you trust"
    )
