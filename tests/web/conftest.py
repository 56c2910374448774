"""Projects to look at."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from tidemill.project.layout import Layout
from tidemill.web.app import create_app
from tidemill.web.mlflow_ui import MlflowLink

from .mill import Mill, full


@pytest.fixture(scope="session")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Mill:
    """A project with a past. Only to be read."""
    return full(tmp_path_factory.mktemp("mill") / "digits")


def visit_with(layout: Layout, link: MlflowLink) -> TestClient:
    """A browser that shows failures of the page as failures of the test; MLflow's page stands as `link` says."""
    app = create_app(layout, mlflow=lambda: link)
    return TestClient(app, base_url="http://localhost:8090", follow_redirects=False)


def visit(layout: Layout) -> TestClient:
    """The same, without MLflow's page."""
    return visit_with(layout, MlflowLink("off"))


@pytest.fixture
def page(mill: Mill) -> TestClient:
    return visit(mill.layout)
