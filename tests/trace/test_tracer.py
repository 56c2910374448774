"""One tracer for many answers: what it keeps between two of them hides nothing that changed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.monitor import loop
from tests.trace.test_trace import Project, alter_spec, bundle_of, flip, links
from tidemill.project.layout import Layout
from tidemill.project.repository import Objects
from tidemill.project.tracing import Tracer


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return loop.copied(tmp_path)


def git(layout: Layout, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=layout.root, check=True, capture_output=True)


def grow(path: Path) -> None:
    path.chmod(0o644)
    with path.open("ab") as file:
        file.write(b" ")


def add_file(layout: Layout) -> None:
    bundle_of(layout).chmod(0o755)
    (bundle_of(layout) / "more.txt").write_text("x")


@pytest.mark.parametrize(
    ("alter", "broken"),
    [
        (lambda layout: flip(bundle_of(layout) / "model.onnx"), ["bundle"]),
        (add_file, ["bundle"]),
        (lambda layout: alter_spec(layout, lambda plain: plain.update(seed=7)), ["run"]),
        (lambda layout: flip(next((layout.data / loop.NAME / "shards").glob("val-*.parquet"))), ["data"]),
        (lambda layout: git(layout, "tag", "-d", "flowers-v1.0.0"), ["data"]),
        (lambda layout: git(layout, "pack-refs", "--all"), []),
        (lambda layout: git(layout, "gc", "--quiet"), []),
    ],
    ids=["graph", "file more", "spec", "shard", "tag", "packed tags", "packed objects"],
)
def test_what_changes_between_two_traces_shows(
    project: Project, alter: Callable[[Layout], None], broken: list[str]
) -> None:
    layout, ids = project
    with Tracer(layout) as tracer:
        assert all(link.verified for link in tracer.trace(ids[0]).links)
        alter(layout)
        for each in (ids[0], ids[1]):
            assert [link.kind for link in tracer.trace(each).links if link.verified is False] == broken


def test_a_record_that_grew_is_no_longer_what_the_prediction_names(project: Project) -> None:
    layout, ids = project
    with Tracer(layout) as tracer:
        assert tracer.trace(ids[0]).verified
        grow(bundle_of(layout) / "bundle.json")
        assert "its digest is" in links(tracer.trace(ids[0]))["bundle"].reason


@pytest.fixture
def objects(project: Project) -> Iterator[Objects]:
    with Objects(project[0]) as asked:
        yield asked


def children() -> set[int]:
    found = subprocess.run(["pgrep", "-P", str(os.getpid()), "git"], capture_output=True, text=True, check=False)
    return {int(each) for each in found.stdout.split()}


def test_git_is_asked_through_one_process_which_ends(project: Project, objects: Objects) -> None:
    record = f"flowers-v1.0.0:./data/{loop.NAME}.json"
    (content,) = objects.get([record])
    assert content == (project[0].data / f"{loop.NAME}.json").read_bytes()
    (process,) = children()
    assert objects.get(["no-such-tag", record, "HEAD:", "0" * 40])[:2] == [None, content]
    assert children() == {process}
    os.kill(process, signal.SIGKILL)
    assert objects.get([record]) == [content]
    assert children() not in (set(), {process})
    objects.close()
    assert children() == set()
    assert objects.get([record]) == [content]


def test_where_there_is_no_repository_nothing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Objects(Layout(tmp_path)) as none:
        assert none.get(["HEAD", "HEAD:"]) == [None, None]
    monkeypatch.setenv("PATH", str(tmp_path))
    with Objects(Layout(tmp_path)) as none:
        assert none.get(["HEAD"]) == [None]
