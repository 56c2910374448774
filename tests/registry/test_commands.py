"""The commands models and export, as a person or a program uses them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.registry.conftest import AGAIN, GOOD, NAME, POOR
from tests.registry.run import tidemill
from tidemill.bundle.read import open_bundle
from tidemill.domain.bundle import PROTOCOL
from tidemill.project import models
from tidemill.project.layout import Layout


def test_list_show_promote_rollback_history_verify(project: Layout) -> None:
    listed = tidemill(project, "models", "list", "--json").json
    assert [(row["version"], row["alias"]) for row in listed] == [(3, "challenger"), (2, None), (1, None)]
    assert tidemill(project, "models", "promote", NAME, str(POOR)).out.startswith(f"{NAME}/1 is champion")
    promoted = tidemill(project, "models", "promote", NAME, str(GOOD))
    assert promoted.code == 0
    assert f"{NAME}/2 is champion, instead of {NAME}/1" in promoted.out
    assert f"on the 107 test rows of {NAME}-v1.0.0" in promoted.out and "better" in promoted.out

    refused = tidemill(project, "models", "promote", NAME, str(AGAIN))
    assert refused.code == 1 and "does not hold" in refused.err and "--force REASON" in refused.err
    forced = tidemill(project, "models", "promote", NAME, str(AGAIN), "--force", "to try it", "--json")
    assert forced.code == 0 and forced.json["payload"]["forced"] == "to try it"
    back = tidemill(project, "models", "rollback", NAME, "--reason", "no better")
    assert back.out == f"{NAME}/2 is champion again, instead of {NAME}/3\n"

    table = tidemill(project, "models", "list").out.splitlines()
    assert table[0].split("\t") == ["version", "alias", "quality", "data", "registered", "bundle"]
    assert table[2].split("\t")[:2] == [f"{NAME}/2", "champion"]
    events = tidemill(project, "models", "history", NAME, "--json").json
    assert [event["kind"] for event in events[3:]] == ["promoted", "promoted", "refused", "promoted", "rolled_back"]
    text = tidemill(project, "models", "history", NAME).out
    assert "forced: to try it" in text and f"from {NAME}/3 to {NAME}/2: no better" in text
    then = tidemill(project, "models", "history", NAME, "--at", events[3]["at"], "--json").json
    assert then["champion"] == f"{NAME}/1" and then["challenger"] == f"{NAME}/3"
    assert (
        f"champion at {events[3]['at'][:10]}"
        in tidemill(project, "models", "history", NAME, "--at", events[3]["at"]).out
    )
    assert tidemill(project, "models", "verify").code == 0


def test_show_is_the_card(project: Layout) -> None:
    text = tidemill(project, "models", "show", f"{NAME}/{GOOD}").out
    version = models.resolve(project, f"{NAME}/{GOOD}")
    for part in (
        f"{NAME}/2",
        "accuracy",
        "malignant",
        f"{NAME}-v1.0.0",
        version.run,
        version.bundle,
        "decisions changed",
    ):
        assert part in text
    document = tidemill(project, "models", "show", f"{NAME}/{GOOD}", "--json").json
    assert document["digest"] == version.bundle and document["bundle"]["protocol"] == PROTOCOL
    directory = str(project.bundle(version.bundle))
    assert tidemill(project, "models", "show", directory, "--json").json["bundle"] == document["bundle"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("show", "nothing"), "name@alias or name/version"),
        (("show", f"{NAME}@champion"), "has no champion yet"),
        (("show", f"{NAME}/9"), f"versions: {NAME}/1"),
        (("promote", "cancr", "1"), f"did you mean {NAME}?"),
        (("promote", NAME, "0"), "0"),
        (("promote", NAME, "x"), "x"),
        (("promote", NAME, "1", "--force", "  "), "--force needs a reason"),
        (("rollback", NAME), f"no earlier champion to go back to\n       see  tidemill models list {NAME}"),
        (("history", "none"), "there is no model"),
        (("history", NAME, "--at", "yesterday"), "is no time"),
        (("shwo",), "show"),
    ],
)
def test_wrong_input_is_said_in_a_line_with_code_2(project: Layout, args: tuple[str, ...], said: str) -> None:
    done = tidemill(project, "models", *args)
    assert done.code == 2 and said in done.err and "Traceback" not in done.err
    assert done.out == "" and len(done.err.splitlines()) <= 2
    assert len(models.ledger(project).events()) == 3


def test_a_database_that_is_none_is_said(project: Layout) -> None:
    project.database.write_bytes(b"no database")
    done = tidemill(project, "models", "list")
    assert done.code == 1 and "tidemill.db cannot be read" in done.err and "backup" in done.err


def test_verify_ends_with_1_when_something_was_altered(project: Layout) -> None:
    version = models.resolve(project, f"{NAME}/{POOR}")
    (project.bundle(version.bundle) / "golden.jsonl").write_bytes(b"x")
    done = tidemill(project, "models", "verify")
    assert done.code == 1 and "golden.jsonl" in done.out


def test_export_repeats_the_parity_and_writes_the_registered_bundle(project: Layout, tmp_path: Path) -> None:
    to = tmp_path / "out" / "bundle"
    done = tidemill(project, "export", f"{NAME}/{GOOD}", "--to", str(to), "--json")
    assert done.code == 0, done.err
    version = models.resolve(project, f"{NAME}/{GOOD}")
    assert done.json["same_graph"] and done.json["parity"]["changed"] == 0 and done.json["parity"]["rows"] == 107
    assert open_bundle(to, expected=version.bundle).bundle.name == NAME
    assert [entry.name for entry in to.parent.iterdir()] == ["bundle"]
    again = tidemill(project, "export", f"{NAME}/{GOOD}", "--to", str(to))
    assert again.code == 2 and "exists already" in again.err
    shown = tidemill(project, "export", f"{NAME}/{GOOD}").out
    assert "the registered graph, byte for byte" in shown and "0 (0.00%" in shown
    assert not [entry for entry in project.staging.iterdir() if entry.name[0].isdigit()]


def test_a_project_without_models_says_how_to_begin(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    (tmp_path / "tidemill.toml").write_text('[project]\nname = "digits"\ntask = "image"\n')
    assert "tidemill train" in tidemill(layout, "models", "list").out
    assert tidemill(layout, "models", "list", "--json").json == []
    assert "tidemill train" in tidemill(layout, "models", "show", "digits@champion").err
    assert tidemill(layout, "models", "verify").code == 0
    assert not layout.database.exists()
