"""A model that the project holds itself: what it must be, and what is said when it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tidemill.backends.exporters.onnx import OnnxExporter
from tidemill.backends.families.image import ImageFamily
from tidemill.backends.families.models.own import OwnNetwork
from tidemill.backends.families.text import TextFamily
from tidemill.dataset.read import PackedDataset
from tidemill.errors import ConfigError, StateError

from ..training.samples import Heard, settings

Write = Callable[[str, str], Path]

NET = """
import torch
from torch import nn
from torch.nn import Linear
import layers


class Net(nn.Module):
    def __init__(self, channels, classes, height, width, hidden=16):
        super().__init__()
        self.body = layers.body(channels * height * width, hidden)
        self.last = nn.Linear(hidden, classes)

    def forward(self, pixels):
        return self.last(self.body(pixels))


class Pair(Net):
    def forward(self, pixels):
        states = self.body(pixels)
        return self.last(states), states


class Softened(Net):
    def forward(self, pixels):
        return super().forward(pixels) * 0.5


class Weighted(Net):
    def forward(self, pixels):
        return self.body(pixels) @ self.last.weight.T


class Wide(Net):
    def forward(self, pixels):
        return self.body(pixels)


class Fails(Net):
    def __init__(self, classes):
        raise ValueError("no such width")


class Trips(Net):
    def forward(self, pixels):
        return self.last(pixels)


class NotOne:
    def __init__(self, classes):
        pass


def made(channels, classes, height, width):
    return Net(channels, classes, height, width, hidden=8)


ANSWER = 42
"""
LAYERS = """
from torch import nn


def body(inputs, hidden):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU())
"""


@pytest.fixture
def project(source: Write) -> Path:
    source("layers.py", LAYERS)
    return source("my_net.py", NET)


def fitted(project: Path, data: PackedDataset, workdir: Path, name: str, *more: str) -> object:
    given = [f"model.params.path=my_net.{name}", "trainer.max_epochs=1", "trainer.batch_size=256", *more]
    return ImageFamily(project).fit(settings("image", "model=own", *given), data, Heard(), workdir)


@pytest.mark.parametrize(
    ("name", "width"), [("Net", 16), ("Pair", 16), ("Softened", 10), ("Weighted", 10), ("made", 8)]
)
def test_a_network_of_ones_own_is_trained_saved_loaded_and_exported(
    name: str, width: int, project: Path, digits: PackedDataset, tmp_path: Path
) -> None:
    import onnxruntime

    given = [f"model.params.path=my_net.{name}", "trainer.max_epochs=1", "trainer.batch_size=256"]
    model = ImageFamily(project).fit(settings("image", "model=own", *given), digits, Heard(), tmp_path)
    network = model.module.get_submodule("network")
    assert isinstance(network, OwnNetwork)
    assert network.head.weight.shape == (10, 16 if name != "made" else 8)
    feed = {"image": np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8)}
    scored = model.score(feed)
    assert scored.embedding.shape == (3, width)
    model.save(tmp_path / "source")
    again = ImageFamily(project).load(tmp_path / "source")
    np.testing.assert_array_equal(again.score(feed).scores, scored.scores)
    OnnxExporter().export(model, tmp_path / "model.onnx")
    (scores,) = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(["scores"], feed)
    np.testing.assert_allclose(scores, scored.scores, atol=1e-5)


def test_settings_are_its_keyword_arguments(project: Path, digits: PackedDataset, tmp_path: Path) -> None:
    given = ["model=own", "model.params.path=my_net.Net", "model.params.settings={hidden: 24}", "trainer.max_epochs=1"]
    model = ImageFamily(project).fit(settings("image", *given), digits, Heard(), tmp_path)
    assert model.signature.outputs[1].shape == (-1, 24)


@pytest.mark.parametrize(
    ("name", "headline", "remedy"),
    [
        ("Nett", "my_net has no 'Nett'", "Net"),
        ("Lineer", "my_net has no 'Lineer'", "names in it: "),
        ("ANSWER", "my_net.ANSWER is a int, not a class", "name the class"),
        ("NotOne", "makes a NotOne, not a torch.nn.Module", "torch.nn.Module"),
        ("Wide", r"gives \[2, 16\] for two rows; the data has 10 classes", "logits"),
        ("Fails", r"ValueError: no such width \(my_net.py, line 41\)", "correct"),
        ("Trips", r"Trips.forward: RuntimeError: .*\(my_net.py, line 46\)", "correct"),
    ],
)
def test_what_is_no_model_is_said_in_one_line(
    name: str, headline: str, remedy: str, project: Path, digits: PackedDataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=headline) as raised:
        fitted(project, digits, tmp_path, name)
    assert remedy in raised.value.remedy
    assert "Linear" not in raised.value.remedy  # which it imports
    assert "\n" not in raised.value.headline


def test_settings_it_does_not_take_are_said(project: Path, digits: PackedDataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unexpected keyword argument 'depth'"):
        fitted(project, digits, tmp_path, "Net", "model.params.settings={depth: 3}")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("my_nets.Net", "there is no .*my_nets.py"),
        ("Net", "is no import path"),
        ("my_net.Net; import os", "is no import path"),
        ("os.system", "there is no .*os.py"),
        ("json.Net", "also the name of an installed package"),
        ("numpy.Net", "also the name of an installed package"),
        ("outside.Net", "leads out of the project's src/"),
        ("broken.Net", r"importing broken: SyntaxError"),
        ("raises.Net", r"importing raises: ZeroDivisionError: division by zero \(raises.py, line 2\)"),
    ],
)
def test_only_a_file_of_the_project_is_imported(
    path: str, said: str, project: Path, source: Write, digits: PackedDataset, tmp_path: Path
) -> None:
    for name, content in (("json.py", NET), ("numpy.py", NET), ("broken.py", "def ("), ("raises.py", "\n1 / 0\n")):
        source(name, content)
    (tmp_path / "outside.py").write_text(NET)
    (project / "src" / "outside.py").symlink_to(tmp_path / "outside.py")
    with pytest.raises(ConfigError, match=said) as raised:
        ImageFamily(project).fit(
            settings("image", "model=own", f"model.params.path='{path}'"), digits, Heard(), tmp_path
        )
    assert raised.value.remedy


def test_two_projects_may_use_the_same_name(
    project: Path, source: Write, digits: PackedDataset, tmp_path: Path
) -> None:
    fitted(project, digits, tmp_path, "Net")
    other = tmp_path / "other" / "src"
    other.mkdir(parents=True)
    (other / "my_net.py").write_text(NET.replace("ANSWER", "QUESTION").replace("import layers", "from . import x"))
    with pytest.raises(ConfigError, match="importing my_net"):
        fitted(tmp_path / "other", digits, tmp_path, "Net")
    (other / "my_net.py").write_text(NET.replace("hidden=16", "hidden=12"))
    (other / "layers.py").write_text(LAYERS)
    fitted(tmp_path / "other", digits, tmp_path, "Net")
    fitted(project, digits, tmp_path, "Net")


def test_a_saved_model_needs_the_code_it_was_trained_with(
    project: Path, source: Write, digits: PackedDataset, tmp_path: Path
) -> None:
    model = ImageFamily(project).fit(
        settings("image", "model=own", "model.params.path=my_net.Net", "trainer.max_epochs=1"),
        digits,
        Heard(),
        tmp_path,
    )
    model.save(tmp_path / "source")
    source("notes.py", "# nothing that the model needs")
    ImageFamily(project).load(tmp_path / "source")
    source("layers.py", LAYERS.replace("ReLU", "Tanh"))
    with pytest.raises(StateError, match=r"layers.py, my_net.py"):
        ImageFamily(project).load(tmp_path / "source")


SENTENCES = """
from torch import nn


class Bag(nn.Module):
    def __init__(self, vocabulary, classes):
        super().__init__()
        self.words = nn.Embedding(vocabulary, 16)
        self.last = nn.Linear(16, classes)

    def forward(self, input_ids, attention_mask):
        states = self.words(input_ids) * attention_mask.unsqueeze(-1)
        return self.last(states.sum(1) / attention_mask.sum(1, keepdim=True))
"""


def test_a_network_for_sentences_gets_a_tokenizer(source: Write, sentences: PackedDataset, tmp_path: Path) -> None:
    from .test_sentences import check_export

    project = source("bag.py", SENTENCES)
    given = ["model=own", "model.params.path=bag.Bag", "model.params.vocabulary=600", "trainer.max_epochs=2"]
    heard = Heard()
    model = TextFamily(project).fit(settings("text", *given), sentences, heard, tmp_path)
    assert heard.steps[-1][1]["train_loss"] < heard.steps[0][1]["train_loss"]
    model.save(tmp_path / "saved")
    again = TextFamily(project).load(tmp_path / "saved")
    assert again.architecture == model.architecture
    with pytest.raises(ConfigError, match=r"there is no .*bag.py"):
        check_export(model, tmp_path / "source")  # which loads it without the project
