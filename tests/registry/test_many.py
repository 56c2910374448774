"""Fifty promotions at once: one order, one champion."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.registry.conftest import NAME
from tests.registry.test_models import check_manifest
from tidemill.errors import InputError
from tidemill.project import models
from tidemill.project.layout import Layout


@pytest.mark.slow
def test_fifty_at_once(project: Layout) -> None:
    def promote(turn: int) -> int:
        try:
            models.promote(project, NAME, turn % 3 + 1, force=f"turn {turn}")
        except InputError as refused:
            assert "champion already" in refused.headline
            return 0
        return 1

    with ThreadPoolExecutor(50) as pool:
        promoted = sum(pool.map(promote, range(50)))
    ledger = models.ledger(project)
    lines = [event for event in ledger.events(NAME) if event.kind == "promoted"]
    assert len(lines) == promoted and ledger.verify() == promoted + 3
    replaced = [line.payload["replaced"] for line in lines]
    assert replaced == [None, *(line.payload["version"] for line in lines[:-1])]
    check_manifest(project, lines[-1].payload["version"])
