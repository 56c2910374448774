"""Description, tags and search, from the command line and as MLflow sees them."""

from __future__ import annotations

import pytest

from tests.registry.conftest import AGAIN, GOOD, NAME, POOR
from tests.registry.run import tidemill
from tidemill.backends.registries.mlflow import MlflowRegistry
from tidemill.project import finding
from tidemill.project.database import ensure_database
from tidemill.project.layout import Layout


def found(layout: Layout, *args: str) -> list[int]:
    done = tidemill(layout, "models", "list", *args, "--json")
    assert done.code == 0, done.err
    return [row["version"] for row in done.json]


def test_versions_are_searched_and_sorted(project: Layout) -> None:
    assert found(project) == [AGAIN, GOOD, POOR]
    assert found(project, "--where", "metrics.accuracy > 0.9 and tags.family = 'linear'") == [AGAIN, GOOD]
    assert found(project, "--where", "tags.family = 'xgboost'") == []
    assert found(project, NAME, "--where", "version in (1, 3) or alias = 'challenger'") == [AGAIN, POOR]
    assert found(project, "--sort", "metrics.accuracy")[-1] == POOR
    assert found(project, "--sort", "metrics.accuracy asc")[0] == POOR
    assert found(project, "--sort", "version asc") == [POOR, GOOD, AGAIN]
    table = tidemill(project, "models", "list", "--sort", "metrics.log_loss", "--where", "tags.family like 'lin%'").out
    assert table.splitlines()[0].split("\t")[-2:] == ["log_loss", "family"]
    assert table.splitlines()[1].endswith("\tlinear")
    assert tidemill(project, "models", "list", "--where", "version > 9").out == "no version passes\n"


def test_tags_and_descriptions_are_mlflows(project: Layout) -> None:
    model = f"{NAME}/{GOOD}"
    shown = tidemill(project, "models", "tag", model, "owner=Inès", "stage=a=b").out.splitlines()
    assert "owner=Inès" in shown and "stage=a=b" in shown and "family=linear" in shown
    assert tidemill(project, "models", "describe", model, "the cleaned scans").out == f"{model}: the cleaned scans\n"
    listing = MlflowRegistry(ensure_database(project)).listing(NAME)
    assert listing is not None and listing.versions[GOOD].description == "the cleaned scans"
    assert listing.versions[GOOD].tags["owner"] == "Inès"
    card = tidemill(project, "models", "show", model).out
    assert "the cleaned scans\n" in card and "tags: family=linear, owner=Inès, stage=a=b\n" in card
    said = tidemill(project, "models", "show", model, "--json").json
    assert said["description"] == "the cleaned scans" and said["tags"]["owner"] == "Inès"
    assert found(project, "--where", "tags.owner = 'Inès' and description like '%scans'") == [GOOD]
    assert "owner" not in tidemill(project, "models", "tag", model, "--remove", "owner", "--json").json["tags"]
    assert listing.versions.keys() == {1, 2, 3} and listing.aliases == {"challenger": AGAIN}


def test_a_description_cannot_steer_the_terminal(project: Layout) -> None:
    tidemill(project, "models", "describe", f"{NAME}/{GOOD}", "red \x1b[31m\nand a second line")
    card = tidemill(project, "models", "show", f"{NAME}/{GOOD}").out
    assert "red  [31m and a second line\n" in card and "\x1b" not in card


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("list", "--where", "metrics.acuracy > 0.9"), "did you mean metrics.accuracy"),
        (("list", "--where", "tags.famly = 'x'"), "did you mean tags.family?"),
        (("list", "--where", "metrics.accuracy >"), "at character 19"),
        (("list", "--sort", "acuracy"), "there is no 'acuracy' here"),
        (("list", "--sort", "version up"), "makes no sense"),
        (("tag", f"{NAME}/2", "owner"), "KEY=VALUE"),
        (("tag", f"{NAME}/2", "--remove", "famly"), "did you mean family?"),
        (("tag", f"{NAME}/9", "a=b"), "there is no version"),
        (("describe", f"{NAME}/9", "x"), "there is no version"),
        (("describe", f"{NAME}/2", "x" * 5001), "at most 5,000"),
    ],
)
def test_wrong_input_is_said_with_code_2(project: Layout, args: tuple[str, ...], said: str) -> None:
    done = tidemill(project, "models", *args)
    assert done.code == 2 and said in done.err and done.out == "", done.err


def test_what_a_server_says_is_what_its_tables_say(project: Layout) -> None:
    """The light reading of MLflow's tables against MLflow itself."""
    from tidemill.backends.registries.listing import list_registry

    tidemill(project, "models", "tag", f"{NAME}/{GOOD}", "owner=me")
    uri = ensure_database(project)
    assert list_registry(uri) == {NAME: MlflowRegistry(uri).listing(NAME)}
    assert [row["version"] for row in finding.versions(project)] == [AGAIN, GOOD, POOR]
