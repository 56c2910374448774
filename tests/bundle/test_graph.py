"""The audit of model.onnx: what leaves the file, the standard or reason is refused before it is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, SparseTensorProto, TensorProto, helper, numpy_helper

from tests.bundle.conftest import EXAMPLE
from tests.bundle.graphs import external, model, shape, tensor
from tests.bundle.sealing import reseal
from tidemill.bundle.graph import audit_bytes, audit_graph
from tidemill.bundle.read import open_bundle
from tidemill.errors import BundleError


def _refused(made: ModelProto, why: str) -> None:
    with pytest.raises(BundleError, match=why):
        audit_bytes(made.SerializeToString())


def test_a_sound_graph_says_what_goes_in_and_comes_out() -> None:
    graph = audit_bytes(model(constants=[tensor()]).SerializeToString())
    assert graph.inputs == {"x": "float32"}
    assert graph.outputs == {"scores": "float32", "embedding": "float32"}


@pytest.mark.parametrize(
    "kind", [np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_, np.float16, np.complex64]
)
@pytest.mark.parametrize("size", [(), (0,), (3,), (2, 3)])
@pytest.mark.parametrize("raw", [True, False])
def test_every_way_to_store_a_tensor_is_understood(kind: type[np.generic], size: tuple[int, ...], raw: bool) -> None:
    values = np.ones(size, kind)
    made = numpy_helper.from_array(values, "c") if raw else helper.make_tensor(
        "c", helper.np_dtype_to_tensor_dtype(values.dtype), size, values.reshape(-1).tolist()
    )  # fmt: skip
    audit_bytes(model(constants=[made]).SerializeToString())


def test_text_is_stored_too() -> None:
    audit_bytes(
        model(
            constants=[TensorProto(name="c", data_type=TensorProto.STRING, dims=[2], string_data=[b"a", b"b"])]
        ).SerializeToString()
    )


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/passwd", ""])
def test_external_data_is_refused_wherever_it_lies(location: str) -> None:
    _refused(model(constants=[external(location)]), "outside the file")


def test_external_data_is_refused_in_an_attribute_and_in_an_inner_graph() -> None:
    constant = helper.make_node("Constant", [], ["c"], value=external("a"))
    _refused(model([constant, helper.make_node("Identity", ["x"], ["scores"])]), "outside the file")
    branch = helper.make_graph([helper.make_node("Identity", ["c"], ["y"])], "b", [], [], [external("a")])
    chosen = helper.make_node("If", ["x"], ["scores"], then_branch=branch, else_branch=branch)
    _refused(model([chosen]), "outside the file")


def test_a_location_without_external_data_is_refused() -> None:
    made = tensor()
    made.data_location = TensorProto.EXTERNAL
    _refused(model(constants=[made]), "outside the file")


def test_sparse_tensors_are_refused() -> None:
    values, indices = tensor("values"), numpy_helper.from_array(np.arange(4), "indices")
    sparse = SparseTensorProto(values=values, indices=indices, dims=[9])
    _refused(model(sparse_initializer=[sparse]), "sparse")
    constant = helper.make_node("Constant", [], ["c"], sparse_value=sparse)
    _refused(model([constant, helper.make_node("Identity", ["x"], ["scores"])]), "sparse")


@pytest.mark.parametrize("domain", ["com.microsoft", "custom", "ai.onnx.ml.evil", "AI.ONNX"])
def test_operators_of_another_domain_are_refused(domain: str) -> None:
    node = helper.make_node("Identity", ["x"], ["scores"], domain=domain)
    _refused(model([node]), "domain")
    _refused(model(domains=[domain]), "domain")


def test_functions_and_training_graphs_are_refused() -> None:
    made = model()
    made.functions.add(name="f", domain="")
    _refused(made, "functions")
    made = model()
    made.training_info.add()
    _refused(made, "training")


@pytest.mark.parametrize("dims", [[10_000_000_000], [3], [5], [-4], [2**62, 4], [2, 3], []])
def test_a_size_that_is_not_that_of_the_data_is_refused(dims: list[int]) -> None:
    _refused(model(constants=[tensor(dims=dims)]), "size")


def test_a_tiny_file_that_asks_for_forty_gigabytes_is_refused(example: Path) -> None:
    made = model([helper.make_node("ConstantOfShape", ["shape"], ["scores"])], [shape(10_000_000_000)])
    content = made.SerializeToString()
    assert len(content) < 400
    _refused(made, "asks for a tensor of 10,000,000,000 elements")
    (example / "model.onnx").write_bytes(content)
    reseal(example)
    with pytest.raises(BundleError, match="asks for a tensor"):
        open_bundle(example)


@pytest.mark.parametrize("operator", ["Expand", "Tile"])
def test_other_ways_to_grow_are_refused_too(operator: str) -> None:
    _refused(model([helper.make_node(operator, ["x", "shape"], ["scores"])], [shape(1 << 20, 1 << 20)]), "asks for")
    constant = helper.make_node("Constant", [], ["shape"], value=shape(1 << 40))
    _refused(model([constant, helper.make_node(operator, ["x", "shape"], ["scores"])]), "asks for")


def _shaped(*sizes: int) -> ModelProto:
    constant = helper.make_node("Constant", [], ["shape"], value_ints=list(sizes))
    return model([constant, helper.make_node("ConstantOfShape", ["shape"], ["scores"])])


def test_a_shape_given_as_plain_numbers_is_bounded_however_it_is_written() -> None:
    audit_bytes(_shaped(1 << 10, 1 << 10).SerializeToString())
    audit_bytes(_shaped(*[3] * 17).SerializeToString())  # too many for a shape
    made = _shaped(1 << 20, 1 << 20)
    _refused(made, "asks for a tensor of 1,099,511,627,776 elements")
    number = b"\x80\x80\x40"  # 2**20
    other, packed = b"\x40" + number + b"\x40" + number, b"\x42\x06" + number * 2
    content = made.SerializeToString()
    assert other in content or packed in content
    for way in (other, packed):
        assert len(way) == 8
        with pytest.raises(BundleError, match="asks for"):
            audit_bytes(content.replace(other, way).replace(packed, way))


@pytest.mark.parametrize("sizes", [(1 << 40, 1), (1, 1 << 40)])
def test_a_name_that_is_used_twice_counts_as_its_largest(sizes: tuple[int, int]) -> None:
    grow = helper.make_node("ConstantOfShape", ["shape"], ["scores"])
    _refused(model([grow], [shape(size) for size in sizes]), "asks for")
    constants = [helper.make_node("Constant", [], ["shape"], value_ints=[size]) for size in sizes]
    _refused(model([*constants, grow]), "asks for")


def test_operators_that_give_another_answer_each_time_are_refused() -> None:
    _refused(model([helper.make_node("RandomNormalLike", ["x"], ["scores"])]), "another answer")


def test_a_second_graph_that_a_reader_would_merge_is_refused() -> None:
    with pytest.raises(BundleError, match="twice"):
        audit_bytes(model().SerializeToString() + model(constants=[external("a")]).SerializeToString())


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(BundleError, match="unknown meaning"):
        audit_bytes(model().SerializeToString() + b"\xf2\x7f\x01x")


def test_a_graph_nested_without_end_is_refused() -> None:
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [], [])
    for _ in range(24):  # three messages each; ONNX's own library stops at a hundred
        graph = helper.make_graph([helper.make_node("If", ["x"], ["y"], then_branch=graph)], "g", [], [])
    made = model()
    made.graph.node[0].CopyFrom(graph.node[0])
    _refused(made, "nested")


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"\xff" * 20, b"PK\x03\x04", b"\x80\x04\x95pickle", b"\x3a\xff\xff\xff\xff\x0f"]
)
def test_what_is_no_graph_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError):
        audit_bytes(content)


SOUND = (EXAMPLE / "model.onnx").read_bytes()


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_mutations_open_or_are_bundle_errors(data: st.DataObject) -> None:
    content = bytearray(SOUND)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(("set", "cut", "insert", "delete"))):
            case "set":
                content[at] = data.draw(st.integers(0, 255))
            case "cut":
                del content[max(at, 1) :]
            case "insert":
                content[at:at] = data.draw(st.binary(min_size=1, max_size=12))
            case _:
                del content[at : at + data.draw(st.integers(1, 12))]
        content = content or bytearray(b"\0")
    try:
        audit_bytes(bytes(content))
    except BundleError as refused:
        assert "\n" not in refused.headline


def test_an_unreadable_file_is_a_bundle_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        audit_graph(tmp_path / "none.onnx")


def test_a_shape_given_as_a_tensor_of_numbers_is_bounded_however_it_is_written() -> None:
    sizes = helper.make_tensor("shape", TensorProto.INT64, [2], [1 << 20, 1 << 20])
    made = model([helper.make_node("ConstantOfShape", ["shape"], ["scores"])], [sizes]).SerializeToString()
    number = b"\x80\x80\x40"  # 2**20
    packed, plain = b"\x3a\x06" + number * 2, (b"\x38" + number) * 2
    assert packed in made
    for content in (made, made.replace(packed, plain)):
        with pytest.raises(BundleError, match="asks for a tensor of 1,099,511,627,776 elements"):
            audit_bytes(content)
