"""`tidemill export` in a project: every form of a network, and by name what a table's model has no form for."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.registry.run import tidemill
from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.bundle.golden import replay
from tidemill.bundle.read import open_bundle
from tidemill.domain.digest import Digest
from tidemill.project import models, scaffold, training
from tidemill.project.layout import Layout

QUICK = ("trainer.max_epochs=1", "logger.system_metrics=false")
FORMS = ["float32", "float16", "int8_dynamic", "int8_static", "torchscript", "torch_export"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """One version, trained and registered in int8 straight away."""
    layout = scaffold.init(tmp_path_factory.mktemp("export") / "digits", name="digits", task="image")
    training.train(layout, (*QUICK, "export.precision=int8_static", "export.int8_static.max_changed=1",
                            "export.int8_static.max_loss=1", "export.int8_static.max_class_loss=1"))  # fmt: skip
    return layout


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = scaffold.init(tmp_path_factory.mktemp("export") / "cancer", name="cancer", task="tabular")
    training.train(layout, ("model=linear", "logger.system_metrics=false"))
    return layout


def test_a_training_in_int8_registers_an_int8_graph(digits: Layout) -> None:
    version = models.resolve(digits, "digits/1")
    opened = open_bundle(digits.bundle(version.bundle), expected=version.bundle)
    assert opened.bundle.parity.precision == "int8_static" and "report/parity.html" in opened.bundle.files
    replay(opened, OnnxRuntime().load(opened.directory, opened.bundle, threads=1))


def test_all_forms_of_a_network_in_one_table(digits: Layout) -> None:
    done = tidemill(digits, "export", "digits/1", "--compare", "--json")
    assert done.code == 0, done.err
    variants = {each["name"]: each for each in done.json["variants"]}
    assert list(variants) == FORMS
    assert all(each["parity"]["rows"] == 359 for each in variants.values())
    assert variants["float32"]["parity"]["changed"] == variants["torch_export"]["parity"]["changed"] == 0
    sizes = [variants[name]["parity"]["bytes"] for name in ("float32", "float16", "int8_static")]
    assert sizes[0] > 1.8 * sizes[1] > 3 * sizes[2]


def test_another_precision_is_written_and_registered(digits: Layout, tmp_path: Path) -> None:
    to = tmp_path / "half"
    done = tidemill(digits, "export", "digits/1", "--precision", "float16", "--to", str(to), "--register", "--json")
    assert done.code == 0, done.err
    opened = open_bundle(to, expected=Digest(done.json["bundle"]))
    assert opened.bundle.parity.precision == "float16"
    version = models.resolve(digits, "digits@challenger")
    assert version.bundle == opened.digest and version.number == done.json["registered"]["number"] == 2
    assert version.run == models.resolve(digits, "digits/1").run
    again = tidemill(digits, "export", "digits/2", "--precision", "float16", "--register")
    assert again.code == 2 and "digits/2 is registered in float16 already" in again.err


def test_what_is_refused_leaves_no_version_and_no_folder(digits: Layout, tmp_path: Path) -> None:
    before = len(models.ledger(digits).events())
    config = digits.conf / "config.yaml"
    kept = config.read_text()
    config.write_text(f"{kept}\nexport:\n  int8_dynamic: {{max_changed: 0.0, tolerance: 1.0e-12}}\n")
    try:
        done = tidemill(digits, "export", "digits/1", "--precision", "int8_dynamic", "--register",
                        "--to", str(tmp_path / "to"))  # fmt: skip
    finally:
        config.write_text(kept)
    assert done.code == 1 and "Traceback" not in done.err
    assert "is not its source" in done.err or "no test row is answered within" in done.err
    assert len(models.ledger(digits).events()) == before and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("form", "file"), [("torchscript", "model.torchscript.pt"), ("torch_export", "model.pt2")])
def test_a_format_of_torch_is_a_folder_that_says_what_it_holds(
    digits: Layout, tmp_path: Path, form: str, file: str
) -> None:
    to = tmp_path / "out"
    done = tidemill(digits, "export", "digits/1", "--format", form, "--to", str(to), "--json")
    assert done.code == 0, done.err
    told = json.loads((to / "export.json").read_text())
    assert sorted(path.name for path in to.iterdir()) == sorted([file, "export.json", "parity.html"])
    assert told["digest"] == str(Digest.of_file(to / file)) and told["version"] == "digits/1"
    assert told["parity"]["changed"] == 0 and told["signature"]["labels"][:2] == ["0", "1"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert tidemill(digits, "export", "digits/1", "--format", form, "--to", str(to)).code == 2


def test_what_a_table_has_no_form_for_is_said_by_name(table: Layout, tmp_path: Path) -> None:
    done = tidemill(table, "export", "cancer/1", "--compare")
    assert done.code == 0, done.err
    assert "✗ int8_static: this model has no int8_static form: LinearClassifier" in done.out
    assert "✗ torchscript: PipelineModel has no TorchScript form" in done.out
    refused = tidemill(table, "export", "cancer/1", "--precision", "float16", "--to", str(tmp_path / "to"))
    assert refused.code == 1 and "no float16 form: LinearClassifier" in refused.err
    refused = tidemill(table, "export", "cancer/1", "--format", "torch_export", "--to", str(tmp_path / "to"))
    assert refused.code == 1 and "it is no torch module" in refused.err and not list(tmp_path.iterdir())


def test_options_that_do_not_go_together(table: Layout) -> None:
    for options in (["--compare", "--precision", "float16"], ["--format", "torchscript", "--register"]):
        done = tidemill(table, "export", "cancer/1", *options)
        assert done.code == 2 and "leave the others out" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "torch_export"])
def test_killed_at_any_moment_it_leaves_nothing_and_works_the_next_time(
    digits: Layout, tmp_path: Path, form: str
) -> None:
    to = tmp_path / "out"
    command = [sys.executable, "-m", "tidemill", "export", "digits/1", "--format", form, "--to", str(to)]
    for seconds in (2.0, 3.5, 5.0):
        running = subprocess.Popen(command, cwd=digits.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(seconds)
        running.kill()
        running.wait()
        if to.exists():  # it was quicker
            assert (to / ("bundle.json" if form == "onnx" else "export.json")).is_file()
            shutil.rmtree(to)
    assert tidemill(digits, "export", "digits/1", "--format", form, "--to", str(to)).code == 0
    assert not [entry for entry in digits.staging.iterdir() if entry.name[0].isdigit()]
