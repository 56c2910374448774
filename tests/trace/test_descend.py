"""From a data version or a model version down to the answers that came of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.monitor import loop
from tests.registry.run import tidemill
from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.domain.digest import Digest
from tidemill.domain.prediction import new_prediction_id
from tidemill.errors import InputError, NotFoundError
from tidemill.project import data, models, serving, training
from tidemill.project.descending import answer_ids, descend
from tidemill.project.layout import Layout
from tidemill.web.app import create_app

Project = tuple[Layout, tuple[str, ...]]
TAG = f"{loop.NAME}-v1.0.0"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return loop.copied(tmp_path)


def test_a_data_version_leads_to_its_answers(project: Project) -> None:
    layout, ids = project
    found = descend(layout, TAG)
    assert (found.kind, found.answers, found.verified) == ("data", len(ids), True)
    assert found.digest == data.open_version(layout, loop.NAME).version.digest
    (version,) = found.versions
    assert (version.name, version.number, version.dataset) == (loop.NAME, 1, TAG)
    assert [span.until for span in version.served] == [None]
    assert set(answer_ids(layout, found)) == set(ids)


def test_each_answer_belongs_to_its_own_data(project: Project, tmp_path: Path) -> None:
    layout, ids = project
    data.add(layout, loop.write_table(tmp_path / "v2", trained=list(loop.CENTRES)), name=loop.NAME, target="kind")
    second = training.train(layout, loop.SETTINGS).version
    models.promote(layout, loop.NAME, second.number, force="the test")
    newer = loop.answer(layout, second, loop.rows("cedar", 3, seed=3))
    old, new = descend(layout, TAG), descend(layout, second_tag(layout))
    assert (old.answers, new.answers) == (len(ids), 3)
    assert set(answer_ids(layout, new)) == set(newer)
    (span,) = old.versions[0].served
    assert span.until == new.versions[0].served[0].since
    assert descend(layout, f"{loop.NAME}@champion").subject == str(second)
    assert descend(layout, f"{loop.NAME}/1").answers == len(ids)


def second_tag(layout: Layout) -> str:
    return data.open_version(layout, loop.NAME).version.tag


def test_answers_that_a_running_server_holds_count_once(project: Project) -> None:
    layout, ids = project
    known = serving.log(layout).find(ids[0])
    sink = ParquetSink(layout.log)
    try:
        sink.append([replace(known, id=new_prediction_id())])
        assert descend(layout, TAG).answers == len(ids) + 1
    finally:
        sink.close()
    assert descend(layout, TAG).answers == len(ids) + 1


def test_an_answer_of_another_bundle_is_found(project: Project) -> None:
    layout, ids = project
    known = serving.log(layout).find(ids[0])
    sink = ParquetSink(layout.log)
    sink.append([replace(known, id=new_prediction_id(), bundle=Digest.of_bytes(b"another"))])
    sink.close()
    found = descend(layout, TAG)
    assert (found.versions[0].foreign, found.verified) == (1, False)
    done = tidemill(layout, "trace", TAG)
    assert done.code == 1 and "1 answer of another bundle" in done.out


def test_the_command(project: Project) -> None:
    layout, ids = project
    shown = tidemill(layout, "trace", TAG)
    assert shown.code == 0 and f"{len(ids)} answers of 1 version" in shown.out and "to now" in shown.out
    assert tidemill(layout, "trace", f"{loop.NAME}@champion", "--ids").out.split() == sorted(ids)
    plain = tidemill(layout, "trace", TAG, "--json").json
    assert (plain["answers"], plain["verified"], "ids" in plain) == (len(ids), True, False)
    assert len(tidemill(layout, "trace", TAG, "--json", "--ids").json["ids"]) == len(ids)


def test_a_model_without_a_version_is_told_from_nothing(project: Project) -> None:
    said = tidemill(project[0], "trace", loop.NAME)
    assert said.code == 2 and f"{loop.NAME}@champion" in said.err and f"{loop.NAME}/1" in said.err


def test_a_damaged_file_of_the_log_is_named(project: Project) -> None:
    path = next((project[0].log / "predictions").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:300])
    said = tidemill(project[0], "trace", TAG)
    assert said.code == 1 and path.name in said.err and "damaged" in said.err


@pytest.mark.parametrize(
    ("given", "error"),
    [("nothing", InputError), ("", InputError), ("flowers-v1.0.1", NotFoundError), ("flowers/9", NotFoundError)],
)
def test_what_is_not_there(project: Project, given: str, error: type[InputError]) -> None:
    with pytest.raises(error) as raised:
        descend(project[0], given)
    assert raised.value.remedy and tidemill(project[0], "trace", given).code == 2


def test_the_page_draws_it(project: Project) -> None:
    layout, ids = project
    with TestClient(create_app(layout), base_url="http://localhost") as browser:
        for subject in (TAG, f"{loop.NAME}/1"):
            shown = browser.get(f"/trace/{subject}")
            assert shown.status_code == 200, shown.text
            assert f"{len(ids)} answers of 1 version" in shown.text and "<svg" in shown.text and TAG in shown.text
        assert browser.get("/trace/flowers-v9.0.0").status_code == 404
        assert browser.get("/trace/%3Cscript%3E").status_code == 422
