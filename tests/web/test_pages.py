"""The pages: what they show of real stores, and that nothing from outside is more than text."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from tidemill.domain.digest import Digest
from tidemill.project.layout import Layout

from . import mill as making
from .conftest import visit
from .mill import HOSTILE, Mill

PAGES = ("/", "/models", "/predictions", "/drift", "/ledger")


class Elements(HTMLParser):
    """Every element with its attributes, and the text outside of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def get(page: TestClient, path: str) -> Elements:
    answer = page.get(path)
    assert answer.status_code == 200, answer.text
    return Elements(answer.text)


def check_inert(html: str) -> None:
    """Only our own script, no handlers, no inline styles, nothing from another host."""
    elements = Elements(html)
    assert [each.get("src", "").split("?")[0] for each in elements.named("script")] in ([], ["/static/tidemill.js"])  # type: ignore[union-attr]  # src is never bare
    for tag, attributes in elements.found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
        for name in ("src", "href", "action"):
            target = attributes.get(name) or ""
            assert not target.startswith(("javascript:", "data:", "//")), (tag, target)
            assert not target.startswith("http") or tag == "a", (tag, target)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_of_an_empty_project_stands(tmp_path: Path, path: str) -> None:
    page = visit(making.marked(tmp_path))
    elements = get(page, path)
    assert "tidemill" in elements.text
    assert elements.named("kbd"), "it names a command"
    check_inert(page.get(path).text)


@pytest.mark.parametrize("path", [*PAGES, "/?theme=dark", "/models/2/card", "/drift?model=digits"])
def test_every_page_of_a_full_project_stands(page: TestClient, path: str) -> None:
    elements = get(page, path)
    assert "digits/2 is champion" in elements.text
    check_inert(page.get(path).text)
    for picture in elements.named("svg"):
        assert picture.get("aria-label") or picture.get("aria-hidden"), "a picture says what it shows, or is hidden"


def test_the_loop_shows_the_stores_figures(page: TestClient) -> None:
    text = re.sub(r"\s+", " ", get(page, "/").text)
    for shown in ("v2.0.0 · 1,430 + 360", "digits/2", "+19.2 [15.3, 23.4]", "70 against 1", "limit 92", "/2 takes over",
                  "15 of 50 answers", "labels show accuracy 84.1%", "1 in 2 reports"):  # fmt: skip
        assert shown in text, shown


def test_the_live_parts_alone(page: TestClient) -> None:
    whole, live = page.get("/").text, page.get("/?part=live").text
    assert "<head>" not in live

    def parts(html: str) -> set[str | None]:
        return {a.get("id") for _, a in Elements(html).found if "data-live" in a}

    assert parts(whole) == parts(live) > {"ring", "traffic", "quality", "lineage", "who", "mlflow"}


def test_a_prediction_and_its_picture(page: TestClient, mill: Mill) -> None:
    id = mill.predictions[0].id
    assert "bundle" in get(page, f"/predictions/{id}").text
    answer = page.get(f"/predictions/{id}/picture")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.size == (8, 8)


def test_the_report_stands_in_a_sandbox(page: TestClient, mill: Mill) -> None:
    (frame,) = get(page, "/drift").named("iframe")
    assert frame["src"] == f"/reports/{mill.reports[1].id}"
    assert frame["sandbox"] in ("", None)
    answer = page.get(str(frame["src"]))
    assert "the whole report" in answer.text
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize("view", ["loop", "models", "predictions", "drift", "ledger"])
def test_the_same_as_json(page: TestClient, view: str) -> None:
    assert page.get(f"/api/{view}").json()["frame"]["champion"] == 2


def test_what_does_not_exist_says_so(page: TestClient) -> None:
    for path in ("/?model=nobody", "/predictions/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/predictions/x", "/models/9/card",
                 "/reports/x", "/drift?report=x", "/nowhere"):  # fmt: skip
        answer = page.get(path)
        assert answer.status_code in (404, 422), path
        assert "Back to the loop" in answer.text
    assert page.get("/api/nothing").json()["error"]["remedy"].startswith("there are /api/loop")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A thousand classes, names without end, and markup wherever somebody else can write."""
    layout = making.marked(tmp_path_factory.mktemp("hostile"))
    labels = (HOSTILE, "w" * 5000, *(f"class {i}" for i in range(998)))
    bundle = making.add_bundle(layout, 1, labels=labels)
    (layout.bundle(bundle) / "card.md").write_text(
        f"# card\n\n{HOSTILE}\n\n[x](javascript:alert(1)) ![x](http://evil/x)\n"
    )
    making.register(layout, 1, bundle=bundle)
    making.promote(layout, 1, bundle, forced=HOSTILE)
    making.append(layout, "rolled_back", {"from": 1, "to": HOSTILE, "reason": "w" * 3000})
    making.append(layout, "reported", {"report": HOSTILE, "digest": bundle, "drifted": [HOSTILE], "window": {}})
    making.answer(layout, bundle, version=1, rows=2, labelled=2, output=HOSTILE, content=HOSTILE.encode())
    making.register(layout, 1, model=HOSTILE, bundle=Digest.of_bytes(b"nowhere"))
    return layout


@pytest.mark.parametrize("path", [*PAGES, "/models/1/card"])
@pytest.mark.parametrize("model", ["digits", HOSTILE])
def test_markup_from_outside_is_text(hostile: Layout, path: str, model: str) -> None:
    answer = visit(hostile).get(path, params={"model": model})
    assert answer.status_code == 200 or (model == HOSTILE and path.endswith("card"))
    check_inert(answer.text)
    assert "<img src=x" not in answer.text
    assert "evil" not in " ".join(str(each.get("src")) for each in Elements(answer.text).named("img"))


def test_an_input_that_is_no_picture_is_not_served(hostile: Layout) -> None:
    page = visit(hostile)
    (row, *_) = page.get("/api/predictions?model=digits").json()["rows"]
    assert page.get(f"/predictions/{row['id']}/picture").status_code == 404
    shown = page.get(f"/predictions/{row['id']}").text
    check_inert(shown)
    assert len(shown) < 200_000


def test_a_page_with_a_thousand_classes_stays_small(hostile: Layout) -> None:
    page = visit(hostile)
    assert len(page.get("/?model=digits").text) < 200_000
    assert json.dumps(page.get("/api/loop?model=digits").json())
