"""The page in a real browser, before a real server: what people see, press, and what the log then holds."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.playground.chrome import Tab
from tests.playground.conftest import HOSTILE
from tests.playground.host import serving
from tests.serve import bundles
from tidemill.journal.read import Journal
from tidemill.project.layout import Layout

TOKEN = "a-token-of-a-test-only"
ANSWERED = "document.querySelector('.feedback')"


def example(tab: Tab, says: str) -> None:
    """Press the first example with the true label `says`."""
    find = f"[...document.querySelectorAll('.example')].find(e => e.querySelector('b').textContent === {says!r})"
    tab.until(find)
    tab.run(f"document.querySelector('.feedback')?.remove(), {find}.click()")
    tab.until(ANSWERED)


def labelled(log: Path) -> dict[str, Any]:
    """What the log holds of what people said, by prediction id."""
    journal = Journal(log)
    ids = journal.predictions().column("id").to_pylist()
    return {key: each.label for key, each in journal.labels(ids).items()}


def quiet(tab: Tab, address: str) -> None:
    """Nothing was complained of, and nobody but the page's own server was asked."""
    assert tab.complaints == []
    assert [url for url in tab.asked if not url.startswith((address, "blob:" + address))] == []


@pytest.fixture
def fresh(tab: Tab) -> Tab:
    tab.open("about:blank")
    tab.asked.clear()
    tab.complaints.clear()
    return tab


def test_a_wrong_answer_about_a_picture_is_put_right(made: Path, tmp_path: Path, fresh: Tab) -> None:
    with serving([made / "img"], tmp_path) as address:
        fresh.open(f"{address}/ui")
        example(fresh, "3")
        prediction = fresh.text("dd code")
        answered = Journal(tmp_path / "log").find(prediction)
        assert fresh.text(".big") == answered.output
        assert len(fresh.run("[...document.querySelectorAll('.bars .label')].map(e => e.textContent)")) == 5
        assert fresh.text(".bars .number").endswith("%")
        assert "ms" in fresh.text("dl")

        right = "4" if answered.output != "4" else "5"
        fresh.click("That is wrong")
        assert answered.output not in fresh.run("[...document.querySelectorAll('.feedback option')].map(e => e.value)")
        fresh.run(f"document.querySelector('.feedback select').value = {right!r}")
        fresh.click("Send")
        fresh.until("document.querySelector('.feedback [role=status]')")

        assert f"Kept: {right} is the label" in fresh.text(".feedback")
        assert labelled(tmp_path / "log") == {prediction: right}
        quiet(fresh, address)


def test_a_label_can_be_changed_and_markup_in_it_stays_text(made: Path, tmp_path: Path, fresh: Tab) -> None:
    with serving([made / "img"], tmp_path) as address:
        fresh.open(f"{address}/ui")
        example(fresh, HOSTILE)
        fresh.click("That is right")
        fresh.until("document.querySelector('.feedback [role=status]')")
        fresh.click("Change")
        fresh.until("document.querySelector('.feedback select')")
        value = fresh.run(
            "(s => s.value = [...s.options].map(e => e.value).find(e => e.startsWith('<')) ?? '1')"
            "(document.querySelector('.feedback select'))"
        )
        fresh.click("Send")
        fresh.until(f"document.querySelector('.feedback [role=status]')?.innerText.includes({value!r})")

        assert set(labelled(tmp_path / "log").values()) == {value}
        assert HOSTILE in fresh.run("document.body.textContent")
        assert fresh.run("document.querySelectorAll('img[onerror], img[src=x]').length") == 0
        quiet(fresh, address)


def test_a_file_of_ones_own(made: Path, tmp_path: Path, fresh: Tab) -> None:
    picture = tmp_path / "own.png"
    picture.write_bytes(bundles.picture(99))
    (tmp_path / "no.png").write_bytes(b"this is no picture")
    with serving([made / "img"], tmp_path) as address:
        fresh.open(f"{address}/ui")
        fresh.until("document.querySelector('.drop input')")
        fresh.choose_file(".drop input", picture)
        fresh.until(ANSWERED)
        assert Journal(tmp_path / "log").find(fresh.text("dd code")).input == picture.read_bytes()

        fresh.choose_file(".drop input", tmp_path / "no.png")
        fresh.until("document.querySelector('.failure')")
        assert "picture" in fresh.text(".failure")
        assert fresh.text("dd code") == "", "no answer stands beside the failure"


def test_a_sentence(made: Path, tmp_path: Path, fresh: Tab) -> None:
    with serving([made / "txt"], tmp_path) as address:
        fresh.open(f"{address}/ui")
        example(fresh, "good")
        assert fresh.text(".says") == "✓ as the reference says"
        assert fresh.run("document.querySelector('textarea').value") == "the good tide"

        fresh.run("document.querySelector('textarea').value = 'bad bad bad'")
        fresh.click("Predict")
        fresh.until("document.querySelector('.big')?.innerText === 'bad'")
        fresh.click("That is right")
        fresh.until("document.querySelector('.feedback [role=status]')")

        assert list(labelled(tmp_path / "log").values()) == ["bad"]
        quiet(fresh, address)


def test_a_row_and_a_value(made: Path, tmp_path: Path, fresh: Tab) -> None:
    with serving([made / "reg"], tmp_path) as address:
        fresh.open(f"{address}/ui")
        fresh.until("document.querySelectorAll('.fields input').length === 2")
        assert "seen -10 to 9" in fresh.text(".fields")
        fresh.run("document.querySelectorAll('.fields input').forEach((e, n) => e.value = [1.5, 2][n])")
        fresh.click("Predict")
        fresh.until(ANSWERED)
        assert fresh.text(".big") == "5.5"

        fresh.click("That is wrong")
        fresh.run("document.querySelector('.feedback input').value = '6.25'")
        fresh.click("Send")
        fresh.until("document.querySelector('.feedback [role=status]')")

        assert list(labelled(tmp_path / "log").values()) == ["6.25"]
        assert json.loads(Journal(tmp_path / "log").find(fresh.text("dd code")).input or b"") == bundles.ROW
        quiet(fresh, address)


def test_a_missing_value_is_asked_for_before_anything_is_sent(made: Path, tmp_path: Path, fresh: Tab) -> None:
    with serving([made / "tab"], tmp_path) as address:
        fresh.open(f"{address}/ui")
        fresh.until("document.querySelectorAll('.fields input').length === 2")
        fresh.click("Predict")

        assert fresh.run("document.querySelector('#input form').checkValidity()") is False
        assert not [url for url in fresh.asked if "predict" in url]


def test_the_page_asks_for_the_token(made: Path, tmp_path: Path, fresh: Tab) -> None:
    with serving([made / "txt"], tmp_path, TOKEN) as address:
        fresh.open(f"{address}/ui")
        fresh.until("!document.getElementById('token').hidden")
        assert fresh.run("document.getElementById('main').hidden")
        fresh.picture(tmp_path / "narrow.png", 400)
        assert fresh.run("document.getElementById('token').getBoundingClientRect().left") >= 8
        fill = "document.querySelector('#token input').value = {!r}, document.getElementById('token').requestSubmit()"

        fresh.run(fill.format("wrong"))
        fresh.until("document.getElementById('refused').innerText.includes('not the token')")
        fresh.run(fill.format(TOKEN))
        example(fresh, "good")

        assert fresh.text(".big") == "good"
        fresh.open(f"{address}/docs")
        fresh.run(fill.format(TOKEN))
        line = "[...document.querySelectorAll('pre')].map(each => each.innerText).find(each => each.includes(' -d '))"
        fresh.until(f"Boolean({line})")

        assert fresh.run(line).startswith('curl -H "Authorization: Bearer $TOKEN" -d ')
        assert TOKEN not in "".join(fresh.asked)


def test_several_models_are_chosen_from(made: Path, tmp_path: Path, fresh: Tab) -> None:
    with serving([made / "txt", made / "tab"], tmp_path) as address:
        fresh.open(f"{address}/ui/#sizes/0")
        fresh.until("document.querySelectorAll('.fields input').length === 2")
        assert fresh.text("h1") == "sizes"
        fresh.run("((s) => { s.value = 'mood/0'; s.onchange({ target: s }) })(document.getElementById('models'))")
        fresh.until("document.querySelector('textarea')")

        assert fresh.text("h1") == "mood"
        example(fresh, "good")
        assert fresh.text(".big") == "good"
        quiet(fresh, address)


def test_a_promotion_while_the_page_is_open(tmp_path: Path, fresh: Tab) -> None:
    layout = Layout(tmp_path)
    (tmp_path / "tidemill.toml").write_text('[project]\nname = "mood"\ntask = "text"\n')
    bundles.publish(layout.serving, bundles.text_bundle(tmp_path / "one"), 1)

    with serving(["mood@champion"], tmp_path) as address:
        fresh.open(f"{address}/ui")
        example(fresh, "bad")
        assert fresh.text("#version") == "version 1"

        bundles.publish(layout.serving, tmp_path / "one", 2)
        ends = time.monotonic() + 20
        while "version 2" not in fresh.text("dl") and time.monotonic() < ends:
            example(fresh, "bad")
        fresh.until("document.getElementById('version').innerText === 'version 2'")
        quiet(fresh, address)


def test_a_server_that_is_gone_is_said(made: Path, tmp_path: Path, fresh: Tab) -> None:
    with serving([made / "txt"], tmp_path) as address:
        fresh.open(f"{address}/ui")
        example(fresh, "good")
    fresh.click("That is right")
    fresh.until("document.querySelector('.feedback .failure')")
    assert "does not answer" in fresh.text(".feedback .failure")
    assert fresh.run("document.querySelectorAll('.feedback button:disabled').length") == 0, "it can be tried again"


@pytest.mark.parametrize("task", ["img", "txt", "tab"])
def test_it_can_be_seen(made: Path, tmp_path: Path, fresh: Tab, task: str) -> None:
    with serving([made / task], tmp_path) as address:
        fresh.open(f"{address}/ui")
        fresh.until("document.querySelector('.example')")
        fresh.run("document.querySelector('.example').click()")
        fresh.until(ANSWERED)
        for width, dark in ((1200, False), (1200, True), (400, False), (400, True)):
            shot = tmp_path / "page.png"
            fresh.picture(shot, width, dark=dark)
            with Image.open(shot) as picture:
                pixels = np.asarray(picture.convert("L"), np.float64)
            assert bool(pixels.mean() < 128) is dark
            assert pixels.std() > 8, "there is something on it"
            assert fresh.run("document.documentElement.scrollWidth") <= width, "nothing reaches beyond the window"
