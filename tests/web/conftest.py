"""Projects to look at."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from tidemill.project.layout import Layout
from tidemill.web.app import create_app

from .mill import Mill, full


@pytest.fixture(scope="session")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Mill:
    """A project with a past. Only to be read."""
    return full(tmp_path_factory.mktemp("mill") / "digits")


def visit(layout: Layout) -> TestClient:
    """A browser that shows failures of the page as failures of the test."""
    return TestClient(create_app(layout), base_url="http://localhost:8090", follow_redirects=False)


@pytest.fixture
def page(mill: Mill) -> TestClient:
    return visit(mill.layout)
