"""From an answer back to everything that made it; each disturbed record shows, and only it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.monitor import loop
from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.cli.commands.trace import command
from tidemill.domain.digest import Digest
from tidemill.domain.prediction import new_prediction_id
from tidemill.domain.record import now
from tidemill.errors import InputError, NotFoundError, StorageError
from tidemill.project import data, models, serving, tracing, watching
from tidemill.project.layout import Layout
from tidemill.stages.trace import Link, Trace

Project = tuple[Layout, tuple[str, ...]]
ORDER = ["prediction", "model", "bundle", "run", "config", "code", "environment", "data"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return loop.copied(tmp_path)


def links(found: Trace) -> dict[str, Link]:
    return {link.kind: link for link in found.links}


def test_every_answer_leads_to_its_data(project: Project) -> None:
    layout, ids = project
    for each in ids[::20]:
        found = tracing.trace(layout, each)
        assert [link.kind for link in found.links] == ORDER
        assert all(link.verified for link in found.links), found
    by_kind = links(found)
    assert by_kind["model"].name == "flowers/1"
    assert by_kind["model"].detail.startswith("champion then")
    assert by_kind["data"].name == "flowers-v1.0.0"
    assert by_kind["data"].detail.endswith("files rehashed")


def test_the_label_that_came_is_in_it(project: Project) -> None:
    layout, ids = project
    serving.feedback(layout, [(ids[0], "aster")])
    assert links(tracing.trace(layout, ids[0]))["label"].name == "aster"


def test_the_decision_that_asked_for_the_model_and_its_report(project: Project, tmp_path: Path) -> None:
    layout, ids = project
    loop.label_all(layout, ids)
    data.add(layout, loop.write_table(tmp_path / "v2", trained=list(loop.CENTRES)), name=loop.NAME, target="kind")
    done = watching.retrain(layout, loop.NAME)
    assert done.trained is not None
    (answered,) = loop.answer(layout, done.trained, loop.rows("cedar", 1, seed=3))
    found = tracing.trace(layout, answered)
    assert found.verified
    assert [link.kind for link in found.links] == [*ORDER, "decision", "report"]
    assert found.links[-2].name == done.decision.id
    assert links(tracing.trace(layout, ids[0]))["data"].detail.endswith("3 files rehashed")
    shutil.rmtree(layout.datasets / f"{loop.NAME}-v1.0.0")
    away = tracing.trace(layout, ids[0])
    assert (away.verified, links(away)["data"].verified) == (True, None)
    assert "not on this machine" in links(away)["data"].reason
    report = layout.reports / done.decision.report / "report.json"
    report.write_bytes(report.read_bytes().replace(b"accuracy", b"Accuracy", 1))
    assert broken(tracing.trace(layout, answered)) == ["report"]


def broken(found: Trace) -> list[str]:
    return [link.kind for link in found.links if link.verified is False]


def spec_of(layout: Layout) -> Path:
    return next(layout.artifacts.rglob("lineage/spec.json"))


def bundle_of(layout: Layout) -> Path:
    return models.local_bundle(layout, models.resolve(layout, "flowers/1"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def alter_spec(layout: Layout, change: Callable[[dict[str, object]], None]) -> None:
    path = spec_of(layout)
    plain = json.loads(path.read_bytes())
    change(plain)
    path.write_text(json.dumps(plain))


def test_a_logged_input_that_was_altered_or_not_kept(project: Project) -> None:
    layout, ids = project
    known = serving.log(layout).find(ids[0])
    altered = replace(known, id=new_prediction_id(), at=now(), input=b'{"x":9.0,"y":9.0}')
    long = replace(known, id=new_prediction_id(), at=now(), input=None)
    sink = ParquetSink(layout.log)
    sink.append([altered, long])
    sink.close()
    assert broken(tracing.trace(layout, altered.id)) == ["prediction"]
    found = tracing.trace(layout, long.id)
    assert found.verified
    assert (found.links[0].verified, found.links[0].reason) == (None, "the log keeps only the digest of this input")


def test_an_altered_model_file(project: Project) -> None:
    layout, ids = project
    flip(bundle_of(layout) / "model.onnx")
    found = tracing.trace(layout, ids[0])
    assert broken(found) == ["bundle"]
    assert "model.onnx was altered" in links(found)["bundle"].reason


def test_a_bundle_that_is_gone_leaves_nothing_to_compare_the_run_with(project: Project) -> None:
    layout, ids = project
    bundle_of(layout).rename(layout.state / "elsewhere")
    found = tracing.trace(layout, ids[0])
    assert broken(found) == ["bundle", "run", "config", "code", "environment"]
    assert links(found)["run"].name != "unknown"
    assert links(found)["data"].verified


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (lambda plain: plain.update(seed=7), ["run"]),
        (lambda plain: plain["config"]["trainer"].update(max_epochs=99), ["run", "config"]),
        (lambda plain: plain["environment"]["packages"].update(numpy="1.0"), ["run", "environment"]),
        (lambda plain: plain["code"].update(commit="0" * 40), ["run", "code"]),
    ],
)
def test_an_altered_spec(project: Project, change: Callable[[dict[str, object]], None], kinds: list[str]) -> None:
    layout, ids = project
    alter_spec(layout, change)
    assert broken(tracing.trace(layout, ids[0])) == kinds


def test_a_spec_that_is_missing_or_no_json(project: Project) -> None:
    layout, ids = project
    for garbage in ("{", "[" * 100_000):
        spec_of(layout).write_text(garbage)
        assert "cannot be read" in links(tracing.trace(layout, ids[0]))["run"].reason
    spec_of(layout).unlink()
    found = tracing.trace(layout, ids[0])
    assert broken(found) == ["run", "config", "code", "environment"]
    assert "is missing" in links(found)["config"].reason


def test_an_altered_shard(project: Project) -> None:
    layout, ids = project
    flip(next((layout.data / loop.NAME / "shards").glob("train-*.parquet")))
    found = tracing.trace(layout, ids[0])
    assert broken(found) == ["data"]
    assert "was altered" in links(found)["data"].reason


def test_a_tag_that_is_gone(project: Project) -> None:
    layout, ids = project
    subprocess.run(["git", "tag", "-d", "flowers-v1.0.0"], cwd=layout.root, check=True, capture_output=True)
    assert broken(tracing.trace(layout, ids[0])) == ["data"]


def test_without_a_repository_or_git_it_says_which(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, ids = project
    (layout.root / ".git").rename(layout.root / "kept")
    found = links(tracing.trace(layout, ids[0]))
    assert found["code"].reason == found["data"].reason == "the project is in no git repository here"
    (layout.root / "kept").rename(layout.root / ".git")
    monkeypatch.setenv("PATH", "")
    found = links(tracing.trace(layout, ids[0]))
    assert found["code"].reason == found["data"].reason == "git is not installed here"


@pytest.mark.parametrize("kind", ["predictions", "feedback"])
def test_a_damaged_file_of_the_log_is_named(project: Project, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    layout, ids = project
    monkeypatch.chdir(layout.root)
    serving.feedback(layout, [(ids[0], "aster")])
    whole = {path: path.read_bytes() for path in (layout.log / kind).glob("*.parquet")}
    for alter in (lambda old: old[:200], lambda _: b"nothing", lambda old: old[:4] + bytes(200) + old[204:]):
        for path, content in whole.items():
            path.write_bytes(alter(content))
        with pytest.raises(StorageError, match=r"\.parquet of the prediction log is damaged") as raised:
            tracing.trace(layout, ids[0])
        assert raised.value.remedy
    for path, content in whole.items():
        path.write_bytes(content)
    assert tracing.trace(layout, ids[0]).verified


def test_a_database_that_is_none(project: Project) -> None:
    layout, ids = project
    layout.database.write_bytes(bytes(range(256)) * 40)
    with pytest.raises(StorageError, match="not a database"):
        tracing.trace(layout, ids[0])


def test_an_altered_ledger(project: Project) -> None:
    layout, ids = project
    with closing(sqlite3.connect(layout.database)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        (events,) = [name for name in tables if "tidemill" in name and "event" in name]
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute(f"UPDATE {events} SET who = 'somebody else' WHERE sequence = 1")  # noqa: S608 - our own names
        database.commit()
    found = tracing.trace(layout, ids[0])
    assert broken(found) == ["model"]
    assert links(found)["model"].reason == "the ledger was altered at line 1"


@pytest.mark.parametrize("more", [["--ids"], ["--ids", "--json"]])
def test_what_goes_the_other_way_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch, more: list[str]) -> None:
    layout, ids = project
    monkeypatch.chdir(layout.root)
    up = CliRunner().invoke(command, [ids[0], *more])
    assert up.exit_code == 2 and "--ids" in up.output
    for option in ("--files", "--diff"):
        down = CliRunner().invoke(command, ["flowers/1", option])
        assert down.exit_code == 2 and option in down.output


def test_the_command_shows_a_broken_link_beside_the_others(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, ids = project
    monkeypatch.chdir(layout.root)
    fine = CliRunner().invoke(command, [ids[0]])
    assert (fine.exit_code, fine.output.count("✓")) == (0, len(ORDER))
    flip(bundle_of(layout) / "model.onnx")
    bad = CliRunner().invoke(command, [ids[0]])
    assert (bad.exit_code, bad.output.count("✓"), bad.output.count("✗")) == (1, len(ORDER) - 1, 1)
    plain = json.loads(CliRunner().invoke(command, [ids[0], "--json"]).output)
    assert (plain["verified"], len(plain["links"])) == (False, len(ORDER))


@pytest.mark.parametrize(
    ("given", "error"),
    [("../../etc/passwd", InputError), ("", InputError), ("01K9YV5J3T6Q8R2N4B7M1XWZCD", NotFoundError)],
)
def test_ids_that_lead_nowhere(project: Project, given: str, error: type[InputError]) -> None:
    with pytest.raises(error) as raised:
        tracing.trace(project[0], given)
    assert raised.value.exit_code == 2
    assert raised.value.remedy


def test_it_needs_none_of_what_trains(project: Project) -> None:
    layout, ids = project
    code = (
        "import sys; from pathlib import Path; from tidemill.project import tracing; "
        "from tidemill.project.layout import Layout; "
        f"assert tracing.trace(Layout(Path({str(layout.root)!r})), {ids[0]!r}).verified; "
        "print([m for m in ('mlflow', 'torch', 'dvc', 'hydra', 'duckdb', 'sklearn', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_files_that_were_rehashed_are_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, ids = project
    monkeypatch.chdir(layout.root)
    found = links(tracing.trace(layout, ids[0]))
    assert {file.path.split(".")[0] for file in found["bundle"].files} > {"model", "golden"}
    assert len(found["data"].files) == 3 and all(file.verified for file in found["data"].files)
    shown = CliRunner().invoke(command, [ids[0], "--files"]).output
    assert "model.onnx" in shown and shown.count("shards/") == 3
    flip(layout.data / loop.NAME / found["data"].files[1].path)
    again = links(tracing.trace(layout, ids[0]))["data"]
    assert [file.verified for file in again.files] == [True, False, True]


def test_rows_that_a_record_was_made_to_fit(project: Project) -> None:
    """Whoever alters a row, and the shard's digest in the record, and moves the tag, still has not the rows' digest."""
    layout, ids = project
    folder, record = layout.data / loop.NAME, layout.data / f"{loop.NAME}.json"
    shard = next((folder / "shards").glob("test-*.parquet"))
    plain = json.loads(record.read_bytes())
    table = pq.read_table(shard)
    shard.chmod(0o644)
    pq.write_table(table.slice(1), shard)
    (split,) = [each for each in plain["splits"] if each["name"] == "test"]
    split["shards"][0] |= {"digest": str(Digest.of_file(shard)), "bytes": shard.stat().st_size}
    record.write_text(json.dumps(plain))
    for arguments in (["commit", "-qam", "nothing to see"], ["tag", "-f", f"{loop.NAME}-v1.0.0"]):
        subprocess.run(["git", *arguments], cwd=layout.root, check=True, capture_output=True)
    found = tracing.trace(layout, ids[0])
    assert broken(found) == ["data"]
    assert links(found)["data"].reason == f"the rows of {loop.NAME}-v1.0.0 do not give its digest"


def test_the_diff_that_the_code_had(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, ids = project
    monkeypatch.chdir(layout.root)
    folder = spec_of(layout).parent
    plain = json.loads(spec_of(layout).read_bytes())
    (folder / "dirty.diff").write_text("+++ b/conf/model.yaml\n")
    plain["code"]["dirty"] = str(Digest.of_file(folder / "dirty.diff"))
    spec_of(layout).write_text(json.dumps(plain))
    shown = CliRunner().invoke(command, [ids[0], "--diff"]).output
    assert "with changes" in shown and shown.endswith("+++ b/conf/model.yaml\n")
    assert "dirty.diff was altered" not in shown
    (folder / "dirty.diff").write_text("+++ b/other.yaml\n")
    assert links(tracing.trace(layout, ids[0]))["code"].verified is False
