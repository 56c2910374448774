"""The page's addresses. Each handler reads a view from the stores and hands it to a template."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from markdown_it import MarkdownIt
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tidemill.domain.record import to_plain
from tidemill.errors import NotFoundError, TidemillError
from tidemill.project import viewing
from tidemill.project.descending import descend
from tidemill.project.layout import Layout
from tidemill.project.viewing.records import EvidenceView, Frame, LoopView
from tidemill.project.viewing.traffic import traffic_of
from tidemill.web.descents import descents
from tidemill.web.guard import REPORT_POLICY, Guard
from tidemill.web.lineages import Lineages
from tidemill.web.mlflow_ui import MlflowLink
from tidemill.web.pictures.chain import chain
from tidemill.web.pictures.chart import chart
from tidemill.web.pictures.evidence import improves, lowest_class, split_checks
from tidemill.web.pictures.heat import heat
from tidemill.web.pictures.ring import ring
from tidemill.web.pictures.spark import bars, spark
from tidemill.web.render import HERE, render, render_failure
from tidemill.web.thumbnail import thumbnail

_MARKDOWN = MarkdownIt("js-default").disable("image")  # markup in the text stays text, links are http(s) or relative


class Page:
    """The handlers over one project."""

    def __init__(self, layout: Layout, mlflow: Callable[[], MlflowLink]) -> None:
        self.layout = layout
        self.mlflow = mlflow
        self.lineages = Lineages(layout)

    def loop(self, request: Request) -> Response:
        view = viewing.loop_view(self.layout, _model(request))
        return self._html(request, "loop.html", view.frame, "/", view=view, **self._pictures(view))

    def _pictures(self, view: LoopView) -> dict[str, object]:
        lineage = self.lineages.latest(view.frame.model, view.latest)
        buckets = view.traffic.buckets
        return {
            "ring": ring(view),
            "below": f"{view.decision.title}: {view.decision.text}" if view.decision else "",
            "traffic": spark([bucket.answers for bucket in buckets]),
            "latency": spark([bucket.p50 for bucket in buckets]),
            "labels": bars(view.labels.buckets),
            "chart_wide": chart(view.quality, 700) if view.quality else None,
            "chart_narrow": chart(view.quality, 380) if view.quality else None,
            "heat_wide": heat(view.drift, 480) if view.drift else None,
            "heat_narrow": heat(view.drift, 380) if view.drift else None,
            "chain": chain(lineage) if lineage and lineage.nodes else None,
            "lineage": lineage,
            **_evidence(view.evidence),
        }

    def models(self, request: Request) -> Response:
        view = viewing.models_view(self.layout, _model(request))
        return self._html(request, "models.html", view.frame, "/models", view=view)

    def card(self, request: Request) -> Response:
        view = viewing.models_view(self.layout, _model(request))
        number = request.path_params["number"]
        version = next((each for each in view.versions if each.number == number and each.card), None)
        if version is None:
            raise NotFoundError(f"no model card of version {number}", "see /models")
        text = viewing.card(self.layout, version)
        return self._html(request, "card.html", view.frame, "/models", number=number, card=_plain_html(text))

    def predictions(self, request: Request) -> Response:
        view = viewing.predictions_view(self.layout, _model(request))
        return self._html(request, "predictions.html", view.frame, "/predictions", view=view)

    def prediction(self, request: Request) -> Response:
        view = viewing.prediction_view(self.layout, request.path_params["id"])
        picture = chain(view.lineage) if view.lineage.nodes else None
        return self._html(request, "prediction.html", view.frame, "/predictions", view=view, chain=picture)

    def descent(self, request: Request) -> Response:
        found = descend(self.layout, request.path_params["subject"])
        frame = viewing.models_view(self.layout, found.versions[0].name if found.versions else None).frame
        chains = [(each.prediction, chain(each)) for each in descents(found)]
        return self._html(request, "descent.html", frame, "/models", found=found, chains=chains)

    def picture(self, request: Request) -> Response:
        prediction = traffic_of(self.layout.log).find(request.path_params["id"])
        small = thumbnail(prediction.input) if prediction.input is not None else None
        if small is None:
            raise NotFoundError("this input is no picture that can be shown", "see the answer's own page")
        return Response(small, media_type="image/png", headers={"cache-control": "private, max-age=86400, immutable"})

    def drift(self, request: Request) -> Response:
        view = viewing.drift_view(self.layout, _model(request), request.query_params.get("report"))
        drawn = {
            "heat_wide": heat(view.map, 1240) if view.map else None,
            "heat_narrow": heat(view.map, 380) if view.map else None,
        }
        return self._html(request, "drift.html", view.frame, "/drift", view=view, **drawn)

    def report(self, request: Request) -> Response:
        content = viewing.report_page(self.layout, request.path_params["id"])
        return HTMLResponse(content, headers={"content-security-policy": REPORT_POLICY})

    def ledger(self, request: Request) -> Response:
        view = viewing.ledger_view(self.layout, _model(request))
        return self._html(request, "ledger.html", view.frame, "/ledger", view=view)

    def api(self, request: Request) -> Response:
        read = _VIEWS.get(request.path_params["view"])
        if read is None:
            raise NotFoundError("no such view", f"there are {', '.join(f'/api/{name}' for name in _VIEWS)}")
        return JSONResponse(to_plain(read(self.layout, _model(request))))

    def api_prediction(self, request: Request) -> Response:
        return JSONResponse(to_plain(viewing.prediction_view(self.layout, request.path_params["id"])))

    def _html(self, request: Request, template: str, frame: Frame, here: str, **values: object) -> Response:
        shown = render(template, frame, here, request.query_params, mlflow=self.mlflow(), **values)
        return HTMLResponse(shown)


def create_app(
    layout: Layout,
    *,
    mlflow: Callable[[], MlflowLink] = lambda: MlflowLink("off"),
    loopback: bool = True,
    token: str | None = None,
) -> Starlette:
    """The page over the project at `layout`. `mlflow` says how MLflow's page stands whenever it is asked.

    `loopback` says that only names of this machine are heard; `token` is what everybody must show.
    """
    page = Page(layout, mlflow)
    return Starlette(
        routes=[
            Route("/", page.loop),
            Route("/models", page.models),
            Route("/models/{number:int}/card", page.card),
            Route("/predictions", page.predictions),
            Route("/predictions/{id}", page.prediction),
            Route("/predictions/{id}/picture", page.picture),
            Route("/trace/{subject:path}", page.descent),
            Route("/drift", page.drift),
            Route("/reports/{id}", page.report),
            Route("/ledger", page.ledger),
            Route("/api/predictions/{id}", page.api_prediction),
            Route("/api/{view}", page.api),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(Guard, loopback=loopback, token=token), Middleware(GZipMiddleware, compresslevel=4)],
        exception_handlers={TidemillError: _failed, HTTPException: _failed, Exception: _broken},
    )


_VIEWS: Mapping[str, Callable[[Layout, str | None], Any]] = {
    "loop": viewing.loop_view,
    "models": viewing.models_view,
    "predictions": viewing.predictions_view,
    "drift": viewing.drift_view,
    "ledger": viewing.ledger_view,
}


def _model(request: Request) -> str | None:
    return request.query_params.get("model") or None


def _evidence(found: EvidenceView | None) -> dict[str, object]:
    if found is None:
        return {}
    test, checks = split_checks(found.evidence)
    return {
        "lowest": lowest_class(found.evidence),
        "better": improves(found.evidence),
        "test": test,
        "checks": checks,
    }


def _plain_html(markdown: str) -> str:
    """Markdown as HTML without inline styles, which the page's policy would refuse, and without pictures."""
    return re.sub(r' style="[^"]*"', "", _MARKDOWN.render(markdown))


def _failed(request: Request, error: Exception) -> Response:
    """An error on purpose, as a page of its own, or as JSON under /api."""
    if isinstance(error, TidemillError):
        return _refusal(request, error.headline, error.remedy, error.http_status)
    assert isinstance(error, HTTPException)
    return _refusal(request, error.detail, "", error.status_code)


def _broken(request: Request, error: Exception) -> Response:
    """A bug: Starlette prints the traceback where the page was started; the browser sees none of it."""
    return _refusal(request, "the page failed", "the terminal that runs tidemill ui says why", 500)


def _refusal(request: Request, headline: str, remedy: str, status: int) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": {"message": headline, "remedy": remedy}}, status)
    return HTMLResponse(render_failure(headline, remedy), status)
