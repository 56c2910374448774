"""Networks for pictures: shapes, sizes as settings, and export, without training them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tidemill.backends.exporters.onnx import OnnxExporter
from tidemill.backends.families.image import ImageFamily
from tidemill.backends.families.models.pictures import described, expected_of, picture_network, width_of
from tidemill.backends.families.networks.graphs import PictureGraph
from tidemill.backends.families.networks.source import NetworkModel, classifier_signature
from tidemill.config.schema import ModelConfig
from tidemill.dataset.read import PackedDataset
from tidemill.domain.bundle import ImagePreprocessing, Tensor
from tidemill.errors import ConfigError

from ..training.samples import Heard, settings

SMALL: dict[str, dict[str, Any]] = {
    "resnet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    "regnet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "groups_width": 8},
    "mobilenet_v1": {"depth_multiplier": 0.25},
    "mobilenet_v2": {"depth_multiplier": 0.35},
    "convnext": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
    "convnextv2": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
    "vit": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
    "deit": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
    "dinov2": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 8},
}


def architecture(kind: str, *, side: int = 32, channels: int = 3, **params: Any) -> dict[str, Any]:
    return {"kind": kind, "params": params, "shape": {"channels": channels, "height": side, "width": side}}


def as_source(plain: dict[str, Any], classes: int = 4) -> NetworkModel:
    torch.manual_seed(0)
    network = picture_network(plain, classes, Path())
    shape = plain["shape"]
    graph = PictureGraph(network, [0.5] * shape["channels"], [0.25] * shape["channels"])
    inputs = [Tensor("image", "uint8", (-1, shape["height"], shape["width"], shape["channels"]))]
    signature = classifier_signature("image", inputs, [str(each) for each in range(classes)], width_of(network))
    prepared = ImagePreprocessing("RGB", shape["height"], shape["width"])
    return NetworkModel(signature, prepared, graph, {**plain, **described(network)})


def check_export(model: NetworkModel, path: Path) -> None:
    """The graph gives what the network gives, for another number of rows than it was traced with."""
    import onnxruntime

    OnnxExporter().export(model, path)
    image = np.random.default_rng(0).integers(0, 256, (3, *model.signature.inputs[0].shape[1:]), np.uint8)
    scored = model.score({"image": image})
    session = onnxruntime.InferenceSession(path)
    scores, embedding = session.run(["scores", "embedding"], {"image": image})
    np.testing.assert_allclose(scores, scored.scores, atol=1e-4)
    np.testing.assert_allclose(embedding, scored.embedding, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("side", [8, 32, 96])
def test_mambaout_takes_pictures_of_any_size(side: int) -> None:
    network = picture_network(architecture("mambaout", side=side, dims=[8, 16, 32, 32], depths=[1, 1, 2, 1]), 5, Path())
    logits, embedding = network(torch.zeros(2, 3, side, side))
    assert (logits.shape, embedding.shape, width_of(network)) == ((2, 5), (2, 128), 128)


def test_mambaouts_sizes_are_settings(tmp_path: Path) -> None:
    def params(**given: Any) -> int:
        given = {"dims": [16, 32], "depths": [1, 1], **given}
        return sum(each.numel() for each in picture_network(architecture("mambaout", **given), 4, Path()).parameters())

    base = params()
    assert params(dims=[16, 48]) > base
    assert params(depths=[2, 1]) > base
    assert params(head="plain") < base
    assert params(conv_ratio=0.25) < base
    assert params(kernel=3) < base
    with pytest.raises(ConfigError, match="stages"):
        params(dims=[16])
    with pytest.raises(ConfigError, match="middle"):
        params(kernel=4)
    model = as_source(architecture("mambaout", dims=[8, 16], depths=[1, 1], drop_path=0.5, conv_ratio=0.5))
    check_export(model, tmp_path / "model.onnx")


def test_drop_path_skips_blocks_only_while_it_trains() -> None:
    network = picture_network(architecture("mambaout", dims=[8, 16], depths=[1, 2], drop_path=0.9), 4, Path())
    pixels = torch.rand(8, 3, 32, 32)
    assert not torch.equal(network(pixels)[0], network(pixels)[0])
    network.eval()
    assert torch.equal(network(pixels)[0], network(pixels)[0])


def test_alexnets_normalization_is_a_setting() -> None:
    names = {type(each).__name__ for each in picture_network(architecture("alexnet"), 4, Path()).modules()}
    assert "BatchNorm2d" not in names
    network = picture_network(architecture("alexnet", normalization=True), 4, Path())
    assert sum(isinstance(each, torch.nn.BatchNorm2d) for each in network.modules()) == 5


@pytest.mark.parametrize("kind", SMALL)
def test_each_network_of_transformers_is_built_saved_loaded_and_exported(kind: str, tmp_path: Path) -> None:
    model = as_source(architecture("transformers", architecture=kind, settings=SMALL[kind]))
    model.save(tmp_path / "source")
    image = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), np.uint8)
    loaded = ImageFamily().load(tmp_path / "source")
    np.testing.assert_array_equal(loaded.score({"image": image}).scores, model.score({"image": image}).scores)
    check_export(model, tmp_path / "model.onnx")


def test_mobilenet_learns_digits_from_random_weights(digits: PackedDataset, tmp_path: Path) -> None:
    config = settings("image", "model=mobilenet_v2", "model.params.width=0.25", "trainer.max_epochs=2")
    heard = Heard()
    model = ImageFamily().fit(config, digits, heard, tmp_path)
    assert model.signature.labels == digits.version.classes
    assert heard.steps[-1][1]["train_loss"] < heard.steps[0][1]["train_loss"]


def test_pretrained_weights_bring_their_size_colour_and_normalisation(digits: PackedDataset, tmp_path: Path) -> None:
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    folder = tmp_path / "pretrained"
    backbone = MobileNetV2ForImageClassification(MobileNetV2Config(depth_multiplier=0.25))
    backbone.save_pretrained(folder)
    said = {"size": {"shortest_edge": 40}, "crop_size": {"height": 24, "width": 24}, "do_center_crop": True,
            "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.3]}  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    given = ["model=mobilenet_v2", f"model.params.pretrained={folder}", "trainer.max_epochs=1"]
    model = ImageFamily().fit(settings("image", *given), digits, Heard(), tmp_path)
    prepared = model.preprocessing
    assert isinstance(prepared, ImagePreprocessing)
    assert (prepared.mode, prepared.height, prepared.width) == ("RGB", 24, 24)
    assert isinstance(model.module, PictureGraph)
    np.testing.assert_allclose(model.module.mean.flatten(), [0.5, 0.4, 0.3])
    np.testing.assert_allclose(model.module.std.flatten(), [0.2, 0.25, 0.3])
    model.save(tmp_path / "source")
    for file in folder.iterdir():
        file.unlink()
    image = np.zeros((2, 24, 24, 3), np.uint8)
    again = ImageFamily().load(tmp_path / "source")
    np.testing.assert_array_equal(again.score({"image": image}).scores, model.score({"image": image}).scores)


def test_pretrained_weights_are_really_taken(tmp_path: Path) -> None:
    from transformers import MobileNetV2Config, MobileNetV2Model

    backbone = MobileNetV2Model(MobileNetV2Config(depth_multiplier=0.25))
    backbone.save_pretrained(tmp_path / "weights")
    network = picture_network(architecture("mobilenet_v2", pretrained="weights"), 4, tmp_path)
    mine, theirs = network.backbone.state_dict(), backbone.state_dict()  # type: ignore[union-attr]  # transformers' own
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("kind", "params", "said"),
    [
        ("transformers", {"architecture": "resnet", "settings": {"depthz": [1]}}, "no setting 'depthz'"),
        ("transformers", {"architecture": "resnet", "settings": {"layer_type": "odd"}}, "refuses them"),
        ("transformers", {"architecture": "vit", "settings": {"patch_size": 64}}, "cannot take pictures"),
        ("transformers", {"architecture": "vit", "pretrained": "nowhere"}, "holds no config.json"),
        ("mobilenet_v2", {"pretrained": "text"}, "is a bert, not the mobilenet_v2"),
        ("timm", {"name": "resnet18"}, "timm does not import here"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line(kind: str, params: dict[str, Any], said: str, tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    config = BertConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertModel(config).save_pretrained(tmp_path / "text")
    with pytest.raises(ConfigError, match=said) as raised:
        picture_network(architecture(kind, **params), 4, tmp_path)
    assert "\n" not in raised.value.headline
    assert raised.value.remedy


def test_broken_weights_and_pickles_are_refused(tmp_path: Path) -> None:
    from transformers import MobileNetV2Config

    folder = tmp_path / "weights"
    MobileNetV2Config(depth_multiplier=0.25).save_pretrained(folder)
    (folder / "pytorch_model.bin").write_bytes(b"not looked at")
    with pytest.raises(ConfigError, match="holds no model"):
        picture_network(architecture("mobilenet_v2", pretrained="weights"), 4, tmp_path)
    (folder / "model.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(ConfigError, match="cannot be loaded"):
        picture_network(architecture("mobilenet_v2", pretrained="weights"), 4, tmp_path)


def test_the_hub_without_a_network_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = ModelConfig("mobilenet_v2", {"pretrained": "hub:google/mobilenet_v2_1.0_224"})
    with pytest.raises(ConfigError, match=r"google/mobilenet_v2_1.0_224"):
        expected_of(model, Path())
    with pytest.raises(ConfigError, match=r"cannot be loaded") as raised:
        picture_network(architecture(model.kind, **model.params), 4, Path())
    assert "network" in raised.value.remedy
