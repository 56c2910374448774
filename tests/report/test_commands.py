"""From training to the page: what a bundle carries, what `models show` and `evaluate` say, what an attacker may not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tidemill.bundle.read import open_bundle, read_record
from tidemill.project import training
from tidemill.project.layout import Layout
from tidemill.project.reports import bundle_page, bundle_report
from tidemill.project.scaffold import init
from tidemill.project.training import Trained
from tidemill.stages.evaluation.page import LARGEST

from .conftest import Page

USE = "Telling benign from malignant, beside a doctor."


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = init(tmp_path_factory.mktemp("report") / "cancer", name="cancer", task="tabular")
    with (layout.conf / "config.yaml").open("a") as file:
        file.write(f"\nreport:\n  intended_use: {USE}\n  rows: 100\n")
    return layout


@pytest.fixture(scope="module")
def trained(project: Layout) -> Trained:
    return training.train(project, ["model=linear"])


def tidemill(cwd: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tidemill", *arguments], cwd=cwd, capture_output=True, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip


def test_a_bundle_carries_its_report(trained: Trained) -> None:
    bundle = open_bundle(trained.bundle).bundle
    for split in ("", "_train", "_val"):
        assert (trained.bundle / "report" / f"confusion{split}.png").read_bytes().startswith(b"\x89PNG")
    content = (trained.bundle / "report" / "report.html").read_text()
    page = Page(content)
    page.check_inert()
    assert len(content.encode()) < LARGEST
    lineage = bundle.lineage
    for words in (USE, "100 of ", "Wilson", lineage.run, lineage.commit, str(lineage.dataset_digest), "Python 3."):
        assert words in page.text
    card = (trained.bundle / "card.md").read_text()
    assert f"| Intended use | {USE} |" in card and "| wilson |" in card
    report = bundle_report(trained.bundle, bundle)
    assert report is not None and report.test.metrics == bundle.metrics and report.mistakes == ()


def test_the_run_keeps_the_page_too(project: Layout, trained: Trained) -> None:
    (kept,) = project.artifacts.rglob("evaluation/report.html")
    assert trained.run.id in str(kept) and USE in kept.read_text()


def test_show_gives_intervals_use_and_the_page(project: Layout, trained: Trained) -> None:
    done = tidemill(project.root, "models", "show", "cancer/1")
    assert done.returncode == 0, done.stderr
    low = trained.evaluation.intervals["accuracy"].low
    assert f"[{100 * low:.1f}, " in done.stdout and "wilson" in done.stdout and USE in done.stdout
    assert str(trained.bundle / "report" / "report.html") in done.stdout
    found = json.loads(tidemill(project.root, "models", "show", "cancer/1", "--json").stdout)
    assert found["report"]["about"]["intended_use"] == USE
    assert Path(found["page"]).is_file()


def test_show_opens_the_page(project: Layout, trained: Trained, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path / "opened"}\n')
    browser.chmod(0o755)
    done = tidemill(project.root, "models", "show", "cancer/1", "--open", BROWSER=str(browser))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "opened").read_text().strip() == (trained.bundle / "report" / "report.html").as_uri()


def test_a_page_from_elsewhere_is_not_opened(project: Layout, trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.bundle, tmp_path / "theirs")
    done = tidemill(project.root, "models", "show", str(tmp_path / "theirs"), "--open", BROWSER="/bin/false")
    assert done.returncode == 2 and "was not made in this project" in done.stderr


def test_an_altered_report_is_not_shown(project: Layout, trained: Trained, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trained.bundle, tmp_path / "copy"))
    bundle, _ = read_record(copy)
    page, record = copy / "report" / "report.html", copy / "report" / "report.json"
    page.write_text(page.read_text().replace(USE, "Anything."))
    record.unlink()
    record.symlink_to("/etc/passwd")
    assert bundle_page(copy, bundle) is None and bundle_report(copy, bundle) is None
    done = tidemill(project.root, "models", "show", str(copy))
    assert done.returncode == 0 and "accuracy" in done.stdout and "none: made by an earlier" in done.stdout


def test_evaluate_writes_a_page_of_the_version_and_the_data(project: Layout, trained: Trained) -> None:
    done = tidemill(project.root, "evaluate", "cancer/1")
    assert done.returncode == 0, done.stderr
    path = project.reports / "evaluations" / "cancer-1-on-cancer-v1.0.0.html"
    assert str(path.relative_to(project.root)) in done.stdout and "wilson" in done.stdout
    page = Page(path.read_text())
    page.check_inert()
    assert "cancer/1" in page.text and "those of the graph that serves" in page.text
    found = json.loads(tidemill(project.root, "evaluate", "cancer/1", "--json").stdout)
    assert found["metrics"] == pytest.approx(trained.evaluation.metrics, abs=1e-4)
    assert found["page"] == str(path) and found["dataset"] == "cancer-v1.0.0"
    assert not list(path.parent.glob(".*"))
