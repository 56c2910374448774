"""The page in a real browser: what people see and press, and that nobody but the server is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.playground.chrome import Tab
from tests.playground.conftest import HOSTILE, tab
from tests.serve import bundles
from tests.serve.gradio.conftest import LABELS, Served, serving
from tidemill.journal.read import Journal

__all__ = ["tab"]
pytestmark = pytest.mark.slow
TOKEN = "a-token-of-a-test-only"
ANSWERED = "document.querySelector('.tm-facts code')"


def choose(tab: Tab, place: str, says: str) -> None:
    """Open a menu, and take one of what it offers."""
    tab.until(f"document.querySelector({place!r})")
    tab.run(
        f"(menu => {{ menu.focus(); menu.dispatchEvent(new FocusEvent('focus')) }})(document.querySelector({place!r}))"
    )
    find = f"[...document.querySelectorAll('[role=option]')].find(each => each.innerText.trim().endsWith({says!r}))"
    tab.until(find)
    tab.run(f"{find}.dispatchEvent(new MouseEvent('mousedown', {{bubbles: true}}))")


def quiet(tab: Tab, address: str) -> None:
    """Nothing was complained of, and nobody but the page's own server was asked."""
    assert tab.complaints == []
    assert [url for url in tab.asked if not url.startswith((address, "blob:" + address, "data:"))] == []


@pytest.fixture
def fresh(tab: Tab) -> Tab:
    tab.open("about:blank")
    tab.asked.clear()
    tab.complaints.clear()
    return tab


def test_a_wrong_answer_about_a_picture_is_put_right(served: Served, fresh: Tab) -> None:
    fresh.open(f"{served.url}/ui")
    fresh.until("document.querySelectorAll('.tm-examples button').length === 12")
    fresh.run("document.querySelectorAll('.tm-examples button')[3].click()")
    fresh.until(ANSWERED)
    prediction = fresh.text(".tm-facts code")
    answered = Journal(served.log).find(prediction)
    assert fresh.text("[data-testid=label-output-value]").strip() == answered.output
    assert "digits" in fresh.text(".tm-head h1")
    assert served.url.removeprefix("http://") in fresh.text(".tm-head")

    fresh.click("That is wrong")
    right = "4" if answered.output != "4" else "5"
    choose(fresh, "input[aria-label='What is right?']", right)
    fresh.click("Send")
    fresh.until("document.querySelector('.tm-good[role=status]')")
    assert Journal(served.log).labels([prediction])[prediction].label == right
    quiet(fresh, served.url)


def test_a_picture_of_ones_own_is_answered(served: Served, fresh: Tab, tmp_path: Path) -> None:
    own = tmp_path / "own.png"
    own.write_bytes(bundles.picture(77))
    fresh.open(f"{served.url}/ui")
    fresh.until("document.querySelector('.tm-picture input[type=file]')")
    fresh.choose_file(".tm-picture input[type=file]", own)
    fresh.until(ANSWERED)
    assert fresh.text("[data-testid=label-output-value]").strip() in LABELS
    quiet(fresh, served.url)


def test_all_models_can_be_chosen_and_fit_a_narrow_screen(served: Served, fresh: Tab, tmp_path: Path) -> None:
    fresh.open(f"{served.url}/ui")
    for model in ("mood", "sizes", "price"):
        choose(fresh, ".tm-choice input", model)
        fresh.until(f"document.querySelector('.tm-head h1').innerText.includes({model!r})")
        fresh.until(f"document.querySelector('table tbody tr') && !{ANSWERED}")  # the panel is this model's
        fresh.run("document.querySelectorAll('table tbody tr')[1].click()")
        fresh.until(ANSWERED)
        fresh.picture(tmp_path / "narrow.png", 400)
        assert fresh.run("document.documentElement.scrollWidth") <= 400
        fresh.picture(tmp_path / "wide.png")
    quiet(fresh, served.url)


def test_markup_in_labels_is_never_a_part_of_the_page(served: Served, fresh: Tab) -> None:
    fresh.open(f"{served.url}/ui")
    fresh.until("document.querySelectorAll('.tm-examples button').length === 12")
    for number in (10, 11):
        fresh.run(f"document.querySelectorAll('.tm-examples button')[{number}].click()")
        fresh.until(f"document.querySelector('.tm-facts') && document.body.innerText.includes({HOSTILE!r})")
    assert fresh.run("document.querySelectorAll('img[src=x]').length") == 0
    quiet(fresh, served.url)


def test_the_token_is_asked_for_and_kept_from_scripts(made: Path, tmp_path: Path, fresh: Tab) -> None:
    with serving([made / "txt"], tmp_path, TIDEMILL_TOKEN=TOKEN) as served:
        fresh.open(f"{served.url}/ui")
        fresh.run(f"document.querySelector('[name=token]').value = {TOKEN!r}, document.querySelector('form').submit()")
        fresh.until("document.querySelector('table tbody tr')", seconds=60)  # the page may be starting until then
        fresh.run("document.querySelectorAll('table tbody tr')[1].click()")
        fresh.until(ANSWERED)
        fresh.click("That is right")
        fresh.until("document.querySelector('.tm-good[role=status]')")
        assert TOKEN not in fresh.run("document.cookie + document.documentElement.outerHTML")
        assert TOKEN not in "".join(fresh.asked)
        fresh.run("[...document.querySelectorAll('a, button')].find(e => e.innerText.trim() === 'Sign out').click()")
        fresh.until("document.querySelector('[name=token]')")
        assert [url for url in fresh.asked if not url.startswith((served.url, "data:"))] == []
