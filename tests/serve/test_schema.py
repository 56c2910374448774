"""schemathesis asks whatever the server's own description allows, and what it does not allow, on a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from .conftest import Start
from .sockets import listening

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

_SETTINGS = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(params=["tab", "reg", "txt", "img"])
def port(request: pytest.FixtureRequest, made: Path, start: Start) -> Iterator[int]:
    with listening(start(made / request.param)) as port:
        yield port


@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
def test_every_answer_is_as_described(port: int, mode: str) -> None:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    schema = schemathesis.openapi.from_url(f"http://localhost:{port}/openapi.json")
    operations = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if mode == "NEGATIVE" and operation.method == "get":
            continue  # without parameters or a body there is nothing to negate
        strategy: Any = operation.as_strategy(generation_mode=getattr(schemathesis.GenerationMode, mode))

        @_SETTINGS
        @given(case=strategy)
        def answers_as_described(case: Any) -> None:
            case.call_and_validate(checks=wanted)

        answers_as_described()
        operations += 1
    assert operations >= (3 if mode == "NEGATIVE" else 9)
