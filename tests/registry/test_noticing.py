"""What is changed in MLflow, as its UI does it, is noticed, entered in the ledger, and followed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.registry.conftest import AGAIN, GOOD, NAME, POOR
from tests.registry.run import tidemill
from tests.registry.test_models import check_manifest, manifest
from tidemill.domain.registry import Event
from tidemill.errors import InputError
from tidemill.project import finding, models
from tidemill.project.layout import Layout
from tidemill.project.noticing import WHO

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning"),  # MLflow's import warns of its own types
    pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::FutureWarning:mlflow"),
]


def last(layout: Layout) -> Event:
    return models.ledger(layout).events(NAME)[-1]


def test_a_champion_that_was_set_there_serves_and_can_be_rolled_back(project: Layout, client: Any) -> None:
    client.set_registered_model_alias(NAME, "champion", str(AGAIN))
    assert tidemill(project, "models", "list", "--where", "alias = 'champion'", "--json").json[0]["version"] == AGAIN
    check_manifest(project, AGAIN)
    event = last(project)
    assert (event.kind, event.who, event.payload["alias"]) == ("aliased", WHO, "champion")
    assert (event.payload["version"], event.payload["replaced"], event.payload["taken"]) == (AGAIN, GOOD, True)
    assert event.payload["noticed_by"]
    assert f"champion to {NAME}/{AGAIN} in MLflow" in tidemill(project, "models", "history", NAME).out
    lines = len(models.ledger(project).events())
    models.reconcile(project)
    assert len(models.ledger(project).events()) == lines, "noticed once"
    models.rollback(project, NAME)
    check_manifest(project, GOOD)
    assert client.get_registered_model(NAME).aliases["champion"] == GOOD
    assert all(check.held for check in models.verify(project))


def test_a_champion_that_was_taken_away_is_none_and_one_can_be_promoted(project: Layout, client: Any) -> None:
    client.delete_registered_model_alias(NAME, "champion")
    models.reconcile(project)
    assert models.state(project, NAME).champion is None and manifest(project) is None
    assert last(project).payload["version"] is None and last(project).payload["taken"]
    models.promote(project, NAME, GOOD)
    check_manifest(project, GOOD)


def test_a_challenger_that_was_set_there_counts(project: Layout, client: Any) -> None:
    client.set_registered_model_alias(NAME, "challenger", str(POOR))
    models.reconcile(project)
    assert models.state(project, NAME).challenger == POOR
    check_manifest(project, POOR, "challenger")
    check_manifest(project, GOOD)


def test_an_alias_on_what_is_no_bundle_is_put_back(project: Layout, client: Any) -> None:
    run = models.state(project, NAME).versions[GOOD].run
    foreign = client.create_model_version(NAME, source=f"runs:/{run}/other", run_id=run)
    client.set_registered_model_alias(NAME, "champion", foreign.version)
    models.reconcile(project)
    assert client.get_registered_model(NAME).aliases["champion"] == GOOD
    assert not last(project).payload["taken"] and "no bundle" in last(project).payload["reason"]
    check_manifest(project, GOOD)


def test_a_version_that_was_deleted_there_is_retired(project: Layout, client: Any) -> None:
    client.delete_model_version(NAME, str(GOOD))  # MLflow takes its aliases away too
    models.reconcile(project)
    state = models.state(project, NAME)
    assert state.retired == {GOOD} and state.champion is None and GOOD in state.versions
    kinds = [event.kind for event in models.ledger(project).events(NAME)][5:]
    assert kinds[0] == "retired"
    assert [row["version"] for row in finding.versions(project)] == [AGAIN, POOR]
    with pytest.raises(InputError, match="was deleted in MLflow"):
        models.promote(project, NAME, GOOD, force="in any case")


@pytest.mark.parametrize("step", ["before aliases", "after aliases"])
def test_what_a_killed_promotion_left_is_not_taken_for_a_change(project: Layout, client: Any, step: str) -> None:
    version = models.state(project, NAME).versions[AGAIN]
    payload = {"version": AGAIN, "replaced": GOOD, "bundle": version.bundle, "evidence": None, "forced": "killed"}
    models.ledger(project).append("promoted", NAME, payload, check=lambda events: None)
    if step == "after aliases":  # and before it was remembered that they were set
        client.set_registered_model_alias(NAME, "champion", str(AGAIN))
        client.delete_registered_model_alias(NAME, "challenger")
    models.reconcile(project)
    assert last(project).kind == "promoted"
    check_manifest(project, AGAIN)
    assert client.get_registered_model(NAME).aliases == {"champion": AGAIN}
